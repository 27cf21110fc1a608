"""Glyphs as a finder cuts them from scenes: digits of all hands, and what is not a digit.

The finder is passed in, as a callable, so that data needs nothing of what learns. What it finds is kept in data_dir/made.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.data.dice import Floats, Pixels
from training.data.hands import Hands
from training.data.mnist import NONE, Split
from training.data.scenes import Scene, make_scene
from training.data.unipen import SPLITS
from training.files import write_with

# Pictures, and further boxes (K, 4) to look at in each (centre in x and y, width, height) -> boxes (K, 4) and glyphs
# (K, 28, 28) of what was found in it, then of what was asked for; black glyphs where there is no ink.
Find = Callable[[Sequence[Pixels], Sequence[Floats]], Sequence[tuple[Floats, Pixels]]]
Report = Callable[[int, int], None]  # scenes done so far, of how many

CHUNK = 64  # scenes that are found in at a time
MOST = 6  # glyphs of digits a scene, and of what is not a digit
SAME = 0.5  # intersection over union with a digit's box, from which on a glyph is that digit
OTHER = 0.25  # below which it is none
ASKED = 0.3  # share of digits that are looked at whether they are found or not
JITTER = 0.12  # of a box's longer side: deviation of where a digit is asked for that was not found
SEEN = 60  # of 255: a glyph whose brightest pixel is fainter is empty
FIRST_SEED = 2_000_000  # scenes of other seeds than those that the finder learned


@dataclass(frozen=True)
class Glyphs:
    """Glyphs of digits, and of what is not a digit, whose label is NONE."""

    digits: Split
    others: Split


def load_found(  # noqa: PLR0913, PLR0917
    data_dir: Path, split: str, count: int, hands: Callable[[], Hands], find: Find, mark: str, report: Report
) -> Glyphs:
    """Glyphs that a finder cuts from so many scenes of a split, from data_dir/made, or made now and kept there.

    hands: loads who writes; mark: what tells this finder and these hands from others.
    """
    path = data_dir / "made" / f"found-{split}-{count}-{hashlib.sha256(mark.encode()).hexdigest()[:16]}.npz"
    if not path.is_file():
        images, labels = cut_from_scenes(split, count, hands(), find, report)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_with(path, lambda beside: np.savez(beside, allow_pickle=False, images=images, labels=labels))
    with np.load(path) as file:
        all_of_it = Split(torch.from_numpy(file["images"]), torch.from_numpy(file["labels"]))
    digit = all_of_it.labels != NONE
    return Glyphs(*(all_of_it.take(torch.nonzero(which).flatten()) for which in (digit, ~digit)))


def cut_from_scenes(split: str, count: int, hands: Hands, find: Find, report: Report) -> tuple[Pixels, NDArray[np.int64]]:
    """Glyphs (N, 28, 28) and labels (N,) from so many scenes."""
    images: list[Pixels] = []
    labels: list[int] = []
    for start in range(0, count, CHUNK):
        numbers = range(start, min(start + CHUNK, count))
        scenes = [make_scene(FIRST_SEED + number * len(SPLITS) + SPLITS.index(split), hands) for number in numbers]
        rng = np.random.default_rng((FIRST_SEED, start, SPLITS.index(split)))
        asked = [ask(scene, rng) for scene in scenes]
        results = find([scene.pixels for scene in scenes], [boxes for boxes, _ in asked])
        for scene, (_, wanted), (boxes, glyphs) in zip(scenes, asked, results, strict=True):
            for glyph, label in choose(scene, boxes, glyphs, wanted, rng):
                images.append(glyph)
                labels.append(label)
        report(numbers[-1] + 1, count)
    return np.array(images, np.uint8).reshape(-1, 28, 28), np.array(labels, np.int64)


def ask(scene: Scene, rng: np.random.Generator) -> tuple[Floats, list[int]]:
    """Boxes to look at besides those that the finder finds, and the labels of what they hold.

    Digits, a little off; and halves of digits, pairs of neighbours, marks, and any place, none of which is a digit.
    """
    digits = _middles([digit.box for digit in scene.digits])
    marks = _middles([mark.box for mark in scene.marks])
    asked: list[tuple[Floats, int]] = []
    for box, digit in zip(digits, scene.digits, strict=True):
        if rng.random() < ASKED:
            asked.append((_jittered(box, rng), digit.label))
    asked = [asked[index] for index in rng.permutation(len(asked))[:MOST]]
    asked += [(box, NONE) for box in marks[rng.permutation(len(marks))[:2]]]
    if len(digits):
        asked.append((_half(digits[rng.integers(len(digits))], rng), NONE))
    if len(digits) > 1:
        asked.append((_pair(digits, rng), NONE))
    height, width = scene.ink.shape
    side = max(height, width) * rng.uniform(0.1, 0.6)
    anywhere = np.array([rng.uniform(0, width), rng.uniform(0, height), side * rng.uniform(0.4, 1), side], np.float32)
    if not len(digits) or _overlaps(anywhere[None], digits).max() < 0.05:
        asked.append((anywhere, NONE))
    return np.array([box for box, _ in asked], np.float32).reshape(-1, 4), [label for _, label in asked]


def choose(
    scene: Scene, boxes: Floats, glyphs: Pixels, wanted: list[int], rng: np.random.Generator
) -> Iterator[tuple[Pixels, int]]:
    """The glyphs that are learned from, with their labels: of each digit one, and a few of what is not a digit."""
    found = len(boxes) - len(wanted)
    digits = _middles([digit.box for digit in scene.digits])
    overlaps = _overlaps(boxes, digits)
    seen = glyphs.max(axis=(1, 2), initial=0) >= SEEN
    taken: set[int] = set()
    chosen: list[int] = []
    others: list[int] = []
    for index in np.flatnonzero(seen).tolist():
        best = int(overlaps[index].argmax()) if len(digits) else -1
        share = overlaps[index, best] if len(digits) else 0.0
        if index < found or wanted[index - found] != NONE:
            if share >= SAME and best not in taken:
                taken.add(best)
                chosen.append(index)
            elif share < OTHER and index < found:
                others.append(index)
        elif share < SAME:
            others.append(index)
    for index in rng.permutation(len(chosen))[:MOST]:
        yield glyphs[chosen[index]], scene.digits[int(overlaps[chosen[index]].argmax())].label
    for index in rng.permutation(len(others))[:MOST]:
        yield glyphs[others[index]], NONE


def _middles(boxes: Sequence[tuple[float, float, float, float]]) -> Floats:
    """Boxes by their corner -> by their centre: (K, 4)."""
    array = np.array(boxes, np.float32).reshape(-1, 4)
    return np.concatenate((array[:, :2] + array[:, 2:] / 2, array[:, 2:]), axis=1)


def _jittered(box: Floats, rng: np.random.Generator) -> Floats:
    longer = float(box[2:].max())
    return np.array(
        [*(box[:2] + rng.normal(0, JITTER / 2, 2) * longer), *(box[2:] * np.exp(rng.normal(0, JITTER, 2)))], np.float32
    )


def _half(box: Floats, rng: np.random.Generator) -> Floats:
    """Of a digit what a quarter to a half of its box holds, at one of its sides."""
    share, axis, end = rng.uniform(0.3, 0.55), int(rng.integers(2)), rng.choice((-1, 1))
    half = box.copy()
    half[axis] += end * box[2 + axis] * (1 - share) / 2
    half[2 + axis] *= share
    return half


def _pair(boxes: Floats, rng: np.random.Generator) -> Floats:
    """The box around a digit and its nearest neighbour."""
    one = boxes[rng.integers(len(boxes))]
    distance = np.hypot(*(boxes[:, :2] - one[:2]).T)
    other = boxes[np.argsort(distance)[1]]
    low = np.minimum(one[:2] - one[2:] / 2, other[:2] - other[2:] / 2)
    high = np.maximum(one[:2] + one[2:] / 2, other[:2] + other[2:] / 2)
    return np.concatenate(((low + high) / 2, high - low)).astype(np.float32)


def _overlaps(boxes: Floats, others: Floats) -> Floats:
    """Intersection over union of boxes (K, 4) and (L, 4): (K, L)."""
    low = np.maximum((boxes[:, :2] - boxes[:, 2:] / 2)[:, None], (others[:, :2] - others[:, 2:] / 2)[None])
    high = np.minimum((boxes[:, :2] + boxes[:, 2:] / 2)[:, None], (others[:, :2] + others[:, 2:] / 2)[None])
    both = np.clip(high - low, 0, None).prod(axis=2)
    areas = boxes[:, 2:].prod(axis=1)[:, None] + others[:, 2:].prod(axis=1)[None]
    return np.asarray(both / np.maximum(areas - both, 1e-6), np.float32)
