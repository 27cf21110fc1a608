"""Recognises styles of digits that MNIST's American writers hardly use from pen strokes, so that each can be judged alone."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from training.data.dice import Pixels, Points

SHEET = 64  # pixels; side of the sheet on which strokes are drawn to count their holes
LEAST_HOLE = 0.006  # of the sheet
BAR_BETWEEN = (0.28, 0.78)  # of a 7's height: range in which its bar crosses
FLAG_DROP, FLAG_REACH = 0.08, 0.07  # of a 1's height: how far its flag reaches down and to the left
STEPS = 40  # points along a 6
SHARP = 58.0  # degrees within two of those steps that make a corner; a round bowl turns by about 35
BOWL = 0.35  # of a 6's height: where its bowl begins
END = 4  # steps; a hook at the end of the stroke is not a corner
MIDDLE = 0.15  # of a 0's width and height, around its middle, through which a slash passes
STRAIGHT = 0.9  # distance between a straight stroke's ends, over its length


def style_of(label: int, strokes: Sequence[Points]) -> str | None:
    """Slashed 0, flagged 1, closed 4, square 6, crossed 7, or None for the common form.

    strokes: each (n, 2), y down, in the order in which they were written, the longer side 1.
    """
    test = TESTS.get(label)
    return test[0] if test is not None and test[1](strokes) else None


def _holes(strokes: Sequence[Points]) -> int:
    """The number of holes that the strokes enclose."""
    sheet: Pixels = np.zeros((SHEET + 8, SHEET + 8), np.uint8)
    cv2.polylines(sheet, [np.round(stroke * SHEET + 4).astype(np.int32)[:, np.newaxis] for stroke in strokes], False, 255, 2)
    count, _, stats, _ = cv2.connectedComponentsWithStats(np.asarray(sheet == 0, np.uint8), connectivity=4)
    areas = stats[1:count, cv2.CC_STAT_AREA]
    return int((areas > LEAST_HOLE * SHEET * SHEET).sum()) - 1  # one of them is the ground outside


def _height(strokes: Sequence[Points]) -> tuple[float, float]:
    every = np.concatenate(strokes)
    return float(every[:, 1].min()), max(float(np.ptp(every[:, 1])), 1e-6)


def _is_slashed(strokes: Sequence[Points]) -> bool:
    """Whether a line through the middle cuts the inside in two or is a separate straight stroke."""
    every = np.concatenate(strokes)
    middle, reach = (every.min(axis=0) + every.max(axis=0)) / 2, np.ptp(every, axis=0) * MIDDLE
    passes = [bool((np.abs(_even(stroke) - middle) < reach).all(axis=1).any()) for stroke in strokes]
    straight = [_length(stroke[[0, -1]]) > STRAIGHT * _length(stroke) for stroke in strokes]
    own = any(
        p and s and float(np.ptp(stroke, axis=0).max()) > 0.5 for p, s, stroke in zip(passes, straight, strokes, strict=True)
    )
    return own or (any(passes) and _holes(strokes) >= 2)


def _is_closed(strokes: Sequence[Points]) -> bool:
    return _holes(strokes) >= 1


def _is_crossed(strokes: Sequence[Points]) -> bool:
    """Whether one stroke is a level bar across the stem."""
    top, height = _height(strokes)
    return any(
        float(np.ptp(stroke[:, 0])) > max(1.3 * float(np.ptp(stroke[:, 1])), 0.15 * height)
        and BAR_BETWEEN[0] < (stroke[:, 1].mean() - top) / height < BAR_BETWEEN[1]
        for stroke in strokes[1:]
    )


def _is_flagged(strokes: Sequence[Points]) -> bool:
    """Whether the first stroke rises to the top from the left, then goes down."""
    top, height = _height(strokes)
    first = strokes[0]
    peak = int(first[:, 1].argmin())
    drop, reach = first[0, 1] - first[peak, 1], first[peak, 0] - first[0, 0]
    falls = first[peak:, 1].max() - top > 0.6 * height
    return bool(peak > 0 and drop > FLAG_DROP * height and reach > FLAG_REACH * height and falls)


def _is_square(strokes: Sequence[Points]) -> bool:
    """Whether the bowl has at least two corners, places that turn far more than a round bowl does."""
    top, height = _height(strokes)
    even = _even(np.concatenate(strokes))
    steps = np.diff(even, axis=0)
    angles = np.degrees(np.unwrap(np.arctan2(steps[:, 1], steps[:, 0])))
    turns = np.abs(angles[2:] - angles[:-2])
    low = (even[1:-2, 1] - top) / height > BOWL
    corners = [
        index
        for index in range(1, len(turns) - END)
        if low[index] and turns[index] > SHARP and turns[index] >= turns[index - 1] and turns[index] > turns[index + 1]
    ]
    return len(corners) >= 2


def _length(path: Points) -> float:
    return float(np.hypot(*np.diff(path, axis=0).T).sum())


def _even(path: Points) -> Points:
    """STEPS points evenly along the path."""
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    at = np.linspace(0, along[-1], STEPS)
    return np.stack([np.interp(at, along, path[:, axis]) for axis in (0, 1)], axis=1).astype(np.float32)


TESTS: dict[int, tuple[str, Callable[[Sequence[Points]], bool]]] = {
    0: ("slashed 0", _is_slashed),
    1: ("flagged 1", _is_flagged),
    4: ("closed 4", _is_closed),
    6: ("square 6", _is_square),
    7: ("crossed 7", _is_crossed),
}
