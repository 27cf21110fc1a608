"""A look -> the digits in it. Tested against training.learning.detections, which says the same in torch."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from app.reading.find.finder import Floats, Look
from app.reading.find.window import SIDE, Area, to_area

MOST = 64  # digits of a look
LEAST = 0.5  # score from which on a digit counts as found; on validation scenes F1 rises up to 0.7, but single digits get lost
SAME = 0.45  # of the smaller box: two digits that share more of it are one
NEARBY = 0.25  # of a window: the digit that it was cut around has its centre so close to its middle, in both axes
WEAK = 0.05  # score that suffices there, where it is known that there is something
NEIGHBOURS = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class Detections:
    """The digits of a look, best first. scores: (K,) in 0..1; boxes: (K, 4) as Area, in pixels of the window."""

    scores: Floats
    boxes: Floats


def detect(look: Look) -> Detections:
    """The digits of a look: its peaks of a score of LEAST or more, less those in a better one's box."""
    return Detections(*peaks(look, LEAST, most=MOST))


def peaks(look: Look, least: float, same: float = SAME, most: int | None = None) -> tuple[Floats, Floats]:
    """Cells that no neighbour exceeds, best first, as Detections has them: scores (K,) and boxes (K, 4).

    least: the lowest score; same: the overlap with a better peak above which one is dropped, as a share of the smaller box;
    most: how many of the best are compared.
    """
    rows, columns = peak_cells(look, least)
    scores = look.scores[rows, columns]
    order = np.argsort(-scores, kind="stable")[:most]
    boxes = np.ascontiguousarray(look.boxes[:, rows[order], columns[order]].T)
    kept = ~hidden(boxes, same) if len(order) > 1 else slice(None)
    return scores[order][kept], boxes[kept]


def peak_cells(look: Look, least: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The rows (K,) and columns (K,) of cells of such a score, or more, that no neighbour exceeds, from the top left."""
    rows, columns = np.nonzero((cv2.dilate(look.scores, NEIGHBOURS) == look.scores) & (look.scores >= least))
    return rows, columns


def hidden(boxes: Floats, most: float) -> NDArray[np.bool_]:
    """Which boxes overlap a better one too much, (K,) bool.

    boxes: (K, 4), the best first; most: the largest overlap that is allowed, as a share of the smaller box.
    """
    weaker: NDArray[np.bool_] = np.asarray(np.tril(shared(boxes) > most, -1).any(axis=1))
    return weaker


def shared(boxes: Floats) -> Floats:
    """What boxes (K, 4) share with each other, over the smaller one's area: (K, K)."""
    across, down = _both(boxes[:, 0], boxes[:, 2]), _both(boxes[:, 1], boxes[:, 3])
    area = boxes[:, 2] * boxes[:, 3]
    share: Floats = across * down / np.maximum(np.minimum(area[:, np.newaxis], area), np.float32(1e-6))
    return share


def _both(centres: Floats, sides: Floats) -> Floats:
    """How long a part of an axis boxes (K,) have in common with each other: (K, K)."""
    low, high = centres - sides / 2, centres + sides / 2
    both: Floats = np.minimum(high[:, np.newaxis], high) - np.maximum(low[:, np.newaxis], low)
    return np.maximum(both, 0, out=both)


def refine(look: Look, before: Area) -> Area:
    """The digit in the middle of a window that was cut around it; before: what was known of it."""
    x, y = look.boxes[0] - SIDE / 2, look.boxes[1] - SIDE / 2
    nearby = np.maximum(np.abs(x), np.abs(y)) < NEARBY * SIDE
    scores = look.scores * nearby
    row, column = divmod(int(scores.argmax()), scores.shape[1])
    if scores[row, column] < WEAK:
        return before
    return to_area(look.boxes[:, row, column])
