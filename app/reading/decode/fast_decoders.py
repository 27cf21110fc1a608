"""Decodes the plain PNG and JPEG files that most clients send straight into an array, at a fraction of Pillow's cost.

A damaged file, or one that is special in any way (a palette, 16 bits, interlacing, an orientation), gives None: Pillow then
reads or refuses it.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from kornia_rs.io import decode_image_png_u8
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_CHUNKS = {b"IHDR", b"sRGB", b"gAMA", b"cHRM", b"pHYs", b"IDAT", b"IEND"}  # none of them changes what is decoded
MOST_BYTES = 256 * 1024  # of a PNG: decoders also inflate data after the last row, to as much as a thousand times its size
MOST_CHUNKS = 1_000  # a drawing has a few; walking through a million takes seconds
CHANNELS = {0: 1, 2: 3, 6: 4}  # by PNG colour type: grey, RGB, RGBA
MODES = {1: "mono", 3: "rgb", 4: "rgba"}  # kornia's names
QUICK = 1280 * 1280  # pixels, which kornia decodes in two milliseconds, holding Python's lock
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
PNG_SIZE = slice(16, 24)  # bytes of the file that hold width and height
HEAVY_PIXELS = 4_000_000  # of a PNG: about 80 ms
HEAVY_BYTES = 2 * 2**20  # of any other file

# OpenCV's flags for decoding a JPEG at a fraction of its size; they give BGR.
_AT = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}


@dataclass(frozen=True)
class PngHeader:
    """The header of a plain PNG: its size in pixels and its number of 8-bit channels (1, 3 or 4)."""

    width: int
    height: int
    channels: int

    @property
    def is_quick(self) -> bool:
        """Whether decoding takes two milliseconds at most."""
        return self.width * self.height <= QUICK


def looks_heavy(data: bytes) -> bool:
    """Guesses from the first bytes whether a picture may take a tenth of a second or more to decode, to save others a wait.

    A JPEG never counts as heavy: it is decoded at a fraction of its size. A PNG's first chunk gives its size in pixels.
    """
    if data.startswith(PNG_SIGNATURE) and len(data) >= PNG_SIZE.stop:
        width, height = struct.unpack(">II", data[PNG_SIZE])
        return bool(width * height > HEAVY_PIXELS)
    return len(data) > HEAVY_BYTES and not data.startswith(JPEG_START)


def may_be_plain(data: bytes) -> bool:
    """Whether the bytes may be a plain PNG, so that reading its header is worthwhile."""
    return len(data) <= MOST_BYTES and data.startswith(PNG_SIGNATURE)


def read_png_header(data: bytes) -> PngHeader | None:
    """The header of a complete PNG with plain chunks only, or None (PNG specification, third edition, 5 and 11.2)."""
    if not may_be_plain(data):
        return None
    names, header = [], None
    for name, content in _chunks(data):
        names.append(name)
        if name not in PNG_CHUNKS or len(names) > MOST_CHUNKS:
            return None
        if name == b"IHDR":
            header = _parse_header(content)
    return header if names[:1] == [b"IHDR"] and names[-1:] == [b"IEND"] else None


def decode_png(data: bytes, header: PngHeader) -> Pixels | None:
    """Decodes to (H, W, 3) RGB or (H, W, 4) RGBA by memory-safe code, with the same values as Pillow; None on failure."""
    try:
        pixels = decode_image_png_u8(data, (header.height, header.width), MODES[header.channels])
    except Exception:  # noqa: BLE001  any failure leaves the file to Pillow
        return None
    except BaseException as panic:  # Rust's panic is not an Exception and cannot be imported; uncaught, it ends a worker
        if type(panic).__module__ != "pyo3_runtime":
            raise
        return None
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB) if header.channels == 1 else pixels, np.uint8)


def decode_jpeg(data: bytes, reduction: int) -> Pixels | None:
    """Decodes to (H, W, 3) RGB as stored, with each side divided by the reduction (1, 2, 4 or 8); None on failure.

    The values are the same as with Pillow's draft mode.
    """
    if not data.endswith(JPEG_END):  # OpenCV would fill in the missing part
        return None
    if reduction == 1:
        return _decode(data, cv2.IMREAD_COLOR_RGB)
    pixels = _decode(data, _AT[reduction])
    return None if pixels is None else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def _decode(data: bytes, flags: int) -> Pixels | None:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    return None if pixels is None else np.asarray(pixels, np.uint8)


def _parse_header(content: bytes) -> PngHeader | None:
    """The header, or None if the PNG is not 8-bit, has a palette or is interlaced."""
    if len(content) != 13:
        return None
    width, height, bits, colour_type, *methods = struct.unpack(">II5B", content)
    channels = CHANNELS.get(colour_type)
    return PngHeader(width, height, channels) if channels and bits == 8 and width and height and not any(methods) else None


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields name and content of each chunk of a PNG, up to the first damaged one."""
    place = len(PNG_SIGNATURE) if data.startswith(PNG_SIGNATURE) else len(data)
    while len(data) >= place + 12:
        (length,) = struct.unpack_from(">I", data, place)
        end = place + 8 + length
        checked = data[place + 4 : end]
        if data[end : end + 4] != zlib.crc32(checked).to_bytes(4, "big"):
            return
        yield checked[:4], checked[4:]
        place = end + 4
