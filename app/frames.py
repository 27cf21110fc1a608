"""How many frames a picture's file has, at little cost: Pillow would decode or set up each to count them."""

from collections.abc import Iterator
from itertools import islice
from typing import Literal

from PIL import Image

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
