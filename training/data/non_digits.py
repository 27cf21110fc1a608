"""Made ink that is not a digit, for outlier exposure: letters, signs, scribbles, shapes, textures, turned or joined digits.

Source: Hendrycks, Mazeika, Dietterich 2018, Deep Anomaly Detection with Outlier Exposure, arXiv:1812.04606. The letters are
from Hershey's vector fonts (A. V. Hershey, 1967), as OpenCV draws them, without those that could be read as a digit.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.made_photos import DRAWN, WrittenDigit, from_strokes
from training.data.mnist import NONE
from training.data.pen_strokes import PenDigit

SIGNS = "AFHMNPWXadehmnp&#@$*=!~<>"  # not C, O, S, Z, b, g, l, o, q, y, braces, which look like digits
HELD_SIGNS = "EKRTfkwx%+?"  # for validation only
FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
    cv2.FONT_HERSHEY_SCRIPT_COMPLEX,
)
ITALIC = 0.5  # share of signs in italics
TURNABLE = (2, 3, 4, 5)  # digits that are not digits when on their side
POINTS_A_CURVE = 24

Strokes = list[NDArray[np.float64]]

SHAPES: tuple[Strokes, ...] = tuple(
    [np.array(stroke, dtype=np.float64) for stroke in strokes]
    for strokes in (
        [[(0, 10), (10, 10), (5, 0), (0, 10)]],  # triangle
        [[(0, 0), (10, 0), (10, 10), (0, 10), (0, 0)], [(0, 0), (10, 10)], [(10, 0), (0, 10)]],  # crossed box
        [[(0, 0), (10, 10)], [(10, 0), (0, 10)]],  # cross
        [[(0, 5), (10, 5)], [(7, 2), (10, 5), (7, 8)]],  # arrow
        [[(0, 4), (10, 4), (2, 10), (5, 0), (8, 10), (0, 4)]],  # star
        [[(0, 6), (3, 10), (10, 0)]],  # tick
        [[(0, 5), (5, 0), (10, 5), (10, 10), (0, 10), (0, 5), (10, 5)]],  # house
        [[(0, 3), (10, 3)], [(0, 7), (10, 7)], [(3, 0), (3, 10)], [(7, 0), (7, 10)]],  # grid
        [[(0, 0), (2, 10), (5, 2), (8, 10), (10, 0)]],  # zigzag
        [[(0, 10), (0, 0)], [(3, 10), (3, 0)], [(6, 10), (6, 0)], [(9, 10), (9, 0)], [(-1, 8), (10, 2)]],  # tally
    )
)


def draw_outlier(rng: np.random.Generator, digits: Sequence[PenDigit], signs: str = SIGNS) -> WrittenDigit:
    """Draws a non-digit of a random kind. digits: the source of turned and joined digits."""
    kinds: tuple[Callable[[], WrittenDigit], ...] = (
        lambda: sign(rng, signs),
        lambda: sign(rng, signs),
        lambda: scribble(rng),
        lambda: shape(rng),
        lambda: texture(rng),
        lambda: turned(rng, digits),
        lambda: joined(rng, digits),
    )
    return kinds[rng.integers(len(kinds))]()


def sign(rng: np.random.Generator, signs: str) -> WrittenDigit:
    """A letter or a sign of one of Hershey's fonts, with a pen of random width."""
    font = FONTS[rng.integers(len(FONTS))] | (cv2.FONT_ITALIC if rng.random() < ITALIC else 0)
    sheet = np.zeros((2 * DRAWN, 2 * DRAWN), np.uint8)
    text, pen = signs[rng.integers(len(signs))], int(rng.integers(4, 30))
    cv2.putText(sheet, text, (DRAWN // 2, DRAWN * 3 // 2), font, DRAWN / 30, 255, pen, cv2.LINE_AA)
    return WrittenDigit(NONE, _crop(sheet))


def scribble(rng: np.random.Generator) -> WrittenDigit:
    """Two to five smooth curves, each through five to eight random points."""
    return _from_strokes([_curve(rng.random((rng.integers(5, 9), 2))) for _ in range(rng.integers(2, 6))])


def shape(rng: np.random.Generator) -> WrittenDigit:
    """A drawn shape with displaced corners, stretched and turned by up to 45 degrees."""
    angle, stretch = rng.uniform(-np.pi / 4, np.pi / 4), rng.uniform(0.7, 1.4)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) @ np.diag([stretch, 1])
    strokes = SHAPES[rng.integers(len(SHAPES))]
    return _from_strokes([(stroke + rng.normal(0, 0.4, stroke.shape)) @ turn.T for stroke in strokes])


def texture(rng: np.random.Generator) -> WrittenDigit:
    """Blots: smooth noise above a threshold."""
    grain = int(rng.integers(4, 14))
    field = cv2.resize(rng.standard_normal((grain, grain)), (DRAWN, DRAWN), interpolation=cv2.INTER_CUBIC)
    return WrittenDigit(NONE, _crop(np.asarray((field > np.quantile(field, rng.uniform(0.6, 0.85))) * 255, np.uint8)))


def turned(rng: np.random.Generator, digits: Sequence[PenDigit]) -> WrittenDigit:
    """A digit that is not a digit on its side."""
    turnable = [digit for digit in digits if digit.label in TURNABLE]
    strokes = turnable[int(rng.integers(len(turnable)))].strokes
    way = 1 if rng.random() < 0.5 else -1
    return _from_strokes([stroke[:, ::-1] * np.array([way, -way]) for stroke in strokes])


def joined(rng: np.random.Generator, digits: Sequence[PenDigit]) -> WrittenDigit:
    """Two digits side by side that touch."""
    left, right = (digits[int(rng.integers(len(digits)))].strokes for _ in range(2))
    edge = max(float(stroke[:, 0].max()) for stroke in left)
    overlap = rng.uniform(0, 0.2) * edge
    start = min(float(stroke[:, 0].min()) for stroke in right)
    return _from_strokes([*left, *(stroke + np.array([edge - start - overlap, 0]) for stroke in right)])


def _curve(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth curve near the points (n, 2), by cubic interpolation: (POINTS_A_CURVE, 2)."""
    return np.asarray(cv2.resize(points, (2, POINTS_A_CURVE), interpolation=cv2.INTER_CUBIC), np.float64)


def _from_strokes(strokes: Strokes) -> WrittenDigit:
    return from_strokes(strokes, NONE)


def _crop(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    left, top, width, height = cv2.boundingRect(ink)
    return ink[top : top + height, left : left + width]
