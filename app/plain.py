"""The plain PNG and JPEG files that most clients send, decoded by OpenCV straight into an array, at half of Pillow's cost.

What is special in any way (a palette, 16 bits, interlacing, an orientation) or damaged gives None: it is for Pillow to
read, or to refuse.
"""

import struct
import zlib
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_CHUNKS = {b"IHDR", b"sRGB", b"gAMA", b"cHRM", b"pHYs", b"IDAT", b"IEND"}  # none of them changes what is decoded
MOST_BYTES = 256 * 1024  # of a PNG: libpng inflates what lies behind the last row too, up to a thousand times as much
MOST_CHUNKS = 1_000  # a drawing has some; to walk through a million of them would take seconds
RGBA = 6  # a colour type
PNG_KINDS = {(8, 0), (8, 2), (8, RGBA)}  # bits, and colour type: grey, RGB, RGBA
COLOUR_TYPE = 25  # its place in a PNG
JPEG_END = b"\xff\xd9"

# As OpenCV decodes a JPEG: at a fraction of its size, and its colours in an order of their own.
_AT = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}


def decode_png(data: bytes) -> Pixels | None:
    """(H, W, 3) RGB or (H, W, 4) RGBA, the same values as Pillow's, or None."""
    if len(data) > MOST_BYTES or not _is_plain_png(data):
        return None
    if data[COLOUR_TYPE] != RGBA:
        return _decode(data, cv2.IMREAD_COLOR_RGB)
    pixels = _decode(data, cv2.IMREAD_UNCHANGED)
    return None if pixels is None else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA), np.uint8)


def decode_jpeg(data: bytes, reduction: int) -> Pixels | None:
    """(H, W, 3) RGB at 1, 1/2, 1/4 or 1/8 of a side, as it is stored, the same values as Pillow's draft gives, or None."""
    if not data.endswith(JPEG_END):  # OpenCV would fill up what is missing
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


def _is_plain_png(data: bytes) -> bool:
    """Whether a PNG is whole and of plain chunks alone (PNG specification, third edition, 5 and 11.2)."""
    names = []
    for name, content in _chunks(data):
        names.append(name)
        if name not in PNG_CHUNKS or len(names) > MOST_CHUNKS:
            return False
        if name == b"IHDR" and (tuple(content[8:10]) not in PNG_KINDS or any(content[10:13])):  # the last is interlacing
            return False
    return names[:1] == [b"IHDR"] and names[-1:] == [b"IEND"]


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each chunk of a PNG up to the first that is damaged."""
    place = len(PNG_SIGNATURE) if data.startswith(PNG_SIGNATURE) else len(data)
    while len(data) >= place + 12:
        (length,) = struct.unpack_from(">I", data, place)
        end = place + 8 + length
        checked = data[place + 4 : end]
        if data[end : end + 4] != zlib.crc32(checked).to_bytes(4, "big"):
            return
        yield checked[:4], checked[4:]
        place = end + 4
