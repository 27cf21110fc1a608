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

SIZE = 28  # side of a glyph, as MNIST's
BOX = 20  # the longer side of the ink, as NIST made MNIST
CENTRE = 14  # the pixel that MNIST's centre of mass lies on, counted from 0: it rounds up from 13.5

MIN_CONTRAST = 0.10  # share of full scale at a stroke's edge; paper's noise and soft shadows stay below, pencil is at 0.2
EDGE = 0.01  # of the longer side: a stroke's edge is sharper than this, a shadow's or a stain's is not
EDGE_PEAK = 99.9  # percentile: a speck of dust is less, a digit of a fiftieth of the side is more
FULL_INK = 99.95  # percentile of ink that counts as full, robust to a few hot pixels
LEAST_INK = 0.25  # share of full ink; below, Otsu has split the noise of the ground

FLAT_SHARE = 0.4  # share of pixels of one colour from which a picture is a drawing on one ground
FLAT_TOLERANCE = 6  # grey levels, for JPEG's ringing
GROUND_SIDE = 128  # pixels; the ground is smooth, so it is estimated on a small copy
DIMMEST_PAPER = 64  # grey levels; below, the ratio of ink to paper is mostly noise
MEDIAN_WINDOW = 0.6  # of the shorter side, for telling ink from ground: wide enough that ground is the majority in it
GROUND_WINDOW = 0.3  # of the shorter side: wider than a thick brush, narrower than most shadows

MAX_STROKES = 200  # the largest are looked at; a digit has a handful, noise has thousands
INNER = 0.1  # of the largest stroke's area: one that does not touch the border and has this much goes before those that do
SPECK = 0.01  # of the largest stroke's area: smaller ones are dust
REACH = 0.3  # of the group's longer side: strokes nearer than this belong to the same digit
EDGE_SPAN = 0.9  # of a side: a stroke along the border that spans this much is the paper's edge, a ruled line or a frame

MIN_WIDTH = 0.10  # stroke width over the digit's longer side; thinner pens are widened to it; MNIST's median is 0.13
MIN_SIDE, MAX_SIDE = 80, 160  # pixels; digits are brought between the two before they are thickened and placed

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
    contrast = edge_contrast(ink)
    if contrast < MIN_CONTRAST:
        raise NoDigitFound(
            f"Nothing stands out: the contrast is {contrast:.1%} of full scale, a digit needs {MIN_CONTRAST:.0%}."
        )
    strokes = mark_strokes(ink)
    digit, touches = pick_digit(strokes)
    box = _bounds(digit)
    glyph = place(cut_out(ink, digit, box))
    warnings = (Finding("touches-border", touches, "The ink touches the border: part of the digit may be missing."),)
    return Glyph(glyph, _to_original(box, picture), warnings if touches else ())


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


def measure_ink(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How much each pixel differs from the ground around it: (H, W, 3) uint8 -> (H, W) float32 in 0..1.

    The difference is the largest over the three channels, so that ink and paper may share one grey.
    """
    flat = _flat_ground(pixels)
    if flat is not None:
        return _strongest(np.abs(pixels.astype(np.float32) - flat) / np.float32(255))
    noisy = min(pixels.shape[:2]) > 2 * GROUND_SIDE
    smooth = _bytes(cv2.GaussianBlur(pixels, (3, 3), 0)) if noisy else pixels
    if _is_dark_ground(smooth):
        smooth = _bytes(255 - smooth)
    paper = _paper(smooth)
    return _strongest((paper - smooth) / np.maximum(paper, DIMMEST_PAPER))  # a ratio: light dims paper and ink alike


def _strongest(difference: NDArray[np.floating]) -> NDArray[np.float32]:
    """The largest of the three channels, (H, W, 3) -> (H, W), and none below 0."""
    ink: NDArray[np.float32] = np.maximum(difference.max(axis=2), 0).astype(np.float32)
    return ink


def _bytes(pixels: cv2.typing.MatLike) -> NDArray[np.uint8]:
    return np.asarray(pixels, dtype=np.uint8)


def _flat_ground(pixels: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """The colour (3,) that much of a drawing shares, or None where no colour does, as in a photo."""
    flat = pixels.reshape(-1, 3)
    codes = (flat[:, 0].astype(np.uint32) << 16) | (flat[:, 1].astype(np.uint32) << 8) | flat[:, 2]
    values, counts = np.unique(codes, return_counts=True)
    code = int(values[counts.argmax()])
    colour = np.array([code >> 16, code >> 8 & 255, code & 255], dtype=np.float32)
    near = (np.abs(flat - colour) <= FLAT_TOLERANCE).all(axis=1).mean()
    return colour if near >= FLAT_SHARE else None


def _is_dark_ground(pixels: NDArray[np.uint8]) -> bool:
    """Whether ink is lighter than its ground: strokes are the minority, so they lie further from the local median."""
    grey = _small(_bytes(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)), GROUND_SIDE // 2)
    window = max(3, int(min(grey.shape) * MEDIAN_WINDOW) | 1)
    centre = cv2.medianBlur(np.ascontiguousarray(grey), window).astype(np.float32)
    deviation = grey.astype(np.float32) - centre
    return float((np.maximum(deviation, 0) ** 2).sum()) > float((np.minimum(deviation, 0) ** 2).sum())


def _paper(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The paper's colour under dark strokes, (H, W, 3) float32, by grey-scale closing of a small copy.

    Closing keeps the edge of a shadow. At the picture's border it would lift a slope, so a plane is taken off before.
    Source: closing as a background estimate, Soille, Morphological Image Analysis (2003), ch. 4.
    """
    small = _small(pixels, GROUND_SIDE)
    window = max(3, int(min(small.shape[:2]) * GROUND_WINDOW) | 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (window, window))
    slope = _slope(small)
    closed = cv2.morphologyEx(small - slope, cv2.MORPH_CLOSE, kernel) + slope
    height, width = pixels.shape[:2]
    paper = cv2.resize(cv2.GaussianBlur(closed, (5, 5), 0), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(paper, dtype=np.float32)


def _slope(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The plane through each channel, by least squares, less its mean: (H, W, C) float32."""
    height, width, channels = pixels.shape
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, np.newaxis, np.newaxis]
    x = np.linspace(-1, 1, width, dtype=np.float32)[np.newaxis, :, np.newaxis]
    rise, run = (pixels * y).mean(axis=(0, 1)) / (y**2).mean(), (pixels * x).mean(axis=(0, 1)) / (x**2).mean()
    return np.broadcast_to(rise * y + run * x, (height, width, channels)).astype(np.float32)


def _small(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    factor = side / max(pixels.shape[:2])
    if factor >= 1:
        return pixels
    size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
    return _bytes(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def edge_contrast(ink: NDArray[np.float32]) -> float:
    """How far ink (H, W) rises within the width of a stroke's edge, 0 to 1, single pixels and noise smoothed away.

    The range of values in a window, by grey-scale dilation and erosion: Beucher's morphological gradient, in Serra and
    Soille, Mathematical Morphology and its Applications to Image Processing (1994).
    """
    reach = max(1, round(EDGE * max(ink.shape)))
    smooth = cv2.GaussianBlur(ink, (0, 0), max(0.8, reach / 3)) if max(ink.shape) > GROUND_SIDE // 2 else ink
    window = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return float(np.percentile(cv2.dilate(smooth, window) - cv2.erode(smooth, window), EDGE_PEAK, method="higher"))


def mark_strokes(ink: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Which pixels are ink: 1 or 0, by Otsu's threshold over the range from ground to full ink.

    Source: Otsu, A threshold selection method from gray-level histograms, IEEE Trans. SMC 9 (1979).
    """
    full = max(float(np.percentile(ink, FULL_INK, method="higher")), MIN_CONTRAST)
    levels = np.minimum(ink * (255 / full), 255).astype(np.uint8)
    threshold, _ = cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return _bytes(levels > max(255 * LEAST_INK, threshold))


def pick_digit(strokes: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], int]:
    """The mask of the digit: the largest stroke and those near it; and how many of its strokes touch the border.

    Frames, ruled lines and the paper's edge are left out, unless nothing else is there.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(strokes, connectivity=8)
    found = stats[1:].astype(np.int64)  # a row a stroke: left, top, width, height, area
    if not len(found):
        raise NoDigitFound("Nothing stands out: no stroke is left above the paper's noise.")
    size = np.array(strokes.shape[::-1])
    border = (found[:, :2] == 0).any(axis=1) | (found[:, :2] + found[:, 2:4] == size).any(axis=1)
    edge = border & (found[:, 2:4] >= EDGE_SPAN * size).any(axis=1)
    group = _group(found, _candidates(found[:, 4], border, edge))
    chosen = np.zeros(len(stats), dtype=np.bool_)
    chosen[group + 1] = True
    return chosen[labels], int(border[group].sum())


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
    possible = area >= SPECK * area[main]
    while True:
        start, end = low[taken].min(axis=0), high[taken].max(axis=0)
        gap = np.maximum(low - end, start - high).max(axis=1)
        grown = taken | (possible & (gap < REACH * (end - start).max()))
        if (grown == taken).all():
            group: NDArray[np.intp] = candidates[taken]
            return group
        taken = grown


def cut_out(ink: NDArray[np.float32], digit: NDArray[np.bool_], box: Box) -> NDArray[np.float32]:
    """The digit's ink in grey levels, (h, w) float32 in 0..1, its strokes at least as wide as MNIST shows a thin pen."""
    around = slice(box.y, box.y + box.height), slice(box.x, box.x + box.width)
    mask = digit[around].astype(np.uint8)
    halo = cv2.dilate(mask, np.ones((3, 3), np.uint8))  # the strokes' soft edge belongs to them
    full = float(np.percentile(ink[around][mask > 0], 75))
    levels = np.clip(ink[around] / full, 0, 1) * halo
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
    return _bytes(np.round(small * (255 / max(float(small.max()), VISIBLE))))


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
