"""Refuses pictures by their size alone, before decoding any of them."""

from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from app.errors import ImageTooLarge

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
