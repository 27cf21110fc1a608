"""A look's maps -> the digits in it, and how many of the true ones are among them; as tensors, so that it can be exported."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from app.reading.find.detect import LEAST, SAME
from app.reading.find.finder import SURE
from training.data.mnist import CLASSES
from training.learning.finder import Look
from training.learning.finder_loss import EMPTY_SLOT, LABEL, TINY, X

MOST = 64  # digits that are looked for in one look
FOUND = 0.5  # intersection over union with a true box, from which on it is found


class Detections(NamedTuple):
    """The digits of a look, best first; of each picture as many places as asked for.

    scores: (N, K) in 0..1, 0 where there is nothing; boxes: (N, K, 4), centre in x and y, width and height, in pixels of the
    input; digits: (N, K, 10), each label's score.
    """

    scores: Tensor
    boxes: Tensor
    digits: Tensor


def detect(look: Look, most: int = MOST, least: float = LEAST) -> Detections:
    """The digits of a look: peaks of its maps, less those that share their box with a better one.

    A cell's score is that of any label, so that a digit counts that may be a 1 or a 7; it is a peak where none of its eight
    neighbours is higher. Weaker ones of overlapping boxes go all at once, also those whose better one goes itself (Bolya et
    al. 2019, YOLACT, arXiv:1904.02689, Fast NMS).
    """
    best = score_cells(look.digits).unsqueeze(1)
    peaks = torch.where(F.max_pool2d(best, kernel_size=3, stride=1, padding=1) == best, best, 0.0).flatten(1)
    scores, cells = peaks.topk(most, dim=1)
    boxes, digits = (_at(maps, cells) for maps in (look.boxes, look.digits))
    order = torch.arange(most, device=scores.device)
    better = order < order.unsqueeze(1)
    hidden = ((shared(boxes) > SAME) & better).any(dim=2)
    return Detections(torch.where(hidden | (scores < least), 0.0, scores), boxes, digits)


def score_cells(digits: Tensor) -> Tensor:
    """How surely a digit has its centre in each cell, (N, h, w) in 0..1: that it has some label's, of scores (N, 10, h, w)."""
    return 1 - (1 - digits).clamp(min=SURE).log().sum(dim=1).exp()


def _at(maps: Tensor, cells: Tensor) -> Tensor:
    """(N, C, h, w) at cells (N, K) -> (N, K, C)."""
    flat = maps.flatten(2)
    return flat.gather(2, cells.unsqueeze(1).expand(-1, flat.shape[1], -1)).transpose(1, 2)


def _intersection(one: Tensor, other: Tensor) -> Tensor:
    """The area that boxes (N, K, 4) and (N, L, 4) share: (N, K, L)."""
    low = torch.maximum(_low(one).unsqueeze(2), _low(other).unsqueeze(1))
    high = torch.minimum(_high(one).unsqueeze(2), _high(other).unsqueeze(1))
    width, height = (high - low).clamp(min=0).unbind(dim=-1)
    return width * height


def shared(boxes: Tensor) -> Tensor:
    """What boxes (N, K, 4) share with each other, over the smaller one's area: (N, K, K)."""
    area = _area(boxes)
    return _intersection(boxes, boxes) / torch.minimum(area.unsqueeze(2), area.unsqueeze(1)).clamp(min=1e-6)


def overlap(one: Tensor, other: Tensor) -> Tensor:
    """Intersection over union of boxes (N, K, 4) and (N, L, 4): (N, K, L)."""
    both = _intersection(one, other)
    return both / (_area(one).unsqueeze(2) + _area(other).unsqueeze(1) - both).clamp(min=1e-6)


def _low(boxes: Tensor) -> Tensor:
    return boxes[..., :2] - boxes[..., 2:] / 2


def _high(boxes: Tensor) -> Tensor:
    return boxes[..., :2] + boxes[..., 2:] / 2


def _area(boxes: Tensor) -> Tensor:
    return boxes[..., 2] * boxes[..., 3]


class Tally(NamedTuple):
    """Of each picture (N,): true digits, those found, those found and told rightly, what was found besides, and overlap.

    overlap: the sum over the found ones of intersection over union.
    """

    true: Tensor
    found: Tensor
    told: Tensor
    extra: Tensor
    overlap: Tensor


def count_found(detections: Detections, objects: Tensor) -> Tally:
    """Holds what was found against objects (N, L, 5), as finder_loss has them. Tiny ones are neither missed nor extra."""
    boxes, label = objects[..., X:], objects[..., LABEL].long()
    is_digit = (label != EMPTY_SLOT) & (label < CLASSES)
    tiny = is_digit & (boxes[..., 2:].amax(dim=-1) < TINY)
    wanted = is_digit & ~tiny
    there = detections.scores > 0
    match = overlap(detections.boxes, boxes) * there.unsqueeze(2)
    mine = match * wanted.unsqueeze(1)
    best, which = mine.max(dim=1)  # (N, L)
    found = (best >= FOUND) & wanted
    answers = detections.digits.argmax(dim=2).gather(1, which)
    told = found & (answers == label)
    on_tiny = ((match > 0) & tiny.unsqueeze(1)).any(dim=2) & (mine.amax(dim=2) < FOUND)
    extra = (there & ~on_tiny).sum(dim=1) - found.sum(dim=1)
    return Tally(wanted.sum(1), found.sum(1), told.sum(1), extra.clamp(min=0), (best * found).sum(1))
