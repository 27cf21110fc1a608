"""Picture -> glyph: the digit's strokes, found, cut out and placed as NIST placed MNIST's.

ink     how much each pixel differs from the ground around it, whichever of the two is darker
strokes the mask of what is ink
digit   the largest group of strokes, without the paper's edge or a frame
glyph   that group's ink in grey levels, its longer side 20 pixels, its centre of mass in the middle of 28×28
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from app.errors import NoDigitFound
from app.images import Picture
from app.ink import edge_contrast, mark_strokes, measure_ink

SIZE = 28  # side of a glyph, as MNIST's
BOX = 20  # the longer side of the ink, as NIST made MNIST
CENTRE = 14  # the pixel that MNIST's centre of mass lies on, counted from 0: it rounds up from 13.5

FAINT = 0.2  # edge contrast, 0 to 1, below which ink is called faint
TINY = 12  # pixels of the ink's longer side in the original, below which a digit is called tiny

MAX_STROKES = 200  # the largest are looked at; a digit has a handful, noise has thousands
INNER = 0.1  # of the largest stroke's area: one that does not touch the border and has this much goes before those that do
SPECK = 0.01  # of the largest stroke's area: smaller ones are dust
REACH = 0.3  # of the group's longer side: strokes nearer than this belong to the same digit
SIBLING = 0.6  # of the digit's height: a stroke beside it that is this high may be another digit
ALIKE = 0.2  # of the digit's ink: what has less is no other digit
EDGE_SPAN = 0.9  # of a side: a stroke along the border that spans this much is the paper's edge, a ruled line or a frame

MIN_WIDTH = 0.10  # stroke width over the digit's longer side; thinner pens are widened to it; MNIST's median is 0.13
MIN_SIDE, MAX_SIDE = 80, 160  # pixels; digits are brought between the two before they are thickened and placed

FULL_STROKE = 75  # percentile of a stroke's ink that counts as full
VISIBLE = 0.1  # share of full ink below which a pixel does not count into the box


@dataclass(frozen=True)
class Box:
    """Where the ink is, in pixels of the upright original; x and y are its left upper corner."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Finding:
    """A doubt about a glyph: a stable code, the measured value, and a sentence for people."""

    code: str
    value: float
    detail: str


@dataclass(frozen=True)
class Glyph:
    """pixels: (28, 28) uint8, bright ink on black, as MNIST's; box: where it was; warnings: what may be wrong with it."""

    pixels: NDArray[np.uint8]
    box: Box
    warnings: tuple[Finding, ...] = ()


def find_glyph(picture: Picture) -> Glyph:
    """Finds the digit in a picture and places it in 28×28. The same picture always gives the same glyph.

    Raises:
        NoDigitFound: nothing stands out from its ground.
    """
    if is_normalised(picture.pixels):
        pixels = picture.pixels[..., 0].copy()
        return Glyph(pixels, _to_original(_bounds(pixels > 0), picture))
    ink = measure_ink(picture.pixels)
    contrast, needed = edge_contrast(ink)
    if contrast < needed:
        raise NoDigitFound(
            f"Nothing stands out: the contrast is {contrast:.1%} of full scale, a digit needs {needed:.0%} here."
        )
    digit = pick_digit(mark_strokes(ink))
    box = _to_original(digit.box, picture)
    return Glyph(place(cut_out(ink, digit)), box, _doubts(digit, contrast, max(box.width, box.height)))


def _doubts(digit: "Digit", contrast: float, side: int) -> tuple[Finding, ...]:
    doubts = (
        (digit.others > 0, "several-digits", digit.others + 1, "There is more than one digit; the largest was read."),
        (digit.touches > 0, "touches-border", digit.touches, "The ink touches the border: part of the digit may be missing."),
        (contrast < FAINT, "faint", round(contrast, 3), "The ink hardly stands out from its ground; more light may help."),
        (side < TINY, "tiny", side, "The digit is a few pixels high; a larger picture of it may help."),
    )
    return tuple(Finding(code, value, detail) for applies, code, value, detail in doubts if applies)


def is_normalised(pixels: NDArray[np.uint8]) -> bool:
    """Whether (H, W, 3) already is a digit as MNIST has them, told by what NIST's normalisation leaves.

    28×28, grey, a dark border, the ink's longer side 19 or 20, its centre of mass within one pixel of the middle.
    Source: LeCun, Cortes, Burges, The MNIST database of handwritten digits, http://yann.lecun.com/exdb/mnist/.
    """
    if pixels.shape[:2] != (SIZE, SIZE) or np.ptp(pixels, axis=2).any():
        return False
    grey = pixels[..., 0]
    border = np.concatenate((grey[0], grey[-1], grey[:, 0], grey[:, -1]))
    if not grey.any() or border.mean() > 16:  # MNIST's training set: at most 8.4
        return False
    box = _bounds(grey > 0)
    x, y = _centre_of_mass(grey.astype(np.float64))
    return max(box.width, box.height) in (BOX - 1, BOX) and abs(x - CENTRE) <= 1 and abs(y - CENTRE) <= 1


@dataclass(frozen=True)
class Digit:
    """What was taken for the digit.

    box: in pixels of the picture at hand; mask: (height, width) of 0 and 1 within the box; touches: how many of its
    strokes touch the border; others: how many strokes beside it look like further digits.
    """

    box: Box
    mask: NDArray[np.uint8]
    touches: int
    others: int


def pick_digit(strokes: NDArray[np.uint8]) -> Digit:
    """The largest stroke of a mask (H, W) of 0 and 1, and those near it.

    Frames, ruled lines and the paper's edge are left out, unless nothing else is there.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(strokes, connectivity=8)
    found = stats[1:].astype(np.int64)  # a row a stroke: left, top, width, height, area
    if not len(found):
        raise NoDigitFound("Nothing stands out: no stroke is left above the paper's noise.")
    low, high = found[:, :2], found[:, :2] + found[:, 2:4]
    size = np.array(strokes.shape[::-1])
    border = (low == 0).any(axis=1) | (high == size).any(axis=1)
    edge = border & (high - low >= EDGE_SPAN * size).any(axis=1)
    candidates = _candidates(found[:, 4], border, edge)
    group = _group(found, candidates)
    others = int(_alike(found, np.setdiff1d(candidates, group), group).sum())
    (x0, y0), (x1, y1) = low[group].min(axis=0).tolist(), high[group].max(axis=0).tolist()
    chosen = np.zeros(len(stats), dtype=np.uint8)
    chosen[group + 1] = 1
    return Digit(Box(x0, y0, x1 - x0, y1 - y0), chosen[labels[y0:y1, x0:x1]], int(border[group].sum()), others)


def _candidates(area: NDArray[np.int64], border: NDArray[np.bool_], edge: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Indices of the strokes that a digit may consist of, the largest first and not more than MAX_STROKES."""
    candidates = np.flatnonzero(~edge) if not edge.all() else np.arange(len(area))
    inner = candidates[~border[candidates]]
    if len(inner) and area[inner].max() >= INNER * area[candidates].max():
        candidates = inner
    return candidates[np.argsort(-area[candidates], kind="stable")][:MAX_STROKES]


def _group(found: NDArray[np.int64], candidates: NDArray[np.intp]) -> NDArray[np.intp]:
    """The candidate that is longest and heaviest, and all that lie near it or near what was taken before."""
    low, area = found[candidates, :2], found[candidates, 4]
    high = low + found[candidates, 2:4]
    main = int(np.argmax(area * (high - low).max(axis=1)))  # the length tells a stroke from a blot better than area alone
    taken = np.arange(len(candidates)) == main
    possible = (area >= SPECK * area[main]) & ~_beside(low, high, main)
    while True:
        start, end = low[taken].min(axis=0), high[taken].max(axis=0)
        gap = np.maximum(low - end, start - high).max(axis=1)
        grown = taken | (possible & (gap < REACH * (end - start).max()))
        if (grown == taken).all():
            group: NDArray[np.intp] = candidates[taken]
            return group
        taken = grown


def _beside(low: NDArray[np.int64], high: NDArray[np.int64], main: int) -> NDArray[np.bool_]:
    """Which strokes stand beside the main one as another digit of a row does: apart, about as high, at the same height."""
    height = (high - low)[:, 1]
    apart = np.maximum(low[:, 0] - high[main, 0], low[main, 0] - high[:, 0]) >= 0
    shared = np.minimum(high[:, 1], high[main, 1]) - np.maximum(low[:, 1], low[main, 1])
    beside: NDArray[np.bool_] = apart & (height >= SIBLING * height[main]) & (shared >= 0.5 * height)
    return beside


def _alike(found: NDArray[np.int64], others: NDArray[np.intp], group: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which of the other strokes are like a digit of the group's size: about as high, and with as much ink."""
    top, bottom = found[group, 1].min(), (found[group, 1] + found[group, 3]).max()
    height, area = found[others, 3], found[others, 4]
    within = (height >= SIBLING * (bottom - top)) & (height <= (bottom - top) / SIBLING)
    alike: NDArray[np.bool_] = within & (area >= ALIKE * found[group, 4].sum())
    return alike


def cut_out(ink: NDArray[np.uint8], digit: Digit) -> NDArray[np.float32]:
    """The digit's ink in grey levels, (h, w) float32 in 0..1, its strokes at least as wide as MNIST shows a thin pen."""
    box, mask = digit.box, digit.mask
    around = ink[box.y : box.y + box.height, box.x : box.x + box.width]
    halo = cv2.dilate(mask, np.ones((3, 3), np.uint8))  # the strokes' soft edge belongs to them
    full = float(np.percentile(around[mask > 0], FULL_STROKE))
    levels = np.minimum(around * (halo / np.float32(full)), 1)
    return thicken(_to_pen_size(levels), stroke_width(mask) / max(box.width, box.height))


def _to_pen_size(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Brings the longer side between MIN_SIDE and MAX_SIDE: a pen is round there, a place exact, and both cost little."""
    side = max(levels.shape)
    factor = min(max(side, MIN_SIDE), MAX_SIDE) / side
    if factor == 1:
        return levels
    size = (max(1, round(levels.shape[1] * factor)), max(1, round(levels.shape[0] * factor)))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(levels, size, interpolation=method), dtype=np.float32)


def thicken(levels: NDArray[np.float32], width: float) -> NDArray[np.float32]:
    """Widens strokes of a thin pen, which scaling down would let vanish, by a round pen; others stay as they are.

    levels: (h, w) float32 in 0..1; width: of the strokes, over the longer side.
    """
    pen = round((MIN_WIDTH - width) * max(levels.shape)) + 1
    if pen <= 1:
        return levels
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (pen, pen))
    return np.asarray(cv2.dilate(np.pad(levels, pen), kernel), dtype=np.float32)


def stroke_width(mask: NDArray[np.uint8]) -> float:
    """Mean width of the strokes of a mask (H, W) of 0 and 1, in pixels: twice the area over the outline's length.

    The length is the count of edges between ink and ground times π/4, Crofton's mean over directions.
    Source: Serra, Image Analysis and Mathematical Morphology (1982), ch. IV.
    """
    padded = np.pad(mask, 1).astype(np.int8)
    edges = np.abs(np.diff(padded, axis=0)).sum() + np.abs(np.diff(padded, axis=1)).sum()
    return 2 * float(mask.sum()) / (float(edges) * np.pi / 4)


def place(levels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Scales ink (h, w) in 0..1 to a longer side of 20 and moves its centre of mass to the middle: (28, 28) uint8.

    Both in one averaging of areas: the ink is laid on a sheet of 28/20 of its side, which is then reduced to 28.
    """
    ink = _bounds(levels > VISIBLE)
    levels = levels[ink.y : ink.y + ink.height, ink.x : ink.x + ink.width]
    height, width = levels.shape
    side = max(SIZE, round(max(height, width) * SIZE / BOX))
    x, y = _centre_of_mass(levels.astype(np.float64))
    middle = (CENTRE + 0.5) * side / SIZE - 0.5  # pixels are counted by their middles
    left = int(np.clip(round(middle - x), 0, side - width))
    top = int(np.clip(round(middle - y), 0, side - height))
    sheet = np.zeros((side, side), np.float32)
    sheet[top : top + height, left : left + width] = levels
    small = cv2.resize(sheet, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return np.round(small * (255 / max(float(small.max()), VISIBLE))).astype(np.uint8)


def _bounds(mask: NDArray[np.bool_]) -> Box:
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return Box(x, y, width, height)


def _centre_of_mass(weight: NDArray[np.float64]) -> tuple[float, float]:
    total = weight.sum()
    rows, columns = weight.sum(axis=1), weight.sum(axis=0)
    return float(columns @ np.arange(len(columns)) / total), float(rows @ np.arange(len(rows)) / total)


def _to_original(box: Box, picture: Picture) -> Box:
    scale = picture.scale
    x, y = int(box.x * scale), int(box.y * scale)
    right, bottom = round((box.x + box.width) * scale), round((box.y + box.height) * scale)
    return Box(x, y, min(right, picture.width) - x, min(bottom, picture.height) - y)
