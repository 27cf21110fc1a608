"""Strokes -> the digit: the largest group of strokes in a mask, without what the paper brings along."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from app.errors import NoDigitFound
from app.reading.answer import Box
from app.reading.find.measure import Mask
from app.reading.find.printed_lines import remove_frame, remove_lines

MAX_STROKES = 200  # the largest are looked at; a digit has a handful, noise has thousands
INNER = 0.1  # of the largest stroke's area: one that does not touch the border and has this much goes before those that do
SPECK = 0.01  # of the largest stroke's area: smaller ones are dust
REACH = 0.3  # of the group's longer side: strokes nearer than this belong to the same digit
FLAT = 1.5  # width over height from which a stroke is no digit but the bar of one, which is so much longer than its bar
SIBLING = 0.6  # of the digit's height: a stroke beside it that is this high may be another digit
ALIKE = 0.2  # of the digit's ink: what has less is no other digit
EDGE_SPAN = 0.9  # of a side: a stroke along the border that spans this much is the paper's edge, a ruled line or a frame
PRINT = 10  # strokes, each of them small, from which they are dots or dashes of the paper; a digit has a handful


@dataclass(frozen=True)
class Digit:
    """What was taken for the digit.

    box: in pixels of the picture at hand; mask: (height, width) of 0 and 1 within the box; strokes: how many it consists of;
    touches: how many of them touch the border; others: how many strokes beside it look like further digits.
    """

    box: Box
    mask: Mask
    strokes: int
    touches: int
    others: int


def find_digit(strokes: Mask) -> tuple[Mask, Digit]:
    """What of a mask (H, W) of 0 and 1 was written, no lines or frame printed, and the digit in it.

    Raises:
        NoDigitFound: nothing was.
    """
    bounds = cv2.boundingRect(strokes)
    written = remove_lines(strokes, bounds)
    digit = pick_digit(written, bounds if written is strokes else None)
    unframed = remove_frame(digit.mask)
    if unframed is digit.mask:
        return written, digit
    written, box = written.copy(), digit.box
    written[box.y : box.y + box.height, box.x : box.x + box.width] -= digit.mask - unframed
    return written, pick_digit(written)


def pick_digit(strokes: Mask, bounds: cv2.typing.Rect | None = None) -> Digit:
    """The largest stroke of a mask (H, W) of 0 and 1, and those near it.

    Lines along the border and the paper's edge are left out, unless nothing else is there.
    bounds: of what is not 0, left, top, width and height, where they are known.

    Raises:
        NoDigitFound: the mask is empty.
    """
    x, y, width, height = bounds or cv2.boundingRect(strokes)
    if not width:
        raise NoDigitFound("Nothing stands out: no stroke is left above the paper's noise.")
    part = strokes[y : y + height, x : x + width]
    if _is_one(part):  # most drawings, and most photos on plain paper
        touches = x == 0 or y == 0 or x + width == strokes.shape[1] or y + height == strokes.shape[0]
        return Digit(Box(x, y, width, height), part.copy(), 1, int(touches), 0)
    labels, found = _label(part)
    found[:, :2] += x, y
    low, high = found[:, :2], found[:, :2] + found[:, 2:4]
    size = np.array(strokes.shape[::-1])
    border = (low == 0).any(axis=1) | (high == size).any(axis=1)
    edge = border & (high - low >= EDGE_SPAN * size).any(axis=1)
    candidates = _candidates(found[:, 4], border, edge)
    group = _group(found, candidates)
    others = int(_alike(found, np.setdiff1d(candidates, group), group).sum())
    (x0, y0), (x1, y1) = low[group].min(axis=0).tolist(), high[group].max(axis=0).tolist()
    mask = _mask(labels[y0 - y : y1 - y, x0 - x : x1 - x], group)
    return Digit(Box(x0, y0, x1 - x0, y1 - y0), mask, len(group), int(border[group].sum()), others)


def _is_one(strokes: Mask) -> bool:
    """Whether a mask (H, W) is one stroke; finding out takes a third of numbering and measuring many."""
    return cv2.connectedComponentsWithAlgorithm(strokes, 8, _label_type(strokes), cv2.CCL_GRANA)[0] == 2


def _label_type(strokes: Mask) -> int:
    """That suffices for as many strokes as there can be: two that do not touch are two pixels apart."""
    height, width = strokes.shape
    return cv2.CV_16U if ((height + 1) // 2) * ((width + 1) // 2) < 0xFFFF else cv2.CV_32S


def _label(strokes: Mask) -> tuple[NDArray[np.integer], NDArray[np.int64]]:
    """Numbers the strokes of a mask (H, W): labels (H, W) from 1, and a row a stroke: left, top, width, height, area.

    Grana's algorithm is three times as fast here as the one that OpenCV takes where none is named.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(strokes, 8, _label_type(strokes), cv2.CCL_GRANA)
    return np.asarray(labels), stats[1:].astype(np.int64)


def _mask(labels: NDArray[np.integer], group: NDArray[np.intp]) -> Mask:
    """Which of the labels (h, w), counted from 1, are of the group's strokes, counted from 0."""
    if len(group) == 1:
        return np.asarray(labels == group[0] + 1, np.uint8)
    chosen = np.zeros(int(labels.max()) + 1, dtype=np.uint8)
    chosen[group + 1] = 1
    return np.asarray(chosen[labels], np.uint8)


def _candidates(area: NDArray[np.int64], border: NDArray[np.bool_], edge: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Indices of the strokes that a digit may consist of, the largest first and not more than MAX_STROKES."""
    candidates = np.flatnonzero(~edge) if not edge.all() else np.arange(len(area))
    inner = candidates[~border[candidates]]
    if len(inner) and area[inner].max() >= INNER * area[candidates].max():
        candidates = inner
    return candidates[np.argsort(-area[candidates], kind="stable")][:MAX_STROKES]


def _group(found: NDArray[np.int64], candidates: NDArray[np.intp]) -> NDArray[np.intp]:
    """The candidate that is longest and heaviest, and all that lie near it or near what was taken before."""
    low, size, area = found[candidates, :2], found[candidates, 2:4], found[candidates, 4]
    high, longer = low + size, size.max(axis=1)
    main = int(np.argmax(area * longer))  # the length tells a stroke from a blot better than area alone
    taken = np.arange(len(candidates)) == main
    possible = (area >= SPECK * area[main]) & ~_beside(low, high, main)
    small = possible & (longer < REACH * longer[main])
    if small.sum() >= PRINT:
        possible &= ~small
    flat = size[:, 0] >= FLAT * size[:, 1]
    while True:
        start, end = low[taken].min(axis=0), high[taken].max(axis=0)
        gap = np.maximum(low - end, start - high).max(axis=1)
        wide, high_up = end - start
        bar = flat | (wide >= FLAT * high_up)
        reach = REACH * max(wide, high_up) * np.where(bar, FLAT, 1)
        grown = taken | (possible & (gap < reach))
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
