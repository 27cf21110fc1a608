"""Glyphs as a finder cuts them from scenes: digits of all hands, and what is not a digit.

The finder is passed in as a callable, so that this package does not import training.learning. Each process loads one of its
own. The glyphs are kept in data_dir/made.
"""

import hashlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray

from app.reading.decode import opencv
from app.reading.find.glyph import is_normalised
from app.settings import available_cpus
from training.data.dice import Floats, Pixels
from training.data.hands import Hands
from training.data.mnist import BACKGROUND, Split
from training.data.scenes import FILES, Scene, make_scene
from training.data.unipen import SPLITS
from training.files import write_with

# Pictures, and further boxes (K, 4) to look at in each (centre in x and y, width, height) -> boxes (K, 4) and glyphs
# (K, 28, 28) found in the picture, then those of the further boxes; glyphs without ink are black.
Find = Callable[[Sequence[Pixels], Sequence[Floats]], Sequence[tuple[Floats, Pixels]]]
Load = Callable[[], tuple[Hands, Find]]  # of a process
Report = Callable[[int, int], None]  # scenes done so far, and their total

CHUNK = 64  # scenes that the finder reads at a time
MOST = 6  # glyphs of digits per scene, and of non-digits
SAME = 0.5  # intersection over union with a digit's box from which a glyph is that digit
OTHER = 0.25  # intersection over union below which it is not a digit
ASKED = 0.3  # share of digits whose boxes are added whether found or not
JITTER = 0.12  # of a box's longer side: deviation of the position of an added box
HALVED = {0, 2, 3, 5}  # digits whose halves are none: half a 1, 4 or 7 may be a 1, half a 6, 8 or 9 a 0
SEEN = 60  # of 255; a glyph whose brightest pixel is darker is empty
FIRST_SEED = 2_000_000  # seeds differ from those of the scenes that the finder learned


@dataclass(frozen=True)
class Glyphs:
    """Glyphs of digits, and of non-digits, whose label is BACKGROUND."""

    digits: Split
    others: Split


def load_found(  # noqa: PLR0913, PLR0917
    data_dir: Path, split: str, count: int, load: Load, mark: str, report: Report
) -> Glyphs:
    """Loads the glyphs that a finder cuts from that many scenes of a split; they are made once and kept in data_dir/made.

    load: gives the hands and the finder, and can be pickled; mark: identifies them. The file's name depends on it and on the
    code that makes scenes and cuts them.
    """
    path = data_dir / "made" / f"found-{split}-{count}-{_fingerprint(mark)}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):  # processes that train together need them at the same time
        if not path.is_file():
            images, labels = cut_from_scenes(split, count, load, report)
            write_with(path, lambda partial: np.savez(partial, allow_pickle=False, images=images, labels=labels))
    with np.load(path) as file:
        all_of_it = Split(torch.from_numpy(file["images"]), torch.from_numpy(file["labels"]))
    digit = all_of_it.labels != BACKGROUND
    return Glyphs(*(all_of_it.take(torch.nonzero(which).flatten()) for which in (digit, ~digit)))


def _fingerprint(mark: str) -> str:
    """A digest that changes with the mark, and with the code that makes scenes and chooses their glyphs."""
    sources = [Path(__file__).with_name(name) for name in (*FILES, Path(__file__).name)]
    return hashlib.sha256(b"".join(each.read_bytes() for each in sources) + mark.encode()).hexdigest()[:16]


def cut_from_scenes(
    split: str, count: int, load: Load, report: Report, processes: int | None = None
) -> tuple[Pixels, NDArray[np.int64]]:
    """Cuts glyphs (N, 28, 28) with labels (N,) from that many scenes.

    processes: that make scenes and read them, by default one per core; the glyphs do not depend on it.
    """
    images: list[Pixels] = []
    labels: list[int] = []
    chunks = [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
    for numbers, glyphs in zip(chunks, _cut_all(split, chunks, load, processes or available_cpus()), strict=True):
        for glyph, label in glyphs:
            images.append(glyph)
            labels.append(label)
        report(numbers[-1] + 1, count)
    return np.array(images, np.uint8).reshape(-1, 28, 28), np.array(labels, np.int64)


def _cut_all(split: str, chunks: Sequence[range], load: Load, processes: int) -> Iterator[Sequence[tuple[Pixels, int]]]:
    """The glyphs of each chunk, with their labels."""
    if processes == 1 or len(chunks) < 2:
        yield from map(partial(_cut, split, *load()), chunks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_Own.load, initargs=(load,)) as pool:
        yield from pool.map(partial(_cut_there, split), chunks)


def _cut_there(split: str, numbers: range) -> Sequence[tuple[Pixels, int]]:
    return _cut(split, _Own.hands, _Own.find, numbers)


def _cut(split: str, hands: Hands, find: Find, numbers: range) -> Sequence[tuple[Pixels, int]]:
    opencv.tune()  # in every process: with IPP, OpenCV's last bits differ
    scenes = [make_scene(FIRST_SEED + number * len(SPLITS) + SPLITS.index(split), hands) for number in numbers]
    rng = np.random.default_rng((FIRST_SEED, numbers[0], SPLITS.index(split)))
    asked = [ask(scene, rng) for scene in scenes]
    results = find([scene.pixels for scene in scenes], [boxes for boxes, _ in asked])
    return [
        chosen
        for scene, (_, wanted), (boxes, glyphs) in zip(scenes, asked, results, strict=True)
        for chosen in choose(scene, boxes, glyphs, wanted, rng)
    ]


class _Own:
    """What a process makes scenes with, and reads them with, on one thread."""

    hands: Hands
    find: Find

    @classmethod
    def load(cls, load: Load) -> None:
        torch.set_num_threads(1)
        cls.hands, cls.find = load()


def ask(scene: Scene, rng: np.random.Generator) -> tuple[Floats, list[int]]:
    """Boxes to read in addition to those that the finder finds, and their labels.

    They hold digits, slightly off centre, and non-digits: halves of digits, pairs of neighbours, marks, and random places.
    """
    digits = _middles([digit.box for digit in scene.digits])
    marks = _middles([mark.box for mark in scene.marks])
    asked: list[tuple[Floats, int]] = []
    for box, digit in zip(digits, scene.digits, strict=True):
        if rng.random() < ASKED:
            asked.append((_jittered(box, rng), digit.label))
    asked = [asked[index] for index in rng.permutation(len(asked))[:MOST]]
    asked += [(box, BACKGROUND) for box in marks[rng.permutation(len(marks))[:2]]]
    halved = [box for box, digit in zip(digits, scene.digits, strict=True) if digit.label in HALVED]
    if halved:
        asked.append((_half(halved[rng.integers(len(halved))], rng), BACKGROUND))
    if len(digits) > 1:
        asked.append((_pair(digits, rng), BACKGROUND))
    height, width = scene.ink.shape
    side = max(height, width) * rng.uniform(0.1, 0.6)
    anywhere = np.array([rng.uniform(0, width), rng.uniform(0, height), side * rng.uniform(0.4, 1), side], np.float32)
    if not len(digits) or not _shared(anywhere[None], digits).any():
        asked.append((anywhere, BACKGROUND))
    return np.array([box for box, _ in asked], np.float32).reshape(-1, 4), [label for _, label in asked]


def choose(
    scene: Scene, boxes: Floats, glyphs: Pixels, wanted: list[int], rng: np.random.Generator
) -> Iterator[tuple[Pixels, int]]:
    """Chooses the glyphs to learn from, with their labels: one for each digit, and a few non-digits.

    A picture that is a glyph already is cut nowhere, so whichever box was asked for, it is the digit.
    """
    found = len(boxes) - len(wanted)
    digits = _middles([digit.box for digit in scene.digits])
    common, areas = _shared(boxes, digits), boxes[:, 2:].prod(axis=1)
    overlaps = common / np.maximum(areas[:, None] + digits[:, 2:].prod(axis=1) - common, 1e-6)  # intersection over union
    inside = common.sum(axis=1) > SAME * areas  # pieces of digits may look like others
    seen = glyphs.max(axis=(1, 2), initial=0) >= SEEN
    taken: set[int] = set()
    chosen: list[int] = []
    others: list[int] = []
    for index in np.flatnonzero(seen).tolist():
        best = int(overlaps[index].argmax()) if len(digits) else -1
        share = overlaps[index, best] if len(digits) else 0.0
        if index < found or wanted[index - found] != BACKGROUND:
            if share >= SAME and best not in taken:
                taken.add(best)
                chosen.append(index)
            elif share < OTHER and index < found and not inside[index]:
                others.append(index)
        elif share < SAME:
            others.append(index)
    for index in rng.permutation(len(chosen))[:MOST]:
        yield glyphs[chosen[index]], scene.digits[int(overlaps[chosen[index]].argmax())].label
    if len(digits) and is_normalised(scene.pixels):
        return
    for index in rng.permutation(len(others))[:MOST]:
        yield glyphs[others[index]], BACKGROUND


def _middles(boxes: Sequence[tuple[float, float, float, float]]) -> Floats:
    """Converts boxes (K, 4) from corner to centre coordinates."""
    array = np.array(boxes, np.float32).reshape(-1, 4)
    return np.concatenate((array[:, :2] + array[:, 2:] / 2, array[:, 2:]), axis=1)


def _jittered(box: Floats, rng: np.random.Generator) -> Floats:
    longer = float(box[2:].max())
    return np.array(
        [*(box[:2] + rng.normal(0, JITTER / 2, 2) * longer), *(box[2:] * np.exp(rng.normal(0, JITTER, 2)))], np.float32
    )


def _half(box: Floats, rng: np.random.Generator) -> Floats:
    """A box with about a third to a half of a digit's box, at one of its sides."""
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


def _shared(boxes: Floats, others: Floats) -> Floats:
    """Area that boxes (K, 4) have in common with each of others (L, 4): (K, L)."""
    low = np.maximum((boxes[:, :2] - boxes[:, 2:] / 2)[:, None], (others[:, :2] - others[:, 2:] / 2)[None])
    high = np.minimum((boxes[:, :2] + boxes[:, 2:] / 2)[:, None], (others[:, :2] + others[:, 2:] / 2)[None])
    return np.asarray(np.clip(high - low, 0, None).prod(axis=2), np.float32)
