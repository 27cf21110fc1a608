"""Picture -> ink: how much each pixel differs from the ground around it, whichever of the two is darker.

Everything is in uint8, as OpenCV is fastest: 0 is ground, 255 is black on white.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]

EDGE = 0.01  # of the longer side: a stroke's edge is sharper than this, a shadow's or a stain's is not
EDGE_PEAK = 99.9  # percentile: a speck of dust is less, a digit of a fiftieth of the side is more
FULL_INK = 99.95  # percentile of ink that counts as full, robust to a few hot pixels
LEAST_FULL = 25  # levels; fainter ink than this is not stretched further
LEAST_INK = 0.25  # share of full ink; below, Otsu has split the noise of the ground

EXACT_SHARE = 0.2  # share of pixels of one colour to the bit, which a drawing's ground has and photographed paper has not
FLAT_SHARE = 0.4  # share of pixels near that colour from which a picture is a drawing on one ground
FLAT_TOLERANCE = 6  # grey levels, for JPEG's ringing
FLAT_SAMPLE = 4_000  # pixels suffice to name the commonest colour of a drawing
GROUND_SIDE = 128  # pixels; the ground is smooth, so it is estimated on a small copy
DIMMEST_PAPER = 64  # grey levels; below, the ratio of ink to paper is mostly noise
MEDIAN_WINDOW = 0.6  # of the shorter side, for telling ink from ground: wide enough that ground is the majority in it
GROUND_WINDOW = 0.3  # of the shorter side: wider than a thick brush, narrower than most shadows


def measure_ink(pixels: Grey) -> Grey:
    """How much each pixel differs from its ground: (H, W, 3) -> (H, W), 0..255.

    The difference is the largest over the three channels, so that ink and paper may share one grey.
    """
    colour = flat_ground(pixels)
    if colour is not None:
        return _strongest(cv2.absdiff(pixels, np.broadcast_to(colour, pixels.shape)))
    noisy = min(pixels.shape[:2]) > 2 * GROUND_SIDE
    smooth = _grey(cv2.GaussianBlur(pixels, (3, 3), 0)) if noisy else pixels
    if is_dark_ground(smooth):
        smooth = _grey(cv2.bitwise_not(smooth))
    paper = paper_under(smooth)
    # A ratio and not a difference: light dims paper and ink alike.
    return _strongest(cv2.divide(cv2.subtract(paper, smooth), np.maximum(paper, DIMMEST_PAPER), scale=255))


def edge_contrast(ink: Grey) -> float:
    """How far ink (H, W) rises within the width of a stroke's edge, 0 to 1, single pixels and noise smoothed away.

    The range of values in a window, by grey-scale dilation and erosion: Beucher's morphological gradient, in Serra and
    Soille, Mathematical Morphology and its Applications to Image Processing (1994).
    """
    reach = max(1, round(EDGE * max(ink.shape)))
    smooth = cv2.GaussianBlur(ink, (0, 0), max(0.8, reach / 3)) if max(ink.shape) > GROUND_SIDE // 2 else ink
    window = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    gradient = cv2.subtract(cv2.dilate(smooth, window), cv2.erode(smooth, window))
    return _percentile(_grey(gradient), EDGE_PEAK) / 255


def mark_strokes(ink: Grey) -> Grey:
    """Which pixels (H, W) are ink, 1 or 0, by Otsu's threshold over the range from ground to full ink.

    Source: Otsu, A threshold selection method from gray-level histograms, IEEE Trans. SMC 9 (1979).
    """
    full = max(_percentile(ink, FULL_INK), LEAST_FULL)
    levels = cv2.convertScaleAbs(ink, alpha=255 / full)
    threshold, strokes = cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    if threshold < 255 * LEAST_INK:
        _, strokes = cv2.threshold(levels, 255 * LEAST_INK, 1, cv2.THRESH_BINARY)
    return _grey(strokes)


def flat_ground(pixels: Grey) -> Grey | None:
    """The colour (3,) that much of a drawing shares, or None where no colour does, as in a photo."""
    flat = np.ascontiguousarray(pixels).reshape(-1, 3)
    sample = flat[:: 1 + len(flat) // FLAT_SAMPLE].astype(np.uint32)
    values, counts = np.unique((sample[:, 0] << 16) | (sample[:, 1] << 8) | sample[:, 2], return_counts=True)
    if counts.max() < EXACT_SHARE * len(sample):
        return None
    code = int(values[counts.argmax()])
    colour = np.array([code >> 16, code >> 8 & 255, code & 255])
    low, high = (colour - FLAT_TOLERANCE).clip(0, 255), (colour + FLAT_TOLERANCE).clip(0, 255)
    near = cv2.countNonZero(cv2.inRange(pixels, low, high))
    return colour.astype(np.uint8) if near >= FLAT_SHARE * len(flat) else None


def is_dark_ground(pixels: Grey) -> bool:
    """Whether ink is lighter than its ground: strokes are the minority, so they lie further from the local median."""
    grey = _small(_grey(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)), GROUND_SIDE // 2)
    window = max(3, int(min(grey.shape) * MEDIAN_WINDOW) | 1)
    deviation = grey.astype(np.float32) - cv2.medianBlur(np.ascontiguousarray(grey), window)
    return float((np.maximum(deviation, 0) ** 2).sum()) > float((np.minimum(deviation, 0) ** 2).sum())


def paper_under(pixels: Grey) -> Grey:
    """The paper's colour under dark strokes, (H, W, 3), by grey-scale closing of a small copy.

    Closing keeps the edge of a shadow. At the picture's border it would lift a slope, so a plane is taken off before.
    Source: closing as a background estimate, Soille, Morphological Image Analysis (2003), ch. 4.
    """
    small = _small(pixels, GROUND_SIDE)
    window = max(3, int(min(small.shape[:2]) * GROUND_WINDOW) | 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (window, window))
    slope = _slope(small)
    closed = cv2.morphologyEx(small - slope, cv2.MORPH_CLOSE, kernel) + slope
    paper = cv2.GaussianBlur(closed, (5, 5), 0).clip(0, 255).astype(np.uint8)
    return _grey(cv2.resize(paper, pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR))


def _slope(pixels: Grey) -> NDArray[np.float32]:
    """The plane through each channel, by least squares, less its mean: (H, W, C) float32."""
    height, width, channels = pixels.shape
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, np.newaxis, np.newaxis]
    x = np.linspace(-1, 1, width, dtype=np.float32)[np.newaxis, :, np.newaxis]
    rise, run = (pixels * y).mean(axis=(0, 1)) / (y**2).mean(), (pixels * x).mean(axis=(0, 1)) / (x**2).mean()
    return np.broadcast_to(rise * y + run * x, (height, width, channels)).astype(np.float32)


def _strongest(difference: cv2.typing.MatLike) -> Grey:
    """The largest of the three channels, (H, W, 3) -> (H, W)."""
    first, second, third = cv2.split(difference)
    return _grey(cv2.max(cv2.max(first, second), third))


def _percentile(values: Grey, percent: float) -> float:
    """The least level that so many percent of the values do not exceed, from their histogram."""
    counts = cv2.calcHist([values], [0], None, [256], [0, 256]).ravel().cumsum()
    return float(np.searchsorted(counts, percent / 100 * values.size))


def _small(pixels: Grey, side: int) -> Grey:
    """Reduced, by averaging areas, to a longer side of so many pixels."""
    factor = side / max(pixels.shape[:2])
    if factor >= 1:
        return pixels
    size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
    return _grey(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def _grey(pixels: cv2.typing.MatLike) -> Grey:
    return np.asarray(pixels, dtype=np.uint8)
