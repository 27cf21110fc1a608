"""Ink within a box -> a glyph, placed as NIST placed MNIST's. Tested against training.learning.reader_module.cut_glyphs."""

from dataclasses import dataclass
from functools import cache
from math import ceil, floor, sqrt

import cv2
import numpy as np
from numpy.typing import NDArray

from app.reading.answer import Box
from app.reading.find.finder import INK, Floats
from app.reading.find.window import Area

SIZE = 28  # side of a glyph, in pixels, as in MNIST
BOX = 20  # longer side of the ink, in pixels, as in MNIST
FRINGE = 2  # pixels that the faint edges of a glyph that `place` made may add to its longer side
CENTRE = 14.5  # where the ink's centre of mass lies, from the glyph's corner; NIST rounded up

FAINT = 0.15  # of full ink: less is ground
VISIBLE = 0.3  # of full ink: a digit without a pixel of it is none
ROOM = 1.16  # a box is widened to so much of itself, and by a pixel of ink, before ink outside of it goes
FINE = 3  # times that ink is enlarged before its bounds are taken
HAT, SPREAD = 2.0, 0.9375  # twelve times the variances of linear interpolation, and of four samples spread over 1
DARK_BORDER = 16  # most mean of a normalised digit's border; MNIST's training set: at most 8.4


@dataclass(frozen=True)
class Ink:
    """The ink of one digit. levels: (h, w) in 0..1, with ground to the exact 0; x, y: of its corner in the map of the look."""

    levels: Floats
    x: int
    y: int


def gate(ink: Floats, area: Area) -> Ink:
    """Cuts a digit's ink out of a look's (48, 48), with faint pixels set to 0 and a border of one empty pixel.

    area: of the digit, in pixels of the window.
    """
    x, y, width, height = (each / INK for each in area)
    left, right = _between(x, width, ink.shape[1])
    top, bottom = _between(y, height, ink.shape[0])
    _, inside = cv2.threshold(ink[top:bottom, left:right], np.nextafter(np.float32(FAINT), 0), 1, cv2.THRESH_TOZERO)
    around = min(top, 1), min(ink.shape[0] - bottom, 1), min(left, 1), min(ink.shape[1] - right, 1)
    levels = cv2.copyMakeBorder(inside, *around, cv2.BORDER_CONSTANT)
    return Ink(np.asarray(levels, np.float32), left - around[2], top - around[0])


def _between(middle: float, extent: float, size: int) -> tuple[int, int]:
    """The pixels whose middle lies within a box's widened extent, from the first to the one after the last; at least one."""
    reach = extent * ROOM / 2 + 1
    first = min(max(ceil(middle - reach - 0.5), 0), size - 1)
    return first, max(min(floor(middle + reach - 0.5) + 1, size), first + 1)


def place(ink: Ink) -> NDArray[np.uint8] | None:
    """The glyph (28, 28), bright ink on black; None where no ink is visible.

    The ink's longer side becomes 20 and its centre of mass the middle, as far as it then fits in; the brightest is 255.
    """
    levels = np.asarray(cv2.resize(ink.levels, None, fx=FINE, fy=FINE, interpolation=cv2.INTER_LINEAR), np.float32)
    left, top, width, height = cv2.boundingRect((levels >= FAINT).view(np.uint8))
    if not width:
        return None
    step = max(width, height) / BOX
    across, down = _weights(_sum(levels, 0), left, left + width, step), _weights(_sum(levels, 1), top, top + height, step)
    small = down @ levels @ across.T
    brightest = float(small.max())
    return np.asarray((small * (255 / brightest)).round(), np.uint8) if brightest > VISIBLE else None


def _sum(levels: Floats, axis: int) -> Floats:
    return np.asarray(cv2.reduce(levels, axis, cv2.REDUCE_SUM), np.float32).ravel()


def _weights(sums: Floats, first: int, end: int, step: float) -> Floats:
    """How much each place of an axis counts for each pixel of the glyph: (28, n). sums: (n,), the ink at each place.

    A pixel is the mean over a box that is as wide as four samples, each interpolated linearly, which are spread over its step.
    """
    centre = float(sums @ _places(len(sums))) / float(sums.sum()) + 0.5
    start = min(max(centre - CENTRE * step, end - SIZE * step), first)
    reach = np.float32(sqrt(HAT + SPREAD * max(step - 1, 0) ** 2) / 2)
    middles = _middles(SIZE) * np.float32(step) + np.float32(start)
    weights: Floats = middles[:, np.newaxis] - _middles(len(sums))
    np.abs(weights, out=weights)
    np.subtract(reach + np.float32(0.5), weights, out=weights)  # how much of each place is in the box
    np.maximum(weights, 0, out=weights)
    np.minimum(weights, min(1.0, 2 * float(reach)), out=weights)
    weights *= 1 / (2 * reach)
    return weights


@cache
def _places(count: int) -> Floats:
    """So many places on an axis: (count,)."""
    return np.arange(count, dtype=np.float32)


@cache
def _middles(count: int) -> Floats:
    """The middles of so many places on an axis: (count,)."""
    return _places(count) + np.float32(0.5)


def is_normalised(pixels: NDArray[np.uint8]) -> bool:
    """Whether (H, W, 3) is a digit in the form of MNIST already, or a glyph of ours: judged by the traces of the placing.

    28×28, grey, with a dark border; the longer side of the ink is 19 to 22, its centre of mass within a pixel of the middle.
    Source: LeCun, Cortes, Burges, The MNIST database of handwritten digits, http://yann.lecun.com/exdb/mnist/.
    """
    if pixels.shape[:2] != (SIZE, SIZE):
        return False
    grey = np.ascontiguousarray(pixels[..., 0])
    _, _, width, height = cv2.boundingRect(grey)
    longer = max(width, height)
    if not BOX - 1 <= longer <= BOX + FRINGE:  # on light paper, the whole picture is bright: nothing else need be looked at
        return False
    if not (np.array_equal(grey, pixels[..., 1]) and np.array_equal(grey, pixels[..., 2])):
        return False
    if np.concatenate((grey[0], grey[-1], grey[:, 0], grey[:, -1])).mean() > DARK_BORDER:
        return False
    moments = cv2.moments(grey)
    x, y = (moments[name] / moments["m00"] + 0.5 for name in ("m10", "m01"))
    return abs(x - CENTRE) <= 1 and abs(y - CENTRE) <= 1


def bounds(mask: NDArray[np.uint8]) -> Box:
    """The smallest box around what is not 0."""
    return Box(*cv2.boundingRect(mask))
