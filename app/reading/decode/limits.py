"""Refuses pictures by their size alone, before reading or decoding any of them."""

import os
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO, Protocol

from PIL import Image

from app.errors import ImageTooLarge, UploadTooLarge

MIB = 2**20

MAX_SIDE = 65_535  # pixels, as in JPEG: Pillow needs about twenty bytes for each row in addition to its pixels
JPEG_PIXELS = 4  # times max_pixels: a large JPEG is decoded at half its width and height or less


class Limits(Protocol):
    """The size limits checked before decoding; the service's settings implement them."""

    @property
    def max_upload_bytes(self) -> int:
        """Largest picture, in bytes."""

    @property
    def max_pixels(self) -> int:
        """Largest picture, in pixels; a JPEG may have JPEG_PIXELS times as many."""


@dataclass(frozen=True)
class DefaultLimits:
    """Limits suitable for a laptop."""

    max_upload_bytes: int = 20 * MIB
    max_pixels: int = 50_000_000


def read_bytes(file: Path, limits: Limits) -> bytes:
    """The bytes of a picture's file. Of a file above the limit, none is read.

    Raises:
        UploadTooLarge: the file has more bytes than limits.max_upload_bytes.
        OSError: it cannot be read.
    """
    with file.open("rb") as opened:
        found = os.fstat(opened.fileno())
        if not S_ISREG(found.st_mode):  # such as a pipe, which does not say how much will come
            return read_stream(opened, limits)
        check_bytes(found.st_size, limits)
        return opened.read()


def read_stream(stream: BinaryIO, limits: Limits) -> bytes:
    """The bytes of a picture that come as a stream, up to its end. No more than one byte above the limit is read.

    Raises:
        UploadTooLarge: more bytes come than limits.max_upload_bytes.
        OSError: they cannot be read.
    """
    data = stream.read(limits.max_upload_bytes + 1)
    if len(data) > limits.max_upload_bytes:
        raise UploadTooLarge(f"The picture has more than {limits.max_upload_bytes:,} bytes, which is the limit.")
    return data


def check_bytes(count: int, limits: Limits) -> None:
    """Refuses a picture with more bytes than the limit.

    Raises:
        UploadTooLarge: it has more.
    """
    if count > limits.max_upload_bytes:
        raise UploadTooLarge(f"The picture has {count:,} bytes; the limit is {limits.max_upload_bytes:,}.")


def check_size(image: Image.Image, limits: Limits) -> None:
    """Refuses a picture or frame with more pixels than the limits allow.

    Raises:
        ImageTooLarge: the picture has too many pixels, or a side is longer than MAX_SIDE.
    """
    width, height = image.size
    limit = limits.max_pixels * (JPEG_PIXELS if image.format in ("JPEG", "MPO") else 1)
    if width * height > limit:
        raise ImageTooLarge(
            f"A picture of {width} × {height} has {width * height:,} pixels; the limit for such a file is {limit:,}: reduce it."
        )
    if max(width, height) > MAX_SIDE:
        raise ImageTooLarge(f"The picture has {width} × {height} pixels; the limit for a side is {MAX_SIDE:,}: reduce it.")
