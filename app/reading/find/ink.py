"""Picture -> ink: how much each pixel differs from the ground around it, whichever of the two is darker.

Everything is in uint8, as OpenCV is fastest: 0 is ground, 255 is black on white.
"""

from dataclasses import dataclass
from math import gcd

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]

LEVELS = np.arange(256.0)
TINY = np.finfo(np.float64).tiny

EDGE = 0.01  # of the longer side: a stroke's edge is sharper than this, a shadow's or a stain's is not
EDGE_SIDE = 320  # pixels of the longer side that suffice to see edges of that width, once noise is smoothed away
EDGE_PEAK = 99.9  # percentile: a speck of dust is less, a digit of a fiftieth of the side is more
UNEVEN = 90  # percentile: a digit's edges take less of a page, paper's texture and folds take more
LEAST_CONTRAST = 0.04  # ten grey levels; what is fainter is not told from the steps that a sensor and JPEG make of soft light
NOISE_RANGE = 3  # between the median and the peak of the range of noise in a window there is a factor of 1.7 to 2.7
NARROW_RANGE = 3.6  # where noise is smoothed and the window is narrow, as in pictures of 65 to 149 pixels: 2.4 to 3.6
EDGE_RATIO = 4  # by how much edges of faint ink rise above the paper's unevenness
TWO_CLASSES = 0.84  # separability of strokes and ground; sensor noise has 0.65 to 0.82, grey 16×16 digits 0.82 to 0.95
SURE_CONTRAST = 0.10  # from which ink may fill the picture with its edges; soft shadows stay below, pencil is at 0.2

FULL_INK = 99.95  # percentile of ink that counts as full, robust to a few hot pixels
LEAST_FULL = 25  # levels; fainter ink than this is not stretched further
LEAST_INK = 0.25  # share of full ink; below, Otsu has split the noise of the ground

EXACT_SHARE = 0.2  # share of pixels of one colour to the bit, which a drawing's ground has and photographed paper has not
FLAT_SHARE = 0.4  # share of pixels near that colour from which a picture is a drawing on one ground
FLAT_TOLERANCE = 6  # grey levels, for JPEG's ringing
SOLID = 0.9  # share of a small copy's pixel from which it is covered; dense thin strokes leave ground between them
FLAT_SAMPLE = 4_000  # pixels suffice to name the commonest colour of a drawing
FEW = 8  # pixels along a side, to see whether the corner's colour is worth a closer look
GROUND_SIDE = 128  # pixels; the ground is smooth, so it is estimated on a small copy
DIMMEST_PAPER = 64  # grey levels; below, the ratio of ink to paper is mostly noise
MEDIAN_WINDOW = 0.6  # of the shorter side, for telling ink from ground: wide enough that ground is the majority in it
GROUND_WINDOW = 0.3  # of the shorter side: wider than a thick brush, narrower than most shadows


@dataclass(frozen=True)
class Ink:
    """How much each pixel differs from its ground.

    levels: (H, W) in 0..255; left, top, right, bottom: of the part beyond which all of them are 0, in pixels: drawings have
    much ground to the bit, and looking at it once is enough.
    """

    levels: Grey
    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def of(cls, levels: Grey) -> "Ink":
        """With the smallest part."""
        left, top, width, height = cv2.boundingRect(levels)
        return cls(levels, left, top, left + width, top + height)

    def part(self, margin: int = 0) -> Grey:
        """The levels of that part and of a margin around it, as far as there are any."""
        rows = slice(max(0, self.top - margin), self.bottom + margin)
        return self.levels[rows, max(0, self.left - margin) : self.right + margin]


def measure_ink(pixels: Grey) -> Ink:
    """How much each pixel of (H, W, 3) differs from its ground.

    The difference is the largest over the three channels, so that ink and paper may share one grey.
    """
    return drawn_ink(pixels) or Ink.of(written_ink(pixels))


def drawn_ink(pixels: Grey) -> Ink | None:
    """The difference from the colour that much of a drawing shares, or None where no colour is its ground.

    What differs must be strokes: where it is wide, a second ground lies beside the first, as light beside a shadow.
    """
    ink = _corner_ink(pixels)
    if ink is None:
        colour = commonest_colour(pixels)
        if colour is None:
            return None
        ink = _difference(pixels, colour)
    part = ink.part()
    if not part.size:
        return ink
    _, other = cv2.threshold(part, FLAT_TOLERANCE, 255, cv2.THRESH_BINARY)
    if cv2.countNonZero(other) > (1 - FLAT_SHARE) * ink.levels.size:
        return None
    return None if _is_wide(ink, _grey(other)) else ink


def _corner_ink(pixels: Grey) -> Ink | None:
    """The difference from the corner's colour where most of a picture (H, W, 3) has it to the bit, so that none is commoner."""
    height, width = pixels.shape[:2]
    some, corner = pixels[:: 1 + height // FEW, :: 1 + width // FEW], pixels[0, 0]
    if 2 * np.count_nonzero(some == corner) <= some.size:
        return None
    ink = _difference(pixels, (int(corner[0]), int(corner[1]), int(corner[2])))
    part = ink.part()
    return ink if not part.size or 2 * cv2.countNonZero(part) < ink.levels.size else None


def _difference(pixels: Grey, colour: tuple[int, int, int]) -> Ink:
    """How much each pixel of (H, W, 3) differs from a colour."""
    levels = np.zeros(pixels.shape[:2], np.uint8)
    left, top, right, bottom = _beside(pixels, colour)
    if right:
        difference = cv2.absdiff(pixels[top:bottom, left:right], np.array((*colour, 0), np.float64))
        levels[top:bottom, left:right] = _strongest(difference)
    return Ink(levels, left, top, right, bottom)


def _beside(pixels: Grey, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what has another colour in (H, W, 3); up to 3 pixels more, as whole words are compared."""
    height, width, channels = pixels.shape
    row = np.empty((width, channels), np.uint8)
    row[:] = colour
    word = gcd(8, row.size)  # bytes, as many as a comparison can take and a row is a multiple of
    other = pixels.reshape(height, row.size).view(f"u{word}") != row.ravel().view(f"u{word}")
    left, top, broad, high = cv2.boundingRect(other.view(np.uint8))
    return left * word // channels, top, -(-(left + broad) * word // channels), top + high


def _is_wide(ink: Ink, part: Grey) -> bool:
    """Whether what differs from its ground is wide somewhere, not strokes alone; part: the mask of it, 0 or 255, in ink's."""
    height, width = ink.levels.shape
    x, y, broad, high = cv2.boundingRect(part)
    x, y = ink.left + x, ink.top + y
    inside = x > 0 and y > 0 and x + broad < width and y + high < height
    if inside and min(broad, high) < MEDIAN_WINDOW * SOLID * min(height, width):
        return False  # it is too small as a whole
    mask = np.zeros_like(ink.levels)
    mask[ink.top : ink.bottom, ink.left : ink.right] = part
    wide = _without_strokes(_small(mask, GROUND_SIDE // 2), cv2.MORPH_OPEN, MEDIAN_WINDOW)
    return int(wide.max()) >= 255 * SOLID


def commonest_colour(pixels: Grey) -> tuple[int, int, int] | None:
    """The colour that at least EXACT_SHARE of the pixels (H, W, 3) have to the bit, or None."""
    flat = np.ascontiguousarray(pixels).reshape(-1, 3)
    sample = flat[:: 1 + len(flat) // FLAT_SAMPLE].astype(np.uint32)
    codes = (sample[:, 0] << 16) | (sample[:, 1] << 8) | sample[:, 2]
    values, counts = np.unique(codes, return_counts=True)
    if counts.max() < EXACT_SHARE * len(codes):
        return None
    code = int(values[counts.argmax()])
    return code >> 16, code >> 8 & 255, code & 255


def written_ink(pixels: Grey) -> Grey:
    """How much light each pixel takes from its paper, or adds to it where the paper is dark: (H, W, 3) -> (H, W)."""
    small = _small(pixels, GROUND_SIDE)
    if min(pixels.shape[:2]) > 2 * GROUND_SIDE:
        pixels = _grey(cv2.GaussianBlur(pixels, (3, 3), 0))  # a large picture's noise is finer than any stroke
    if is_dark_ground(small):
        small, pixels = _grey(cv2.bitwise_not(small)), _grey(cv2.bitwise_not(pixels))
    paper = paper_under(small)
    light = np.maximum(_strongest(paper), DIMMEST_PAPER)
    taken = _strongest(cv2.subtract(_enlarge(paper, pixels), pixels))
    return _grey(cv2.divide(taken, _enlarge(light, pixels), scale=255))  # no difference: light dims paper and ink alike


def edge_contrast(ink: Ink) -> tuple[float, float]:
    """How far ink rises within the width of a stroke's edge, and how far it must at most, to be ink; both 0 to 1.

    The range of values in a window, by grey-scale dilation and erosion: Beucher's morphological gradient, in Serra and
    Soille, Mathematical Morphology and its Applications to Image Processing (1994). What it is nearly everywhere is noise
    and the paper's own unevenness, what it is in few places edges.
    """
    side = max(ink.levels.shape)
    small = ink if side <= EDGE_SIDE else Ink.of(_reduce(ink, EDGE_SIDE))
    reach = max(1, round(EDGE * max(small.levels.shape)))
    inked = small.part(2 * reach + 3)  # further than the smoothing and the window together
    smooth = _smooth(inked, reach) if side > GROUND_SIDE // 2 else inked
    window = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    gradient = _grey(cv2.subtract(cv2.dilate(smooth, window), cv2.erode(smooth, window)))
    size = small.levels.size
    peak = commonest_peak(gradient, size - EDGE_PEAK / 100 * size) / 255
    if peak >= SURE_CONTRAST and 2 * cv2.countNonZero(gradient) < size:  # ground to the bit has no noise
        return peak, SURE_CONTRAST
    counts = _counts(gradient, size)
    median, unevenness, peak = (level / 255 for level in _percentiles(counts, 50, UNEVEN, EDGE_PEAK))
    noise = median * (NARROW_RANGE if reach == 1 and smooth is not inked else NOISE_RANGE)
    if _fills_with_strokes(ink):
        noise = min(SURE_CONTRAST, noise)
    return peak, max(LEAST_CONTRAST, noise, min(SURE_CONTRAST, EDGE_RATIO * unevenness))


def _fills_with_strokes(ink: Ink) -> bool:
    """Whether ink is a digit cut out so small and tight that its edges are nearly everywhere, as noise is."""
    levels = ink.levels
    return max(levels.shape) <= GROUND_SIDE // 2 and separability(_counts(levels, levels.size)) >= TWO_CLASSES


def _smooth(ink: Grey, reach: int) -> Grey:
    """Smoothed by a Gaussian of a third of the reach, 0.8 pixels at least; where that is 1, by binomials, which are fast."""
    if reach == 3:
        return _grey(cv2.GaussianBlur(ink, (5, 5), 0))
    return _grey(cv2.GaussianBlur(ink, (0, 0), max(0.8, reach / 3)))


def mark_strokes(ink: Ink) -> Grey:
    """Which pixels (H, W) are ink, 1 or 0, by Otsu's threshold over the range from ground to full ink."""
    counts = _counts(ink.part(), ink.levels.size)
    size = ink.levels.size
    full = 255.0 if counts[255] > size - FULL_INK / 100 * size else _percentiles(counts, FULL_INK)[0]
    if full < 255:
        levels = np.minimum(np.round(LEVELS * (255 / max(full, LEAST_FULL))), 255)  # of ink 0 to 255
        stretched = np.bincount(levels.astype(np.intp), counts, 256).astype(np.float64)
        threshold = int(np.count_nonzero(levels <= max(otsu(stretched), 255 * LEAST_INK))) - 1
    else:
        threshold = max(otsu(counts), int(255 * LEAST_INK))
    _, strokes = cv2.threshold(ink.levels, threshold, 1, cv2.THRESH_BINARY)
    return _grey(strokes)


def otsu(counts: NDArray[np.floating]) -> int:
    """The level that divides a histogram (256,) into the two classes that are furthest apart: what is above it, and the rest.

    Source: Otsu, A threshold selection method from gray-level histograms, IEEE Trans. SMC 9 (1979).
    """
    return int(_between_classes(counts).argmax())


def separability(counts: NDArray[np.floating]) -> float:
    """How much of a histogram's variance lies between the two classes that Otsu's level divides it into, 0 to 1: his η."""
    share, levels = counts / counts.sum(), LEVELS
    variance = float(share @ levels**2 - (share @ levels) ** 2)
    return float(_between_classes(share).max()) / variance if variance else 0.0


def _between_classes(counts: NDArray[np.floating]) -> NDArray[np.float64]:
    """The variance between what is above each level and the rest, (256,), times the sum of the counts squared."""
    below, moment = counts.cumsum(), (counts * LEVELS).cumsum()
    product, difference = below * (below[-1] - below), moment[-1] * below - moment * below[-1]
    return np.asarray(difference**2 / np.maximum(product, TINY), np.float64)  # where the product is 0, so is the difference


def is_dark_ground(pixels: Grey) -> bool:
    """Whether ink is lighter than its ground: strokes are narrow, and the minority around them.

    So they are what both a closing (of dark strokes; an opening of light ones) and the local median take away. A shadow is
    not narrow, and what a loop encloses is no minority.
    """
    grey = _small(_grey(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)), GROUND_SIDE // 2)
    window = max(3, int(min(grey.shape) * MEDIAN_WINDOW) | 1)
    median = cv2.medianBlur(np.ascontiguousarray(grey), window)
    dark = cv2.subtract(cv2.min(median, _without_strokes(grey, cv2.MORPH_CLOSE)), grey)
    light = cv2.subtract(grey, cv2.max(median, _without_strokes(grey, cv2.MORPH_OPEN)))
    return cv2.norm(light) > cv2.norm(dark)


def paper_under(pixels: Grey) -> Grey:
    """The paper's colour under dark strokes, (H, W, 3), by grey-scale closing.

    Closing keeps the edge of a shadow; the last erosion gives the edge's width to the shadow, lest its own edge be ink.
    Source: closing as a background estimate, Soille, Morphological Image Analysis (2003), ch. 4.
    """
    return _grey(cv2.erode(_without_strokes(pixels, cv2.MORPH_CLOSE), np.ones((3, 3), np.uint8)))


def _without_strokes(pixels: Grey, operation: int, window: float = GROUND_WINDOW) -> Grey:
    """Pixels (H, W[, 3]) less what a window does not fit into, dark by a closing, light by an opening.

    window: its side over the picture's shorter one.

    Beyond the border the picture goes on as it ends, so that light and shadow that fall off towards it, and a table around
    the sheet, are ground and not a narrow rest.
    """
    reach = max(1, round(min(pixels.shape[:2]) * window / 2))
    wide = cv2.copyMakeBorder(pixels, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    rest = cv2.morphologyEx(wide, operation, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    return _grey(rest[reach:-reach, reach:-reach])


def _strongest(difference: cv2.typing.MatLike) -> Grey:
    """The largest of the three channels, (H, W, 3) -> (H, W)."""
    return _grey(np.maximum(np.maximum(difference[..., 0], difference[..., 1]), difference[..., 2]))


def _counts(part: Grey, size: int) -> NDArray[np.float64]:
    """The histogram (256,) of so many pixels, of which those that are not in this part are 0."""
    counts = np.zeros(256) if not part.size else count_levels(part)
    counts[0] += size - part.size
    return counts


def commonest_peak(levels: Grey, count: float) -> int:
    """The highest of levels (h, w) if more than so many pixels have it, as the inside of drawn strokes does; else 0."""
    highest = int(levels.max(initial=0))
    return highest if np.count_nonzero(levels == highest) > count else 0


def count_levels(levels: Grey) -> NDArray[np.float64]:
    """The histogram (256,) of levels (h, w).

    A counter waits for itself where the same level comes again and again, so 0 and 255, which most of a drawing is, are
    counted apart.
    """
    between = levels - np.uint8(1) < 254
    if 10 * np.count_nonzero(between) > levels.size:
        return np.asarray(cv2.calcHist([levels], [0], None, [256], [0, 256]).ravel(), np.float64)
    counts = np.bincount(levels[between], minlength=256).astype(np.float64)
    counts[255] = np.count_nonzero(levels == 255)
    counts[0] = levels.size - counts.sum()
    return counts


def _percentiles(counts: NDArray[np.float64], *percents: float) -> list[float]:
    """The least levels that so many percent of a histogram's values do not exceed."""
    below = counts.cumsum()
    return [float(level) for level in np.searchsorted(below, [percent / 100 * below[-1] for percent in percents])]


def _small(pixels: Grey, side: int) -> Grey:
    """Reduced, by averaging areas, to a longer side of so many pixels."""
    size = _small_size(pixels, side)
    return pixels if size == pixels.shape[1::-1] else _grey(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def _small_size(pixels: Grey, side: int) -> tuple[int, int]:
    """Width and height of that."""
    factor = min(1.0, side / max(pixels.shape[:2]))
    return max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor))


def _reduce(ink: Ink, side: int) -> Grey:
    """What _small makes of the levels, at the cost of the part that is not 0."""
    height, width = ink.levels.shape
    small_width, small_height = _small_size(ink.levels, side)
    columns, small_columns = _periods(width, small_width, ink.left, ink.right)
    rows, small_rows = _periods(height, small_height, ink.top, ink.bottom)
    reduced = np.zeros((small_height, small_width), np.uint8)
    part = reduced[small_rows, small_columns]
    if part.size:
        part[:] = cv2.resize(ink.levels[rows, columns], part.shape[::-1], interpolation=cv2.INTER_AREA)
    return reduced


def _periods(size: int, small: int, start: int, end: int) -> tuple[slice, slice]:
    """Where start to end lie on an axis of that size and on the reduced one, in whole periods, in which areas come again."""
    count = gcd(size, small)
    first, last = start * count // size, -(-end * count // size)
    return slice(first * size // count, last * size // count), slice(first * small // count, last * small // count)


def _enlarge(small: cv2.typing.MatLike, pixels: Grey) -> Grey:
    """Brought to the size of the pixels (H, W, 3), from a copy of them by _small."""
    return _grey(cv2.resize(small, pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR))


def _grey(pixels: cv2.typing.MatLike) -> Grey:
    return np.asarray(pixels, dtype=np.uint8)
