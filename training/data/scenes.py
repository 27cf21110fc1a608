"""Made scenes as the finder trains on them: composed in parallel, reduced to its input, kept on disk.

``compose.make_scene`` makes one scene from a seed. ``load_scenes`` makes many, the same for any number of processes, and
continues where an interrupted run stopped.
"""

import hashlib
import json
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from app.reading.decode import opencv
from app.settings import available_cpus
from training.data.compose import SIDE, Scene, SceneDigit, SceneMark, make_scene
from training.data.dice import GROUPS, Pixels
from training.data.hands import Hands
from training.data.layouts import COMMA, KINDS, MINUS, MOST, OTHER, POINT
from training.data.unipen import SPLITS
from training.files import write_text

__all__ = [
    "GROUPS", "INPUT", "KIND_NAMES", "MARK_LABELS", "MOST", "Scene", "SceneDigit", "SceneMark", "SceneSet", "load_scenes",
    "make_scene", "to_input",
]  # fmt: skip

INPUT = 96  # pixels; the side of the finder's input
INK_SCALE = 2  # the ink is kept at half the input's size
SECOND_LOOKS = 0.4  # share of scenes that show what a second look sees
MARK_LABELS = {POINT: 10, COMMA: 11, MINUS: 12, OTHER: 13}  # labels in ``objects``, after the ten digits
KIND_NAMES = tuple(KINDS)
CHUNK = 200  # scenes per task of a process
FILES = (  # next to this one, on which the content of scenes depends
    "camera.py", "canvases.py", "compose.py", "dice.py", "fonts.csv", "fonts.py", "hands.py", "layouts.py", "lights.py",
    "made_photos.py", "objects.py", "papers.py", "pen_strokes.py", "pens.py", "scenes.py", "skeleton.py",
    "stroke_variation.py", "styles.py", "unipen.py", "visible.py",
)  # fmt: skip

Report = Callable[[int, int], None]  # scenes made so far, and their total


@dataclass(frozen=True)
class SceneSet:
    """Scenes as the finder sees them; large sets are mapped from disk.

    images: (N, S, S, 3) uint8, the longer side S, the border repeated. inks: (N, S/2, S/2) uint8. objects: (N, MOST, 5)
    float32: label (MARK_LABELS for marks), x and y of the centre, width, height in pixels of the image; -1 where there is
    none. lines: (N, MOST) int8, the objects' rows, -1 for none. kinds: (N,) uint8, of KIND_NAMES. looks: (N,) uint8, 1, or 2
    for a second look.
    """

    images: Pixels
    inks: Pixels
    objects: NDArray[np.float32]
    lines: NDArray[np.int8]
    kinds: Pixels
    looks: Pixels

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Order:
    """The scenes to make. without: of GROUPS; only: of KIND_NAMES or None; input_side: pixels; second_looks: their share."""

    data_dir: Path
    split: str
    unipen: Path | None
    with_fonts: bool
    verify: bool
    with_uci: bool
    without: frozenset[str]
    only: frozenset[str] | None
    input_side: int
    second_looks: float


def load_scenes(  # noqa: PLR0913
    data_dir: Path,
    split: str,
    count: int,
    *,
    unipen: Path | None = None,
    with_fonts: bool = True,
    verify: bool = True,
    with_uci: bool = True,
    without: frozenset[str] = frozenset(),
    only: frozenset[str] | None = None,
    input_side: int = INPUT,
    second_looks: float = SECOND_LOOKS,
    processes: int | None = None,
    report: Report = lambda _done, _total: None,
) -> SceneSet:
    """Loads scenes of a split; they are made once and kept in data_dir/made.

    processes: their number, by default one per core; the scenes do not depend on it.

    Raises:
        DataError: as in Hands.load.
    """
    order = Order(data_dir, split, unipen, with_fonts, verify, with_uci, without, only, input_side, second_looks)
    folder = data_dir / "made" / f"scenes-{split}-{count}-{_fingerprint(order)}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if not (folder / "complete.json").is_file():
            _make(order, count, folder, processes or available_cpus(), report)
            write_text(folder / "complete.json", json.dumps({"count": count, "split": split}) + "\n")
    return SceneSet(**{field.name: np.load(folder / f"{field.name}.npy", mmap_mode="r") for field in fields(SceneSet)})


def _make(order: Order, count: int, folder: Path, processes: int, report: Report) -> None:
    """Fills the arrays on disk chunk by chunk and records the finished chunks."""
    arrays = {name: _open(folder / f"{name}.npy", (count, *shape), kind) for name, (shape, kind) in _columns(order).items()}
    starts = range(0, count, CHUNK)
    done = _open(folder / "done.npy", (len(starts),), np.dtype(np.uint8))
    todo = [number for number in range(len(starts)) if not done[number]]
    made = min(count, (len(starts) - len(todo)) * CHUNK)
    report(made, count)
    with ExitStack() as stack:
        results_of = map if processes == 1 or len(todo) < 2 else stack.enter_context(_processes(processes)).map
        jobs = [(order, starts[number], min(CHUNK, count - starts[number])) for number in todo]
        for number, (start, result) in zip(todo, results_of(_run, jobs), strict=True):
            for name, part in result.items():
                arrays[name][start : start + len(part)] = part
                arrays[name].flush()
            done[number] = 1
            done.flush()
            report(made := min(count, made + len(part)), count)


def _columns(order: Order) -> dict[str, tuple[tuple[int, ...], np.dtype[np.generic]]]:
    side, half = order.input_side, order.input_side // INK_SCALE
    byte = np.dtype(np.uint8)
    return {
        "images": ((side, side, 3), byte),
        "inks": ((half, half), byte),
        "objects": ((MOST, 5), np.dtype(np.float32)),
        "lines": ((MOST,), np.dtype(np.int8)),
        "kinds": ((), byte),
        "looks": ((), byte),
    }


def _open(path: Path, shape: tuple[int, ...], kind: np.dtype[np.generic]) -> "np.memmap[tuple[int, ...], np.dtype[np.generic]]":
    if path.is_file():
        return np.lib.format.open_memmap(path, mode="r+")
    return np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape)


def _processes(count: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(count, multiprocessing.get_context("spawn"))


@cache
def _hands(order: Order) -> Hands:
    return Hands.load(
        order.data_dir, order.split, order.unipen, with_fonts=order.with_fonts, verify=order.verify, with_uci=order.with_uci
    )


def _run(job: tuple[Order, int, int]) -> tuple[int, dict[str, NDArray[np.generic]]]:
    """Makes the columns of a chunk of scenes, beginning at ``start``."""
    order, start, count = job
    opencv.tune()  # in every thread and process: with IPP, OpenCV's last bits differ
    rows = list(_rows(order, range(start, start + count)))
    return start, {
        name: np.array([row[number] for row in rows], kind) for number, (name, (_, kind)) in enumerate(_columns(order).items())
    }


def _rows(order: Order, numbers: range) -> Iterator[tuple[object, ...]]:
    hands, side = _hands(order), round(SIDE * order.input_side / INPUT)
    for number in numbers:
        seed = number * len(SPLITS) + SPLITS.index(order.split)
        second = bool(np.random.default_rng((seed, 2)).random() < order.second_looks)
        scene = make_scene(seed, hands, order.only, order.without, side=side, second_look=second)
        yield (*to_input(scene, order.input_side), KIND_NAMES.index(scene.kind), 2 if second else 1)


def to_input(scene: Scene, side: int = INPUT) -> tuple[Pixels, Pixels, NDArray[np.float32], NDArray[np.int8]]:
    """A scene as a row of a SceneSet: image (side, side, 3), ink (side/2, side/2), objects (MOST, 5), lines (MOST,)."""
    height, width = scene.ink.shape
    scale = side / max(height, width)
    image, left, top = fit(scene.pixels, side)
    ink, _, _ = fit(scene.ink, side, cv2.BORDER_CONSTANT)
    half = np.asarray(cv2.resize(ink, (side // INK_SCALE, side // INK_SCALE), interpolation=cv2.INTER_AREA), np.uint8)
    objects, lines = np.full((MOST, 5), -1, np.float32), np.full(MOST, -1, np.int8)
    found = [(digit.label, digit.box, digit.line) for digit in scene.digits]
    found += [(MARK_LABELS[mark.kind], mark.box, mark.line) for mark in scene.marks]
    for index, (label, (x, y, w, h), line) in enumerate(found[:MOST]):
        objects[index] = label, (x + w / 2) * scale + left, (y + h / 2) * scale + top, w * scale, h * scale
        lines[index] = line
    return image, half, objects, lines


def fit(picture: Pixels, side: int, border: int = cv2.BORDER_REPLICATE) -> tuple[Pixels, int, int]:
    """Resizes the picture to the longer side ``side`` in the middle of a square; also returns its corner's position."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized = picture if scale == 1 else cv2.resize(picture, size, interpolation=way)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    square = cv2.copyMakeBorder(resized, top, side - size[1] - top, left, side - size[0] - left, border)
    return np.asarray(square, np.uint8), left, top


def _fingerprint(order: Order) -> str:
    """A digest that changes with the code that makes scenes, with the hands, and with the order."""
    sha = hashlib.sha256(b"".join(Path(__file__).with_name(name).read_bytes() for name in FILES))
    sha.update(_hands(order).digest().encode())
    sha.update(repr((sorted(order.without), sorted(order.only or ()), order.input_side, order.second_looks)).encode())
    return sha.hexdigest()[:16]
