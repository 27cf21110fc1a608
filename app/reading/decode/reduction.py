"""Reduces large pictures to the size at which they are read; the cost grows evenly with their size."""

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

WORK_SIDE = 1024  # pixels; larger pictures are reduced to this
LEAST_SIDE = 800  # pixels left after reduction by a whole number: a digit 1/40 of the side long still fills the 20 px box
STRIP = 2**20  # pixels converted to 8 bits at a time

DEPTHS = (1.0, *(2.0**bits - 1 for bits in (8, 10, 12, 14, 16, 32)))  # the largest grey values that files use


def shrink(image: Image.Image) -> Pixels:
    """The pixels of a loaded image as 8-bit RGB (H, W, 3) or RGBA (H, W, 4), the longer side at most WORK_SIDE.

    Works strip by strip, so it needs little memory in addition to the image itself.
    """
    to_8_bits = _to_8_bits(image)
    factor, mixed = whole_factor(image.size), max(image.size) > WORK_SIDE
    parts = (to_8_bits(strip) for strip in _strips(image, factor))
    strips = [_average(np.asarray(_premultiplied(part) if mixed else part), factor) for part in parts]
    return _finish(strips[0] if len(strips) == 1 else np.concatenate(strips), image.size)


def shrink_pixels(pixels: Pixels) -> Pixels:
    """Like shrink, for pixels (H, W, 3); small enough pictures are returned unchanged."""
    size = pixels.shape[1], pixels.shape[0]
    if max(size) <= WORK_SIDE:
        return pixels
    return _finish(_average(pixels, whole_factor(size)), size)


def whole_factor(size: tuple[int, int]) -> int:
    """The largest divisor that leaves the longer side at least LEAST_SIDE pixels; 1 for pictures within WORK_SIDE."""
    return max(1, max(size) // LEAST_SIDE) if max(size) > WORK_SIDE else 1


def reduced(size: tuple[int, int]) -> tuple[int, int]:
    """The width and height of the reduced picture."""
    factor = whole_factor(size)
    width, height = -(-size[0] // factor), -(-size[1] // factor)
    rest = min(1.0, WORK_SIDE / max(width, height))
    return max(1, round(width * rest)), max(1, round(height * rest))


def _finish(pixels: Pixels, original: tuple[int, int]) -> Pixels:
    """Resizes the averaged pixels to their final size.

    This step removes less than two thirds of each side. It interpolates linearly, so thin strokes become faint but stay.
    pixels: (H, W, 3), or (H, W, 4), with colours premultiplied by alpha if the picture was reduced.
    """
    size = reduced(original)
    small = pixels if pixels.shape[:2] == size[::-1] else cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
    if pixels.shape[2] == 4 and max(original) > WORK_SIDE:
        small = np.asarray(Image.frombytes("RGBa", size, small.tobytes()).convert("RGBA"))
    return np.asarray(small, np.uint8)


def _average(pixels: Pixels, factor: int) -> Pixels:
    """Averages squares of factor × factor pixels; the border is repeated to complete the last ones."""
    if factor == 1:
        return pixels
    height, width = pixels.shape[:2]
    below, right = -height % factor, -width % factor
    if below or right:
        pixels = np.asarray(cv2.copyMakeBorder(pixels, 0, below, 0, right, cv2.BORDER_REPLICATE), np.uint8)
    size = pixels.shape[1] // factor, pixels.shape[0] // factor
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _strips(image: Image.Image, factor: int) -> Iterator[Image.Image]:
    """Yields the image from top to bottom in strips of about STRIP pixels; the rows of a strip are a multiple of factor."""
    if image.width * image.height <= STRIP:
        yield image
        return
    rows = factor * max(1, STRIP // (image.width * factor))
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height)))


def _premultiplied(image: Image.Image) -> Image.Image:
    """The image with colours multiplied by alpha, as averaging requires."""
    return image.convert("RGBa") if image.mode == "RGBA" else image


def _to_8_bits(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """A function that converts parts of this image, in any of Pillow's modes, to RGB, or to RGBA if it has transparency."""
    if image.mode.startswith(("I", "F")):
        black, depth = _range(image)
        return lambda part: Image.fromarray(_scale_depth(_levels(part), black, depth)).convert("RGB")
    if image.mode == "La":  # Pillow converts it to LA alone
        return lambda part: part.convert("LA").convert("RGBA")
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return lambda part: part if part.mode == mode else part.convert(mode)


def _range(image: Image.Image) -> tuple[float, float]:
    """Black, and the distance from it to white, for an image of mode I or F: the smallest usual depth that holds its grey."""
    ends = [(float(levels.min()), float(levels.max())) for levels in map(_levels, _strips(image, 1))]
    black = min(0.0, *(low for low, _ in ends))
    highest = max(high for _, high in ends) - black
    return black, next((depth for depth in DEPTHS if highest <= depth), DEPTHS[-1])


def _levels(grey: Image.Image) -> NDArray[np.floating]:
    """The levels of an image of mode I or F, made finite; in float64 for F, where float32 differences may overflow."""
    if grey.mode != "F":
        return np.asarray(grey, np.float32)
    return np.nan_to_num(np.asarray(grey, np.float64), copy=False, posinf=0.0, neginf=0.0)


def _scale_depth(levels: NDArray[np.floating], black: float, depth: float) -> Pixels:
    return np.asarray(((levels - black) * (255 / depth)).round().clip(0, 255), np.uint8)
