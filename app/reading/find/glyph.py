"""Makes a glyph from a picture: finds the strokes of the digit, cuts them out and places them as NIST placed MNIST's.

ink     how much each pixel differs from the ground around it, whether darker or lighter (ink.py)
strokes the mask of the ink
written the strokes without printed lines and frames (printed_lines.py)
digit   the largest group of written strokes, without the edge of the paper (digit.py)
levels  the ink of that group in grey levels, at a size where a pen is round
glyph   these levels, scaled to a longer side of 20 pixels, with the centre of mass in the middle of 28×28
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from app.errors import NoDigitFound
from app.reading.answer import Box, Finding
from app.reading.decode.picture import Picture
from app.reading.find.blank import blank
from app.reading.find.digit import Digit, find_digit
from app.reading.find.ink import Ink, commonest_peak, edge_contrast, mark_strokes, measure_ink
from app.reading.find.measure import Levels, Measurements, at_least, edge_width, slant, stroke_width

SIZE = 28  # side of a glyph, in pixels, as in MNIST
BOX = 20  # longer side of the ink, in pixels, as in MNIST
CENTRE = 14  # pixel of MNIST's centre of mass, counted from 0; NIST rounded 13.5 up

FAINT = 0.2  # edge contrast, 0 to 1, below which ink is called faint
TINY = 12  # pixels of the ink's longer side in the original, below which a digit is called tiny
BLURRED = 0.13  # edge width over the digit's longer side from which it is called blurred: as wide as MNIST's strokes
COARSE = 3  # pixels; a narrower edge is as sharp as pixels can show

MIN_WIDTH = 0.10  # stroke width over the digit's longer side; thinner strokes are widened to it; MNIST's median is 0.13
MIN_SIDE, MAX_SIDE = 80, 160  # pixels; digits are scaled to between the two before they are thickened and placed

FULL_STROKE = 0.75  # share of the pixels of a stroke whose ink is at most full
VISIBLE = 25  # of 255; fainter ink does not count for the box
DECIMALS = 3  # places of a measurement
SMALL = 2**17  # pixels of a picture; the masks of several pictures up to this size fit into a CPU's second-level cache


@dataclass(frozen=True)
class Glyph:
    """A digit in the form of MNIST.

    pixels: (28, 28) uint8, bright ink on black; box: its position, in pixels of the upright original;
    measurements: of the digit; warnings: doubts about it.
    """

    pixels: NDArray[np.uint8]
    box: Box
    measurements: Measurements
    warnings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Steps:
    """The steps to a glyph. ink: (H, W) in 0..255; strokes, written: masks (H, W) of 0 and 1."""

    ink: NDArray[np.uint8]
    strokes: NDArray[np.uint8]
    written: NDArray[np.uint8]
    digit: Digit
    glyph: Glyph


@dataclass(frozen=True)
class Seen:
    """A picture after its ink was measured. size: width and height of the upright original, in pixels."""

    ink: Ink
    size: tuple[int, int]


@dataclass(frozen=True)
class Picked:
    """A picture after its digit was found. contrast: of its edges, 0 to 1; strokes, written: as in Steps."""

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
    """As find_glyph, with all intermediate steps.

    Raises:
        NoDigitFound: as find_glyph.
    """
    seen = see(picture)
    return seen if isinstance(seen, Steps) else draw(pick(seen))


def see(picture: Picture) -> Seen | Steps:
    """The first of three steps: measures the ink. A picture that is a glyph already is kept. The picture may then be freed.

    Raises:
        NoDigitFound: the picture has one colour.
    """
    if is_normalised(picture.pixels):
        return _keep(picture)
    ink = measure_ink(picture.pixels)
    if ink.left == ink.right:
        raise blank(picture.pixels, "The picture is blank: all of it has one colour.")
    return Seen(ink, (picture.width, picture.height))


def pick(seen: Seen) -> Picked:
    """The second step: finds the digit in the ink.

    Raises:
        NoDigitFound: nothing stands out from its ground.
    """
    contrast, needed = edge_contrast(seen.ink)
    if contrast < needed:
        raise NoDigitFound(
            f"Nothing stands out: the contrast is {contrast:.1%} of full scale, but a digit needs {needed:.0%} here."
        )
    strokes = mark_strokes(seen.ink)
    return Picked(seen, contrast, strokes, *find_digit(strokes))


def draw(picked: Picked) -> Steps:
    """The third step: draws the digit as a glyph."""
    levels, digit = picked.seen.ink.levels, picked.digit
    cut = cut_out(levels, digit)
    measured = measure(cut, digit, picked.contrast)
    box = _to_original(digit.box, levels.shape, picked.seen.size)
    glyph = Glyph(place(thicken(cut, measured.stroke_width)), box, measured, tuple(_doubts(digit, measured, box)))
    return Steps(levels, picked.strokes, picked.written, digit, glyph)


def _keep(picture: Picture) -> Steps:
    """The steps of a picture that is a glyph already."""
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
        yield Finding("faint", measured.contrast, "The ink barely stands out from its ground; more light may help.")
    if max(box.width, box.height) < TINY:
        detail = "The digit is only a few pixels high; a larger picture of it may help."
        yield Finding("tiny", max(box.width, box.height), detail)
    if measured.edge_width >= max(BLURRED, COARSE / max(digit.mask.shape)):
        yield Finding(
            "blurred", measured.edge_width, "The edges of the strokes are as wide as strokes; a sharper picture may help."
        )


def is_normalised(pixels: NDArray[np.uint8]) -> bool:
    """Whether (H, W, 3) is a digit in the form of MNIST already, judged by the traces of NIST's normalisation.

    28×28, grey, with a dark border; the longer side of the ink is 19 or 20, its centre of mass within a pixel of the middle.
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
    """Cuts the digit out of the ink (H, W): grey levels (h, w) in 0..255, 255 for full ink, at a size where a pen is round."""
    box = digit.box
    around = ink[box.y : box.y + box.height, box.x : box.x + box.width]
    halo = cv2.dilate(digit.mask, np.ones((3, 3), np.uint8))  # the soft edges of the strokes belong to the digit
    full, own = _full_ink(around, digit.mask), np.asarray(around * halo, np.uint8)
    return _to_pen_size(own if full == 255 else np.asarray(cv2.convertScaleAbs(own, alpha=255 / full), np.uint8))


def _full_ink(around: NDArray[np.uint8], mask: NDArray[np.uint8]) -> int:
    """The level that FULL_STROKE of the digit's pixels do not exceed; at least 1."""
    peak = commonest_peak(np.asarray(around * mask, np.uint8), (1 - FULL_STROKE) * cv2.countNonZero(mask))
    if peak:
        return peak
    counts = cv2.calcHist([around], [0], mask, [256], [0, 256]).ravel().cumsum()
    return max(1, int(np.searchsorted(counts, FULL_STROKE * counts[-1])))


def _to_pen_size(levels: Levels) -> Levels:
    """Scales the longer side to MIN_SIDE..MAX_SIDE, where a pen is round, positions are exact, and both are cheap."""
    side = max(levels.shape)
    factor = min(max(side, MIN_SIDE), MAX_SIDE) / side
    if factor == 1:
        return levels
    size = (max(1, round(levels.shape[1] * factor)), max(1, round(levels.shape[0] * factor)))
    method = cv2.INTER_AREA if factor < 0.5 else cv2.INTER_LINEAR  # fast, and down to a half it skips no pixel
    return np.asarray(cv2.resize(levels, size, interpolation=method), np.uint8)


def measure(levels: Levels, digit: Digit, contrast: float) -> Measurements:
    """Measures a digit on its levels (h, w) and its mask."""
    return Measurements(
        contrast=round(contrast, DECIMALS),
        stroke_width=round(stroke_width(digit.mask) / max(digit.mask.shape), DECIMALS),
        edge_width=round(edge_width(levels) / max(levels.shape), DECIMALS),
        strokes=digit.strokes,
        slant=round(slant(levels), 1) + 0.0,  # never -0
    )


def thicken(levels: Levels, width: float) -> Levels:
    """Widens thin strokes, which would vanish when scaled down, with a round pen. Other strokes stay as they are.

    levels: (h, w) in 0..255; width: stroke width over the longer side.
    """
    pen = round((MIN_WIDTH - width) * max(levels.shape)) + 1
    if pen <= 1:
        return levels
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (pen, pen))
    padded = cv2.copyMakeBorder(levels, pen, pen, pen, pen, cv2.BORDER_CONSTANT)
    return np.asarray(cv2.dilate(padded, kernel), np.uint8)


def place(levels: Levels) -> NDArray[np.uint8]:
    """Scales ink (h, w) in 0..255 to a longer side of 20 and moves its centre of mass to the middle: (28, 28) uint8.

    One area average does both: the ink is laid on a sheet of 28/20 of its side, which is then reduced to 28.
    """
    ink = _bounds(at_least(VISIBLE + 1, levels))
    levels = levels[ink.y : ink.y + ink.height, ink.x : ink.x + ink.width]
    height, width = levels.shape
    side = max(SIZE, round(max(height, width) * SIZE / BOX))
    x, y = _centre_of_mass(levels)
    middle = (CENTRE + 0.5) * side / SIZE - 0.5  # a pixel's coordinate is its middle
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
    """Scales a box in a picture of this shape (H, W, …) to an original of this size (width, height), in pixels."""
    scale = max(size) / max(shape[:2])
    x, y = int(box.x * scale), int(box.y * scale)
    right, bottom = round((box.x + box.width) * scale), round((box.y + box.height) * scale)
    return Box(x, y, min(right, size[0]) - x, min(bottom, size[1]) - y)
