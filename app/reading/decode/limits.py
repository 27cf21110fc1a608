"""What is refused by its size alone, before any of it is decoded."""

from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from app.errors import ImageTooLarge

MIB = 2**20

MAX_SIDE = 65_535  # pixels, as JPEG's: each row costs Pillow some twenty bytes besides its pixels
JPEG_PIXELS = 4  # times as many: a large JPEG is decoded at half of its sides, or less


class Limits(Protocol):
    """What is refused before it is decoded; a service's settings are one."""

    @property
    def max_upload_bytes(self) -> int:
        """Largest picture, in bytes."""

    @property
    def max_pixels(self) -> int:
        """Largest picture, in pixels; a JPEG may have JPEG_PIXELS times as many."""


@dataclass(frozen=True)
class DefaultLimits:
    """Limits that serve on a laptop."""

    max_upload_bytes: int = 20 * MIB
    max_pixels: int = 50_000_000


def check_size(image: Image.Image, limits: Limits) -> None:
    """Refuses a picture, or a frame of it, that has more pixels than the limits allow.

    Raises:
        ImageTooLarge: it has.
    """
    width, height = image.size
    limit = limits.max_pixels * (JPEG_PIXELS if image.format in ("JPEG", "MPO") else 1)
    if width * height > limit:
        raise ImageTooLarge(
            f"A picture of {width} × {height} has {width * height:,} pixels; the limit for such a file is {limit:,}."
        )
    if max(width, height) > MAX_SIDE:
        raise ImageTooLarge(f"The picture has {width} × {height} pixels; the limit for a side is {MAX_SIDE:,}.")
