"""Measures a digit in the picture, under the ink that the finder saw: contrast, stroke width, edge width and slant."""

from dataclasses import dataclass
from math import atan2, ceil, degrees, isqrt

import cv2
import numpy as np
from numpy.typing import NDArray

from app.reading.find.finder import INK, Floats
from app.reading.find.glyph import FAINT, bounds
from app.reading.find.window import Area, Pixels, Window

Levels = NDArray[np.uint8]  # (h, w) grey levels of ink, 255 for full ink
Mask = NDArray[np.uint8]  # (H, W), 0 where there is no ink

HALF, NEARLY_FULL = 128, 204  # of 255; between them is the inner part of an edge, which lies within the stroke
MARGIN = 0.2  # of a box's sides, on each side of it: there is ground to compare with
MOST_SIDE = 80  # pixels of the picture that a digit is measured on, along its longer side; of more, some
GROUND_SAMPLE = 200  # pixels suffice to name the ground's colour
FULL_INK = 0.03  # of the ink that the finder draws, a ninth of the digit wide: the share that a hairline fills
DECIMALS = 3  # places of a measurement


@dataclass(frozen=True)
class Measurements:
    """Measurements of a digit, for warnings and for detecting drift.

    contrast: of ink and the ground around it, 0 to 1; stroke_width, edge_width: over its longer side, edge_width from ground to
    full ink; strokes: the number of separate parts; slant: degrees from upright, positive to the right.
    """

    contrast: float
    stroke_width: float
    edge_width: float
    strokes: int
    slant: float


@dataclass(frozen=True)
class Under:
    """The part of a picture that a digit's ink covers.

    levels: (h, w), 255 for full ink; contrast: 0 to 1; area: of the ink, in pixels of the picture; touches: how many sides of
    the picture it reaches.
    """

    levels: Levels
    contrast: float
    area: Area
    touches: int


def look_under(picture: Pixels, window: Window, ink: Floats, area: Area) -> Under:
    """The picture (H, W, 3) under the ink (48, 48) of a look at a window, around a digit, in pixels of the picture."""
    height, width = picture.shape[:2]
    middle_x, middle_y, broad, high = area
    grown_x, grown_y = broad * (0.5 + MARGIN) + 1, high * (0.5 + MARGIN) + 1
    left, right = max(0, int(middle_x - grown_x)), min(width, ceil(middle_x + grown_x))
    top, bottom = max(0, int(middle_y - grown_y)), min(height, ceil(middle_y + grown_y))
    if right <= left or bottom <= top:
        return Under(np.zeros((1, 1), np.uint8), 0.0, area, 0)
    part = picture[top:bottom, left:right]
    step = max(1.0, max(part.shape[:2]) / MOST_SIDE)
    size = max(1, round(part.shape[1] / step)), max(1, round(part.shape[0] / step))
    patch = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    across, down = part.shape[1] / size[0], part.shape[0] / size[1]
    levels, contrast = _levels(patch, _ink_of(patch, (left, top), (across, down), window, ink))
    inked = bounds(at_least(HALF, levels))
    if not inked.width:
        return Under(levels, contrast, area, 0)
    broad, high = inked.width * across, inked.height * down
    x, y = left + inked.x * across + (broad - across + 1) / 2, top + inked.y * down + (high - down + 1) / 2  # on average
    ends = (inked.x, inked.y, size[0] - inked.x - inked.width, size[1] - inked.y - inked.height)
    borders = (left == 0, top == 0, right == width, bottom == height)
    return Under(
        levels, contrast, (x, y, broad, high), sum(border and not end for border, end in zip(borders, ends, strict=True))
    )


def _ink_of(patch: Pixels, corner: tuple[int, int], step: tuple[float, float], window: Window, ink: Floats) -> Mask:
    """Which pixels (h, w) of a patch of a picture the finder saw ink at, 255, or 0. step: pixels of the picture a pixel."""
    across, down = window.across * INK, window.down * INK  # pixels of the picture a pixel of ink
    x, y = (corner[0] + step[0] / 2 - window.x) / across - 0.5, (corner[1] + step[1] / 2 - window.y) / down - 0.5
    inverse = np.array([[step[0] / across, 0, x], [0, step[1] / down, y]])
    size = (patch.shape[1], patch.shape[0])
    seen = cv2.warpAffine(ink, inverse, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return np.asarray(cv2.threshold(seen, FAINT, 255, cv2.THRESH_BINARY)[1], np.uint8)


def _levels(patch: Pixels, near: Mask) -> tuple[Levels, float]:
    """How much each pixel near the ink differs from the ground around it, 255 for full ink; and how much full ink, 0 to 1."""
    count = cv2.countNonZero(near)
    some = 1 + isqrt(near.size // GROUND_SAMPLE)
    away = near[::some, ::some] == 0
    around = patch[::some, ::some][away] if away.any() else patch.reshape(-1, 3)
    ground = np.sort(around, axis=0)[len(around) // 2]
    red, green, blue = cv2.split(cv2.absdiff(patch, as_scalar(ground)))
    most = cv2.bitwise_and(cv2.max(cv2.max(red, green), blue), near)
    counts = cv2.calcHist([most], [0], near, [256], [0, 256]).ravel()
    full = 255 - int(np.searchsorted(counts[::-1].cumsum(), max(1.0, FULL_INK * count)))
    if full <= 0:
        return np.zeros_like(near), 0.0
    return np.asarray(cv2.convertScaleAbs(most, alpha=255 / full), np.uint8), full / 255


def as_scalar(colour: NDArray[np.uint8]) -> NDArray[np.float64]:
    """A colour (3,) as OpenCV wants one that stands for all pixels: with a fourth channel."""
    return np.array([*colour.tolist(), 0], np.float64)


def measure(levels: Levels, contrast: float, ink: Mask, glyph: Levels) -> Measurements:
    """Measures a digit. levels: (h, w), in the picture; ink: a mask of it, as the finder saw it; glyph: (28, 28)."""
    inner = at_least(HALF, levels)
    area, length, box = cv2.countNonZero(inner), outline(inner), bounds(inner)
    side = max(box.width, box.height, 1)
    between = area - cv2.countNonZero(at_least(NEARLY_FULL, levels))
    edge = between / length * 255 / (NEARLY_FULL - HALF) if length else 0.0
    strokes = cv2.connectedComponents(ink, connectivity=8)[0] - 1
    return Measurements(
        contrast=round(contrast, DECIMALS),
        stroke_width=round(2 * area / length / side, DECIMALS) if length else 0.0,
        edge_width=round(edge / side, DECIMALS),
        strokes=strokes,
        slant=round(slant(glyph), 1) + 0.0,  # never -0
    )


def slant(levels: Levels) -> float:
    """The lean of a digit (h, w) to the right, in degrees: the shear that makes its second moment μ11 vanish.

    Source: deslanting as in LeCun, Bottou, Bengio, Haffner, Gradient-based learning applied to document recognition (1998).
    """
    moments = cv2.moments(levels)
    return degrees(atan2(-moments["mu11"], moments["mu02"]))


def at_least(level: int, levels: Levels) -> Levels:
    """A mask (h, w): 255 where levels are at least this high, 0 elsewhere."""
    _, mask = cv2.threshold(levels, level - 1, 255, cv2.THRESH_BINARY)
    return np.asarray(mask, np.uint8)


def outline(mask: Mask) -> float:
    """Length of the outline of a mask (H, W), in pixels; 0 without ink.

    The count of edges between ink and ground times π/4, Crofton's mean over directions.
    Source: Serra, Image Analysis and Mathematical Morphology (1982), ch. IV.
    """
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    edges = cv2.countNonZero(cv2.absdiff(padded[1:], padded[:-1]))
    edges += cv2.countNonZero(cv2.absdiff(padded[:, 1:], padded[:, :-1]))
    return edges * np.pi / 4
