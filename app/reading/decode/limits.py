"""Limits on what a picture may be, judged by its header before the work that they limit."""

from dataclasses import dataclass
from typing import Protocol

from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from app.errors import ImageTooLarge
from app.reading.decode.file_structure import check_scans, count_frames, first_scan_components

MIB = 2**20

MAX_SIDE = 65_535  # pixels, as JPEG's: each row costs Pillow some twenty bytes beside its pixels
PIXEL = 4  # bytes that Pillow holds of a pixel, which max_pixels is meant for
HELD = {"WEBP": 16, "AVIF": 16, "HEIF": 8}  # bytes a pixel that decoders hold, Pillow's included; measured
ORIENTATION = 0x0112  # EXIF's tag
BITS_PER_SAMPLE, TILE_SIZE = 0x0102, (0x0142, 0x0143)  # TIFF's tags


class Limits(Protocol):
    """What is refused before it is decoded; a service's settings are one."""

    @property
    def max_upload_bytes(self) -> int:
        """Largest picture, in bytes."""

    @property
    def max_pixels(self) -> int:
        """Largest picture, in pixels."""

    @property
    def max_jpeg_pixels(self) -> int:
        """Largest baseline JPEG, in pixels; it is decoded at a fraction of its size."""

    @property
    def max_frames(self) -> int:
        """Most frames or pages; only the first is read."""


@dataclass(frozen=True)
class DefaultLimits:
    """Limits that serve on a laptop."""

    max_upload_bytes: int = 20 * MIB
    max_pixels: int = 50_000_000
    max_jpeg_pixels: int = 200_000_000
    max_frames: int = 1000


def check_size(image: Image.Image, data: bytes, limits: Limits) -> None:
    """Refuses what would take too much memory or time, before any of it is decoded."""
    width, height = image.size
    pixels = max(width * height, _tile_pixels(image))
    if _decodes_reduced(image, data):
        limit = limits.max_jpeg_pixels
    else:
        limit = limits.max_pixels * PIXEL // max(PIXEL, _bytes_held(image))
        if _is_jpeg(image):
            check_scans(data, pixels)
    if pixels > limit:
        raise ImageTooLarge(f"A picture of {width} × {height} takes {pixels:,} pixels; the limit for such a file is {limit:,}.")
    if max(width, height) > MAX_SIDE:
        raise ImageTooLarge(f"The picture has {width} × {height} pixels; the limit for a side is {MAX_SIDE:,}.")


def check_frames(image: Image.Image, data: bytes, limits: Limits) -> None:
    """Refuses what has more frames than the limits allow, though only the first is read."""
    if count_frames(image, data, limits.max_frames) > limits.max_frames:
        raise ImageTooLarge(f"The picture has more than {limits.max_frames:,} frames, which is the limit.")


def _decodes_reduced(image: Image.Image, data: bytes) -> bool:
    """Whether the decoder needs memory for a fraction of the pixels only: a JPEG in grey or RGB that comes in one scan.

    With several scans, as in a progressive JPEG, every coefficient is kept until the last one.
    """
    if not _is_jpeg(image) or image.mode not in ("L", "RGB"):
        return False
    return "progressive" not in image.info and first_scan_components(data) == len(image.getbands())


def _is_jpeg(image: Image.Image) -> bool:
    return image.format in ("JPEG", "MPO")


def _tile_pixels(image: Image.Image) -> int:
    """The pixels of a TIFF's tile, which is decoded as a whole though the picture be smaller; 0 of other pictures."""
    if not isinstance(image, TiffImageFile):
        return 0
    width, height = (image.tag_v2.get(tag, side) for tag, side in zip(TILE_SIZE, image.size, strict=True))
    return _largest(width) * _largest(height)


def _largest(value: int | tuple[int, ...]) -> int:
    """A tag's value; one that should be a single number may be several, or none."""
    return int(max(value, default=0) if isinstance(value, tuple) else value)


def _bytes_held(image: Image.Image) -> int:
    """The bytes a pixel that a decoder holds, or works through, at most, Pillow's own included."""
    if _is_jpeg(image):  # coefficients of 16 bits, and the pixels where they are not reduced
        return 2 * len(image.getbands()) + (0 if image.mode in ("L", "RGB") else PIXEL)
    if isinstance(image, TiffImageFile):
        stored = sum(image.tag_v2.get(BITS_PER_SAMPLE, (1,))) // 8
        turned = 2 if image.tag_v2.get(ORIENTATION, 1) > 1 else 1  # by a copy
        return turned * PIXEL + stored  # a strip can be as large as the picture
    if isinstance(image, PngImageFile):
        return 2 * len(image.getbands()) if any("16" in str(tile[3]) for tile in image.tile) else PIXEL
    return HELD.get(str(image.format), PIXEL)
