"""Reads what a picture's file claims about its own structure, before a decoder believes it: parts, scans, frames."""

import struct
from collections.abc import Iterator
from io import BytesIO
from itertools import islice
from typing import Literal

from PIL import Image

from app.errors import ImageTooLarge, UnreadableImage

MAX_PARTS = 50_000  # of a file: a good one of 20 MiB has 10,000, and a parser takes 10 µs for one
MAX_SCANS = 100  # of a JPEG; encoders write ten, those that try hard 64
MAX_SCANNED = 1_000_000_000  # pixels, once for each scan: about a second's work
MAX_SEGMENTS = 5_000  # of a JPEG before its first scan; photos have a dozen, profiles and depth maps some hundred
MAX_PROFILES = 16  # of a PNG, each of which Pillow inflates to a megabyte; a good one has one
MAX_EXIF = 16  # segments of a JPEG, 64 KiB each; cameras write one
TEXTUAL = (1, 2, 7)  # TIFF's types whose values stay bytes until somebody asks
DIRECTORIES = (0x8769, 0x8825)  # tags that point to a further directory: EXIF's, and of the place

TOO_MANY_PARTS = "The picture's file has too many parts; save it anew."


class PatientFile(BytesIO):
    """A file that lets itself be read so many times: Pillow's parsers take seconds for millions of parts, however small."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._left = MAX_PARTS

    def read(self, size: int | None = -1, /) -> bytes:
        """As BytesIO's.

        Raises:
            UnreadableImage: it was read too often.
        """
        self._left -= 1
        if self._left < 0:
            raise UnreadableImage(TOO_MANY_PARTS)
        return super().read(size)


def check_parts(data: bytes) -> None:
    """Refuses a PNG, TIFF or JPEG of so many values or profiles that Pillow, which reads each, would be long about it.

    Raises:
        UnreadableImage: it has too many.
    """
    png = data[:4] == b"\x89PNG" and data.count(b"iCCP") > MAX_PROFILES
    jpeg = data[:2] == b"\xff\xd8" and data.count(b"Exif\0\0", 0, first_scan(data)) > MAX_EXIF
    tiff = data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+") and has_long_entry(data)
    if png or jpeg or tiff:
        raise UnreadableImage(TOO_MANY_PARTS)


def has_long_entry(tiff: bytes) -> bool:
    """Whether a TIFF's or EXIF's first directory, or one that it points to, has an entry of more than MAX_PARTS values."""
    order = "<" if tiff[:2] == b"II" else ">"
    big = 43 in tiff[2:4]
    try:
        (first,) = struct.unpack_from(order + ("Q" if big else "I"), tiff, 8 if big else 4)
        entries = list(_entries(tiff, order, first, big=big))
        for tag, _, _, value in entries.copy():
            if tag in DIRECTORIES:
                entries += _entries(tiff, order, value, big=big)
    except (struct.error, OverflowError):  # it points beyond its end, which is for the decoder to tell
        return False
    return any(count > MAX_PARTS and kind not in TEXTUAL for _, kind, count, _ in entries)


def _entries(tiff: bytes, order: str, place: int, *, big: bool) -> Iterator[tuple[int, int, int, int]]:
    """Tag, type, count and value or offset of a directory's entries (TIFF 6.0, section 2; BigTIFF has longer fields)."""
    head, entry = struct.Struct(order + ("Q" if big else "H")), struct.Struct(order + ("HHQQ" if big else "HHII"))
    (number,) = head.unpack_from(tiff, place)
    start = place + head.size
    whole = min(number, max(0, len(tiff) - start) // entry.size, MAX_PARTS)
    return entry.iter_unpack(tiff[start : start + whole * entry.size])


def first_scan(jpeg: bytes) -> int:
    """Where a JPEG's first scan begins, or, where there is none, where its segments end (ITU-T T.81, B.1.1.3).

    Raises:
        UnreadableImage: there are too many segments before it.
    """
    place = 2
    for _ in range(MAX_SEGMENTS):
        if jpeg[place : place + 1] != b"\xff" or place + 4 >= len(jpeg) or jpeg[place + 1] == 0xDA:
            return place
        place += 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
    raise UnreadableImage(TOO_MANY_PARTS)


def first_scan_components(jpeg: bytes) -> int:
    """The number of components in a JPEG's first scan, 0 where there is none (ITU-T T.81, B.2.3)."""
    place = first_scan(jpeg)
    return jpeg[place + 4] if jpeg[place : place + 2] == b"\xff\xda" and place + 4 < len(jpeg) else 0


def check_scans(jpeg: bytes, pixels: int) -> None:
    """Refuses a JPEG whose every scan must be read over all its pixels, and that has too many of them.

    Raises:
        ImageTooLarge: it would take seconds.
    """
    scans = jpeg.count(b"\xff\xda")  # within a scan, 0xFF is followed by 0
    if scans > MAX_SCANS or scans * pixels > MAX_SCANNED:
        raise ImageTooLarge(
            f"The JPEG has {scans:,} scans of {pixels:,} pixels, which is too much; save it as a baseline JPEG."
        )


IMAGE, EXTENSION = 0x2C, 0x21  # a GIF's blocks (GIF89a, sections 20 and 24 to 26)


MOST_BLOCKS = 200_000  # as many as 50 MB have when they are full; empty ones would make the counting long


def count_frames(image: Image.Image, data: bytes, most: int) -> int:
    """Frames or pages of the picture in data, which image was opened from; more than most count as most + 1."""
    walk = {"GIF": _walk_gif, "TIFF": _walk_tiff}.get(image.format or "")
    if walk is None:
        return int(getattr(image, "n_frames", 1))  # the other formats tell it at their beginning
    return sum(1 for _ in islice(walk(data), most + 1))


def _walk_gif(data: bytes) -> Iterator[int]:
    """Where each frame's descriptor stands, among the first MOST_BLOCKS; what comes after them is never read either."""
    blocks = 0
    place = 13 + _colour_table(data[10])
    while place < len(data) and data[place] in (IMAGE, EXTENSION) and blocks < MOST_BLOCKS:
        if data[place] == IMAGE:
            yield place
            flags = data[place + 9 : place + 10]
            place += 11 + (_colour_table(flags[0]) if flags else 0)
        else:
            place += 2
        while place < len(data) and data[place] and blocks < MOST_BLOCKS:  # sub-blocks, each with its length before it
            place += 1 + data[place]
            blocks += 1
        place += 1


def _colour_table(flags: int) -> int:
    """Bytes of the table that a screen's or an image's flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _walk_tiff(data: bytes) -> Iterator[int]:
    """Where each page's directory stands (TIFF 6.0, section 2; BigTIFF, version 43, has wider fields)."""
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"

    def read(place: int, size: int) -> int:
        return int.from_bytes(data[place : place + size], order)

    big = read(2, 2) == 43
    offset, count, entry = (8, 8, 20) if big else (4, 2, 12)
    place, seen = read(offset, offset), set[int]()
    while 0 < place < len(data) and place not in seen:
        yield place
        seen.add(place)
        place = read(place + count + entry * read(place, count), offset)
