"""Cuts windows out of a picture for the finder to look at, and keeps where they were cut."""

from dataclasses import dataclass
from math import ceil

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]  # (H, W, 3), RGB
Area = tuple[float, float, float, float]  # of a digit: centre in x and y, width and height

SIDE = 96  # pixels of a window
STEP = 16  # pixels; the sides of any window are multiples of it
MARGIN = 8  # pixels of a page: the least width of the repeated border around it, both sides together
FILL = 0.62  # of a window's side, by the longer side of the digit that it is cut around
LEAST_SIDE = 8  # pixels of the picture; a smaller window would show nothing but interpolation
HALVINGS = 3  # at most, before interpolating; enough for windows of up to 1,536 pixels of the picture a side


def to_area(box: NDArray[np.float32]) -> Area:
    """A row of a map of boxes: (4,)."""
    x, y, width, height = box.tolist()
    return x, y, width, height


@dataclass(frozen=True)
class Window:
    """A part of a picture, reduced or enlarged: a square of SIDE, or a page. Outside of the picture, its border is repeated.

    pixels: (h, w, 3); x, y: of the window's corner in the picture; across, down: pixels of the picture a pixel.
    """

    pixels: Pixels
    x: float
    y: float
    across: float
    down: float

    def to_picture(self, area: Area) -> Area:
        """In pixels of the window -> in pixels of the picture."""
        x, y, width, height = area
        return self.x + x * self.across, self.y + y * self.down, width * self.across, height * self.down

    def from_picture(self, area: Area) -> Area:
        """In pixels of the picture -> in pixels of the window."""
        x, y, width, height = area
        return (x - self.x) / self.across, (y - self.y) / self.down, width / self.across, height / self.down


def cut_whole(picture: Pixels) -> Window:
    """The window that shows all of a picture, in its middle."""
    height, width = picture.shape[:2]
    side = max(width, height)
    return _cut_square(picture, (width - side) // 2, (height - side) // 2, side)


def cut_page(picture: Pixels, longer: int) -> Window:
    """The window that shows all of a picture in its own form, the longer side about so many pixels."""
    height, width = picture.shape[:2]
    step = max(width, height) / longer
    size = (_multiple(width / step + MARGIN), _multiple(height / step + MARGIN))
    span = round(size[0] * step), round(size[1] * step)
    return _cut(picture, ((width - span[0]) // 2, (height - span[1]) // 2), span, size)


def cut_around(picture: Pixels, area: Area) -> Window:
    """The window in whose middle a digit lies, in pixels of the picture, and of which it fills FILL."""
    x, y, width, height = area
    side = max(LEAST_SIDE, round(max(width, height) / FILL))
    left, top = (round(middle - side / 2) for middle in (x, y))
    return _cut_square(picture, left, top, side)


def _multiple(length: float) -> int:
    return max(1, ceil(length / STEP)) * STEP


def _cut_square(picture: Pixels, left: int, top: int, side: int) -> Window:
    return _cut(picture, (left, top), (side, side), (SIDE, SIDE))


def _cut(picture: Pixels, corner: tuple[int, int], span: tuple[int, int], size: tuple[int, int]) -> Window:
    """The rectangle whose corner lies at a pixel, brought to a size. span: its width and height in the picture."""
    left, top = corner
    x, right = _within(left, span[0], picture.shape[1])
    y, bottom = _within(top, span[1], picture.shape[0])
    step = span[0] / size[0]
    column, row = (
        min(max(round((at - edge) / step), 0), most - 1) for at, edge, most in ((x, left, size[0]), (y, top, size[1]))
    )
    width = min(max(round((right - x) / step), 1), size[0] - column)
    height = min(max(round((bottom - y) / step), 1), size[1] - row)
    small, used = _resize(picture[y:bottom, x:right], (width, height))
    padding = (row, size[1] - row - height, column, size[0] - column - width)
    pixels = cv2.copyMakeBorder(small, *padding, cv2.BORDER_REPLICATE) if any(padding) else small
    across, down = used[0] / width, used[1] / height
    return Window(np.asarray(pixels, np.uint8), x - column * across, y - row * down, across, down)


def _within(start: int, length: int, size: int) -> tuple[int, int]:
    """What of a range lies within 0 and size; at least one place."""
    first = min(max(start, 0), size - 1)
    return first, max(min(start + length, size), first + 1)


def _resize(part: Pixels, size: tuple[int, int]) -> tuple[cv2.typing.MatLike, tuple[int, int]]:
    """A part of a picture in that width and height, and how many of its columns and rows went into it.

    Halved as often as it can be, HALVINGS times at most, then interpolated: each pixel counts, and it is seven times as fast
    as one area average. An odd row or column is left out.
    """
    small: cv2.typing.MatLike = part
    used_width, used_height = part.shape[1], part.shape[0]
    factor = 1
    while factor < 2**HALVINGS and small.shape[1] >= 2 * size[0] and small.shape[0] >= 2 * size[1]:
        width, height = small.shape[1] // 2, small.shape[0] // 2
        small = cv2.resize(small[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
        factor *= 2
        used_width, used_height = factor * width, factor * height
    if (small.shape[1], small.shape[0]) != size:
        small = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
    return small, (used_width, used_height)
