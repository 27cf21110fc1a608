"""Pictures, in whatever form a program has them -> the bytes of a file."""

import os
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

COLOUR_TYPES = {1: 0, 3: 2, 4: 6}  # of PNG, by the number of channels
PNG_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I;16B"}  # of PIL, which PNG has and Numeral reads
INSTEAD = {"La": "LA", "PA": "RGBA", "RGBa": "RGBA", "I": "I;16", "I;16L": "I;16", "I;16N": "I;16"}  # RGB, of other modes
MOST_LEVEL = 2**16 - 1  # of a PNG's grey


def to_bytes(picture: Any) -> bytes:
    """The bytes of a picture: bytes, a path, an open binary file, a PIL image, or an array as to_png takes it.

    Raises:
        OSError: the file cannot be read.
        TypeError, ValueError: it is something else, or an array or a PIL image of another shape or kind.
    """
    if isinstance(picture, bytes | bytearray | memoryview):
        return bytes(picture)
    if isinstance(picture, str | os.PathLike):
        return Path(picture).read_bytes()
    if hasattr(picture, "getexif"):
        return _save(picture)
    if hasattr(picture, "read"):
        return bytes(picture.read())
    if hasattr(picture, "__array__"):
        return to_png(picture)
    raise TypeError(f"A picture is bytes, a path, a file, a PIL image or an array, not {type(picture).__name__}.")


def _save(image: Any) -> bytes:
    """A PIL image as PNG, upright.

    Raises:
        TypeError: its pixels are floats, which do not say what white is.
        ValueError: its pixels need more than 16 bits.
    """
    from PIL import ImageOps  # noqa: PLC0415  there, as the image shows

    if image.mode == "F":
        raise TypeError("The pixels of a PIL image are whole numbers, not floats (mode F): scale them and convert it to L.")
    if image.mode == "I":
        low, high = image.getextrema()
        if low < 0 or high > MOST_LEVEL:
            raise ValueError(f"The pixels of a PIL image of mode I are 0 to {MOST_LEVEL}, not {low} to {high}: scale them.")
    upright, file = ImageOps.exif_transpose(image), BytesIO()
    (upright if upright.mode in PNG_MODES else upright.convert(INSTEAD.get(upright.mode, "RGB"))).save(file, "PNG")
    return file.getvalue()


def to_png(array: Any) -> bytes:
    """An array as PNG: uint8 or bool, (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).

    Raises:
        TypeError, ValueError: it has another type of element or another shape.
    """
    import numpy as np  # noqa: PLC0415  an extra

    pixels = np.asarray(array)
    if pixels.dtype == bool:
        pixels = pixels * np.uint8(255)
    if pixels.dtype != np.uint8:
        raise TypeError(f"An array of pixels is uint8, 0 to 255, not {pixels.dtype}.")
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.ndim not in (2, 3) or channels not in COLOUR_TYPES or not pixels.size:
        raise ValueError(f"An array of pixels is (H, W), (H, W, 3) or (H, W, 4), not {pixels.shape}.")
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, width * channels)
    unfiltered = np.zeros((height, 1 + width * channels), np.uint8)  # a 0 before each row: no filter
    unfiltered[:, 1:] = rows
    head = struct.pack(">IIBBBBB", width, height, 8, COLOUR_TYPES[channels], 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(unfiltered.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
