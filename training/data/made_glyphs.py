"""Glyphs as the service finds them in made photos and drawings, so that training sees what the service sees.

Each digit is written on made paper or on a canvas, lit, photographed and encoded. Then the service's code decodes the picture
and finds the digit. This is done once, on all cores; the glyphs are kept as uint8 in data/made.
"""

import hashlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, fields
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from app import reading
from app.errors import NoDigitFound
from app.reading.answer import Box
from app.reading.decode import opencv
from app.reading.decode.picture import decode
from app.reading.find.glyph import SIZE, find_glyph
from app.settings import Settings
from training.data.made_photos import Colour, Scene, WrittenDigit, draw_chance, from_mnist, from_strokes, shoot, write
from training.data.mnist import Digits, Split
from training.data.non_digits import HELD_SIGNS, SIGNS, draw_outlier
from training.data.pen_strokes import PenDigit, load_strokes, split_writers
from training.files import write_with

FINDING = ("decode", "find")  # packages of app.reading that the glyphs depend on
MAKING = ("made_photos", "non_digits", "made_glyphs", "pen_strokes")  # modules of this package that they depend on

PHOTO_HEIGHTS = (40, 64, 96, 128)  # pixels; in the end a digit is reduced to 28
CANVAS_HEIGHTS = (28, 32, 56, 100, 160)
WIDEST = 1.4  # largest width of a page over its height
CANVAS_SHARE = 0.4  # of the pictures of non-digits
OVERLAP = 0.5  # intersection over union of written and found box below which something else was found
CHUNK = 500  # pictures per task of a process
MANY = 4_000  # pictures; making fewer takes less time than starting processes

PENS = (0.03, 0.22)  # width of the thinnest and the thickest pen, over the digit's longer side
DARK_BOARD = 0.12  # share of photos with light ink on dark ground
LINED = 0.3  # share of photos on ruled or squared paper
SHADED = 0.25  # share of photos with a shadow's edge

Take = Callable[[np.random.Generator], tuple[NDArray[np.uint8], int] | None]
Report = Callable[[int, int], None]  # pictures made so far, and their total


@dataclass(frozen=True)
class Amount:
    """How many pictures to make of each MNIST digit and each pen-stroke digit, and of non-digits in total."""

    mnist_photos: int
    stroke_photos: int
    drawings: int
    outliers: int


TRAIN = Amount(mnist_photos=1, stroke_photos=6, drawings=6, outliers=25_000)
VALIDATION = Amount(mnist_photos=1, stroke_photos=2, drawings=1, outliers=3_000)
TEST = Amount(mnist_photos=1, stroke_photos=2, drawings=2, outliers=0)
SMOKE = Amount(mnist_photos=1, stroke_photos=1, drawings=1, outliers=50)
SMOKE_STROKES = 50


@dataclass(frozen=True)
class Made:
    """Glyphs from photos and drawings of digits, and of non-digits, whose label is data.NONE."""

    photos: Split
    drawings: Split
    outliers: Split


KINDS = tuple(field.name for field in fields(Made))


@dataclass(frozen=True)
class Task:
    """Pictures that one process makes."""

    split: str
    kind: str
    seed: tuple[int, ...]
    takes: Sequence[Take]


def load_made(data_dir: Path, mnist: Digits, report: Report, *, smoke: bool = False) -> tuple[Made, Made, Made]:
    """Loads what training, validation and test see in addition to MNIST; it is made once and kept in data_dir/made.

    Each split has the digits of its own split of MNIST and of its own writers of pen strokes. Validation's letters and signs
    differ from training's; test has none.

    Raises:
        DataError: as in load_strokes.
    """
    path = data_dir / "made" / f"{_fingerprint(mnist)}.npz"
    if not path.is_file():
        strokes = load_strokes(data_dir)
        training, validation, test = split_writers(strokes[:: len(strokes) // SMOKE_STROKES or 1] if smoke else strokes)
        tasks = [
            *plan("train", mnist.train, training, SIGNS, SMOKE if smoke else TRAIN),
            *plan("validation", mnist.validation, validation, HELD_SIGNS, SMOKE if smoke else VALIDATION),
            *plan("test", mnist.test, test, HELD_SIGNS, SMOKE if smoke else TEST),
        ]
        arrays = make(tasks, report)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_with(path, lambda beside: np.savez(beside, allow_pickle=False, **arrays))
    with np.load(path) as file:
        tensors = {name: torch.from_numpy(file[name]) for name in file.files}
    made = [
        Made(*(Split(tensors[f"{split}-{kind}-images"], tensors[f"{split}-{kind}-labels"]) for kind in KINDS))
        for split in ("train", "validation", "test")
    ]
    return made[0], made[1], made[2]


def plan(split: str, mnist: Split, strokes: Sequence[PenDigit], signs: str, amount: Amount) -> Iterator[Task]:
    """Divides the work into tasks, each with its own seed, so that the number of processes does not change the result."""
    images, labels = mnist.images.numpy(), mnist.labels.tolist()
    takes: dict[str, list[Take]] = {
        "photos": [
            *(
                partial(photograph_mnist, *digit)
                for digit in zip(images, labels, strict=True)
                for _ in range(amount.mnist_photos)
            ),
            *(partial(photograph_strokes, digit) for digit in strokes for _ in range(amount.stroke_photos)),
        ],
        "drawings": [partial(draw_strokes, digit) for digit in strokes for _ in range(amount.drawings)],
        "outliers": [partial(take_outlier, strokes, signs) for _ in range(amount.outliers)],
    }
    for kind in KINDS:
        for number, start in enumerate(range(0, max(len(takes[kind]), 1), CHUNK)):
            seed = (*split.encode(), *kind.encode(), number)
            yield Task(split, kind, seed, takes[kind][start : start + CHUNK])


def make(tasks: Sequence[Task], report: Report) -> dict[str, NDArray[np.generic]]:
    """Runs all tasks: arrays SPLIT-KIND-images (N, 28, 28) and SPLIT-KIND-labels (N,) in the tasks' order."""
    total = sum(len(task.takes) for task in tasks)
    done, results = 0, []
    with ExitStack() as stack:
        results_of = map if total < MANY else stack.enter_context(_processes()).map
        for task, result in zip(tasks, results_of(run, tasks), strict=True):
            results.append(result)
            report(done := done + len(task.takes), total)
    arrays: dict[str, NDArray[np.generic]] = {}
    for split, kind in dict.fromkeys((task.split, task.kind) for task in tasks):
        parts = [result for task, result in zip(tasks, results, strict=True) if (task.split, task.kind) == (split, kind)]
        for name, arrays_of in zip(("images", "labels"), zip(*parts, strict=True), strict=True):
            arrays[f"{split}-{kind}-{name}"] = np.concatenate(arrays_of)
    return arrays


def _processes() -> ProcessPoolExecutor:
    spawning = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(len(os.sched_getaffinity(0)), spawning, initializer=opencv.tune)


def run(task: Task) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Glyphs (N, 28, 28) and labels (N,) of a task's pictures, except those in which something else was found."""
    rng = np.random.default_rng(task.seed)
    found = [pair for take in task.takes if (pair := take(rng)) is not None]
    glyphs = np.array([glyph for glyph, _ in found], np.uint8).reshape(-1, SIZE, SIZE)
    return glyphs, np.array([label for _, label in found], np.int64)


def photograph_mnist(image: NDArray[np.uint8], label: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], int] | None:
    """A digit of MNIST on paper, with its own pen."""
    return _take(from_mnist(image, label), _photo(rng, None), PHOTO_HEIGHTS, rng)


def photograph_strokes(digit: PenDigit, rng: np.random.Generator) -> tuple[NDArray[np.uint8], int] | None:
    """Pen strokes on paper, with a pen of random width."""
    return _take(from_strokes(digit.strokes, digit.label), _photo(rng, _pen(rng)), PHOTO_HEIGHTS, rng)


def draw_strokes(digit: PenDigit, rng: np.random.Generator) -> tuple[NDArray[np.uint8], int] | None:
    """Pen strokes on a canvas, with a pen of random width."""
    return _take(from_strokes(digit.strokes, digit.label), _canvas(rng, _pen(rng)), CANVAS_HEIGHTS, rng)


def take_outlier(strokes: Sequence[PenDigit], signs: str, rng: np.random.Generator) -> tuple[NDArray[np.uint8], int] | None:
    """A non-digit, on paper or on a canvas."""
    written = draw_outlier(rng, strokes, signs)
    if rng.random() < CANVAS_SHARE:
        return _take(written, _canvas(rng, None), CANVAS_HEIGHTS, rng)
    return _take(written, _photo(rng, None), PHOTO_HEIGHTS, rng)


def _take(
    written: WrittenDigit, scene: Scene, heights: Sequence[int], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], int] | None:
    """The glyph that the service finds in a picture of it, or None if it finds nothing or something else."""
    height = int(rng.choice(heights))
    chance = draw_chance(rng, (height, round(height * rng.uniform(1, WIDEST))))
    ink = write(written, scene, chance)
    try:
        glyph = find_glyph(decode(shoot(ink, scene, chance), _limits()))
    except NoDigitFound:
        return None
    true = Box(*cv2.boundingRect(np.asarray(ink > 0.5, np.uint8)))
    return (glyph.pixels, written.label) if _overlap(glyph.box, true) >= OVERLAP else None


@cache
def _limits() -> Settings:
    return Settings()


def _photo(rng: np.random.Generator, pen: float | None) -> Scene:
    """A random photo scene: most are good, and none has all defects at once."""
    dark = rng.random() < DARK_BOARD
    lined = rng.random() < LINED
    return Scene(
        side=rng.uniform(0.3, 0.95),
        pen=pen,
        tilt=rng.uniform(0, 10),
        off_centre=rng.uniform(0, 1),
        ink=_colour(rng, 200, 256) if dark else _colour(rng, 0, 130),
        opacity=rng.uniform(0.4, 1),
        paper=_colour(rng, 10, 80) if dark else _colour(rng, 170, 256),
        rules=rng.uniform(0.08, 0.3) if lined else None,
        squared=rng.random() < 0.5,
        rule_opacity=rng.uniform(0.1, 0.7),
        light_lost=rng.uniform(0, 0.6),
        shadow=rng.uniform(0.1, 0.6) if rng.random() < SHADED else 0,
        blur=rng.uniform(0.2, 1.5),
        noise=float(np.exp(rng.uniform(0, 3))),
        quality=int(rng.integers(30, 96)),
    )


def _canvas(rng: np.random.Generator, pen: float | None) -> Scene:
    """A random drawing, of any colour but white, the ground of a transparent canvas."""
    return Scene(
        side=rng.uniform(0.3, 0.98),
        pen=pen,
        tilt=rng.uniform(0, 10),
        off_centre=rng.uniform(0, 1),
        ink=_colour(rng, 0, 160),
        opacity=rng.uniform(0.4, 1),
        canvas=True,
    )


def _pen(rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(*np.log(PENS))))


def _colour(rng: np.random.Generator, low: int, high: int) -> Colour:
    red, green, blue = rng.integers(low, high, 3).tolist()
    return red, green, blue


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    shared = max(width, 0) * max(height, 0)
    return shared / (one.width * one.height + other.width * other.height - shared)


def _fingerprint(mnist: Digits) -> str:
    """A digest that changes with the digits, and with the code that makes pictures of them and finds them."""
    found, made = Path(reading.__file__).parent, Path(__file__).parent
    files = [file for room in FINDING for file in sorted((found / room).glob("*.py"))] + [
        made / f"{name}.py" for name in MAKING
    ]
    sha = hashlib.sha256(b"".join(file.read_bytes() for file in files))
    for split in (mnist.train, mnist.validation, mnist.test):
        sha.update(split.images.numpy().tobytes())
    return sha.hexdigest()[:16]
