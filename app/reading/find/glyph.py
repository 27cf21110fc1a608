"""Picture -> glyph: the digit's strokes, found, cut out and placed as NIST placed MNIST's.

ink     how much each pixel differs from the ground around it, whichever of the two is darker (ink.py)
strokes the mask of what is ink
written those strokes that are no lines of the paper and no frame (printed_lines.py)
digit   the largest group of written strokes, without the paper's edge (digit.py)
levels  that group's ink in grey levels, at a size where a pen is round
glyph   these levels, the longer side 20 pixels, the centre of mass in the middle of 28×28
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from app.errors import NoDigitFound
from app.reading.answer import Box, Finding
from app.reading.decode.picture import Picture
from app.reading.find.digit import Digit, find_digit
from app.reading.find.ink import Ink, commonest_peak, edge_contrast, mark_strokes, measure_ink
from app.reading.find.measure import Levels, Measurements, at_least, edge_width, slant, stroke_width

SIZE = 28  # side of a glyph, as MNIST's
BOX = 20  # the longer side of the ink, as NIST made MNIST
CENTRE = 14  # the pixel that MNIST's centre of mass lies on, counted from 0: it rounds up from 13.5

FAINT = 0.2  # edge contrast, 0 to 1, below which ink is called faint
TINY = 12  # pixels of the ink's longer side in the original, below which a digit is called tiny
BLURRED = 0.13  # edge width over the digit's longer side, from which it is called blurred: MNIST's strokes are as wide
COARSE = 3  # pixels; an edge that is narrower is as sharp as pixels can show it

MIN_WIDTH = 0.10  # stroke width over the digit's longer side; thinner pens are widened to it; MNIST's median is 0.13
MIN_SIDE, MAX_SIDE = 80, 160  # pixels; digits are brought between the two before they are thickened and placed

FULL_STROKE = 0.75  # share of a stroke's pixels whose ink is at most full
VISIBLE = 25  # of 255: fainter ink does not count into the box
DECIMALS = 3  # of a measurement
SMALL = 2**17  # pixels of a picture; the masks of several as small fit into a CPU's second cache


@dataclass(frozen=True)
class Glyph:
    """A digit as MNIST has them.

    pixels: (28, 28) uint8, bright ink on black; box: where it was, in pixels of the upright original;
    measurements: what was measured on it; warnings: what may be wrong with it.
    """

    pixels: NDArray[np.uint8]
    box: Box
    measurements: Measurements
    warnings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Steps:
    """The way to a glyph: ink (H, W) in 0..255; strokes, written: masks (H, W) of 0 and 1; the digit; the glyph."""

    ink: NDArray[np.uint8]
    strokes: NDArray[np.uint8]
    written: NDArray[np.uint8]
    digit: Digit
    glyph: Glyph


@dataclass(frozen=True)
class Seen:
    """A picture whose ink is measured. size: width and height of the upright original, in pixels."""

    ink: Ink
    size: tuple[int, int]


@dataclass(frozen=True)
class Picked:
    """A picture whose digit is known. contrast: of its edges, 0 to 1; strokes, written: as in Steps."""

    seen: Seen
    contrast: float
    strokes: NDArray[np.uint8]
    written: NDArray[np.uint8]
    digit: Digit


def find_glyph(picture: Picture) -> Glyph:
    """Finds the digit in a picture and places it in 28×28. The same picture always gives the same glyph.

    Raises:
        NoDigitFound: nothing stands out from its ground.
    """
    return take_steps(picture).glyph


def take_steps(picture: Picture) -> Steps:
    """find_glyph, with all that it makes on its way.

    Raises:
        NoDigitFound: as find_glyph.
    """
    seen = see(picture)
    return seen if isinstance(seen, Steps) else draw(pick(seen))


def see(picture: Picture) -> Seen | Steps:
    """The first of three steps: measures the ink, or keeps what is a glyph already. The picture is not needed after it."""
    if is_normalised(picture.pixels):
        return _keep(picture)
    return Seen(measure_ink(picture.pixels), (picture.width, picture.height))


def pick(seen: Seen) -> Picked:
    """The second: finds the digit in the ink.

    Raises:
        NoDigitFound: nothing stands out from its ground.
    """
    contrast, needed = edge_contrast(seen.ink)
    if contrast < needed:
        raise NoDigitFound(
            f"Nothing stands out: the contrast is {contrast:.1%} of full scale, a digit needs {needed:.0%} here."
        )
    strokes = mark_strokes(seen.ink)
    return Picked(seen, contrast, strokes, *find_digit(strokes))


def draw(picked: Picked) -> Steps:
    """The third: draws the digit as a glyph."""
    levels, digit = picked.seen.ink.levels, picked.digit
    cut = cut_out(levels, digit)
    measured = measure(cut, digit, picked.contrast)
    box = _to_original(digit.box, levels.shape, picked.seen.size)
    glyph = Glyph(place(thicken(cut, measured.stroke_width)), box, measured, tuple(_doubts(digit, measured, box)))
    return Steps(levels, picked.strokes, picked.written, digit, glyph)


def _keep(picture: Picture) -> Steps:
    """The steps of a picture that already is a glyph."""
    ink = picture.pixels[..., 0].copy()
    strokes = (ink > 0).astype(np.uint8)
    box = _bounds(strokes)
    parts, _ = cv2.connectedComponents(strokes, connectivity=8)
    digit = Digit(box, strokes[box.y : box.y + box.height, box.x : box.x + box.width], parts - 1, 0, 0)
    measured = measure(cut_out(ink, digit), digit, float(ink.max()) / 255)
    return Steps(ink, strokes, strokes, digit, Glyph(ink, box, measured))


def _doubts(digit: Digit, measured: Measurements, box: Box) -> Iterator[Finding]:
    if digit.others:
        yield Finding("several-digits", digit.others + 1, "There is more than one digit; the largest was read.")
    if digit.touches:
        yield Finding("touches-border", digit.touches, "The ink touches the border: part of the digit may be missing.")
    if measured.contrast < FAINT:
        yield Finding("faint", measured.contrast, "The ink hardly stands out from its ground; more light may help.")
    if max(box.width, box.height) < TINY:
        detail = "The digit is a few pixels high; a larger picture of it may help."
        yield Finding("tiny", max(box.width, box.height), detail)
    if measured.edge_width >= max(BLURRED, COARSE / max(digit.mask.shape)):
        yield Finding(
            "blurred", measured.edge_width, "The strokes' edges are as wide as strokes are; a sharper picture may help."
        )


def is_normalised(pixels: NDArray[np.uint8]) -> bool:
    """Whether (H, W, 3) already is a digit as MNIST has them, told by what NIST's normalisation leaves.

    28×28, grey, a dark border, the ink's longer side 19 or 20, its centre of mass within one pixel of the middle.
    Source: LeCun, Cortes, Burges, The MNIST database of handwritten digits, http://yann.lecun.com/exdb/mnist/.
    """
    if pixels.shape[:2] != (SIZE, SIZE):
        return False
    grey = pixels[..., 0]
    if not (np.array_equal(grey, pixels[..., 1]) and np.array_equal(grey, pixels[..., 2])):
        return False
    border = np.concatenate((grey[0], grey[-1], grey[:, 0], grey[:, -1]))
    if not grey.any() or border.mean() > 16:  # MNIST's training set: at most 8.4
        return False
    box = _bounds(grey)
    x, y = _centre_of_mass(grey)
    return max(box.width, box.height) in (BOX - 1, BOX) and abs(x - CENTRE) <= 1 and abs(y - CENTRE) <= 1


def cut_out(ink: NDArray[np.uint8], digit: Digit) -> Levels:
    """The digit's ink (H, W) in grey levels, (h, w) in 0..255, 255 where a stroke is full, at a size where a pen is round."""
    box = digit.box
    around = ink[box.y : box.y + box.height, box.x : box.x + box.width]
    halo = cv2.dilate(digit.mask, np.ones((3, 3), np.uint8))  # the strokes' soft edge belongs to them
    full, own = _full_ink(around, digit.mask), np.asarray(around * halo, np.uint8)
    return _to_pen_size(own if full == 255 else np.asarray(cv2.convertScaleAbs(own, alpha=255 / full), np.uint8))


def _full_ink(around: NDArray[np.uint8], mask: NDArray[np.uint8]) -> int:
    """The least level that FULL_STROKE of a digit's pixels do not exceed, 1 at least."""
    peak = commonest_peak(np.asarray(around * mask, np.uint8), (1 - FULL_STROKE) * cv2.countNonZero(mask))
    if peak:
        return peak
    counts = cv2.calcHist([around], [0], mask, [256], [0, 256]).ravel().cumsum()
    return max(1, int(np.searchsorted(counts, FULL_STROKE * counts[-1])))


def _to_pen_size(levels: Levels) -> Levels:
    """Brings the longer side between MIN_SIDE and MAX_SIDE: a pen is round there, a place exact, and both cost little."""
    side = max(levels.shape)
    factor = min(max(side, MIN_SIDE), MAX_SIDE) / side
    if factor == 1:
        return levels
    size = (max(1, round(levels.shape[1] * factor)), max(1, round(levels.shape[0] * factor)))
    method = cv2.INTER_AREA if factor < 0.5 else cv2.INTER_LINEAR  # which is fast, and down to a half leaves out no pixel
    return np.asarray(cv2.resize(levels, size, interpolation=method), np.uint8)


def measure(levels: Levels, digit: Digit, contrast: float) -> Measurements:
    """Measures a digit on its levels (h, w) and its mask."""
    return Measurements(
        contrast=round(contrast, DECIMALS),
        stroke_width=round(stroke_width(digit.mask) / max(digit.mask.shape), DECIMALS),
        edge_width=round(edge_width(levels) / max(levels.shape), DECIMALS),
        strokes=digit.strokes,
        slant=round(slant(levels), 1) + 0.0,  # and never -0
    )


def thicken(levels: Levels, width: float) -> Levels:
    """Widens strokes of a thin pen, which scaling down would let vanish, by a round pen; others stay as they are.

    levels: (h, w) in 0..255; width: of the strokes, over the longer side.
    """
    pen = round((MIN_WIDTH - width) * max(levels.shape)) + 1
    if pen <= 1:
        return levels
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (pen, pen))
    padded = cv2.copyMakeBorder(levels, pen, pen, pen, pen, cv2.BORDER_CONSTANT)
    return np.asarray(cv2.dilate(padded, kernel), np.uint8)


def place(levels: Levels) -> NDArray[np.uint8]:
    """Scales ink (h, w) in 0..255 to a longer side of 20 and moves its centre of mass to the middle: (28, 28) uint8.

    Both in one averaging of areas: the ink is laid on a sheet of 28/20 of its side, which is then reduced to 28.
    """
    ink = _bounds(at_least(VISIBLE + 1, levels))
    levels = levels[ink.y : ink.y + ink.height, ink.x : ink.x + ink.width]
    height, width = levels.shape
    side = max(SIZE, round(max(height, width) * SIZE / BOX))
    x, y = _centre_of_mass(levels)
    middle = (CENTRE + 0.5) * side / SIZE - 0.5  # pixels are counted by their middles
    left = min(max(round(middle - x), 0), side - width)
    top = min(max(round(middle - y), 0), side - height)
    sheet = np.zeros((side, side), np.float32)
    sheet[top : top + height, left : left + width] = levels
    small = cv2.resize(sheet, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.convertScaleAbs(small, alpha=255 / max(cv2.norm(small, cv2.NORM_INF), VISIBLE)), np.uint8)


def _bounds(mask: cv2.typing.MatLike) -> Box:
    return Box(*cv2.boundingRect(mask))


def _centre_of_mass(levels: Levels) -> tuple[float, float]:
    moments = cv2.moments(levels)
    return moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]


def _to_original(box: Box, shape: tuple[int, ...], size: tuple[int, int]) -> Box:
    """A box in a picture of this shape (H, W, …), in pixels of the original of this width and height."""
    scale = max(size) / max(shape[:2])
    x, y = int(box.x * scale), int(box.y * scale)
    right, bottom = round((box.x + box.width) * scale), round((box.y + box.height) * scale)
    return Box(x, y, min(right, size[0]) - x, min(bottom, size[1]) - y)
