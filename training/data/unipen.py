"""UNIPEN's isolated digits, letters and signs: pen strokes by hundreds of writers.

Source: I. Guyon, L. Schomaker, R. Plamondon, M. Liberman, S. Janet, UNIPEN project of on-line data exchange and recognizer
benchmarks, ICPR 1994, doi:10.1109/ICPR.1994.576870; the collection is train_r01_v07 of the International Unipen Foundation,
doi:10.5281/zenodo.1195803. Its data are not part of this repository.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.unipen_raw import DIGITS_OF, LOOKALIKES, Sample, read_collection
from training.errors import DataError
from training.files import write_with

DIGITS, OTHERS = "unipen_digits.npz", "unipen_other.npz"
SOURCE = "https://doi.org/10.5281/zenodo.1195803"
FOLDER = "unipen"
LARGEST = 60.0  # mm; a longer side beyond this means a wrong resolution
SPLITS = ("train", "validation", "test")
COLUMNS = ("label", "provider", "writer", "split", "size", "n_strokes", "stroke_len", "points")


@dataclass(frozen=True)
class Inked:
    """Written characters as pen strokes.

    label: (N,) U1; provider: (N,) U3; writer: (N,), the writer's number; split: (N,) int8, of SPLITS.
    size: (N,) uint16, the longer side in 0.1 mm, 0 if it is unknown. mistakable: (N,) bool, for characters that are not
    digits but look like one. stroke_ends, point_ends: bounds of a sample's strokes and of a stroke's points,
    (N + 1,) and (strokes + 1,). points: (P, 2) int16, y down.
    """

    label: NDArray[np.str_]
    provider: NDArray[np.str_]
    writer: NDArray[np.integer]
    split: NDArray[np.int8]
    size: NDArray[np.uint16]
    mistakable: NDArray[np.bool_]
    stroke_ends: NDArray[np.int64]
    point_ends: NDArray[np.int64]
    points: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.label)

    def strokes(self, index: int) -> list[NDArray[np.float32]]:
        """The strokes of one sample, each (n, 2)."""
        first, last = self.stroke_ends[index : index + 2]
        ends = self.point_ends[first : last + 1]
        return [self.points[a:b].astype(np.float32) for a, b in pairwise(ends)]


@dataclass(frozen=True)
class Unipen:
    """Isolated digits, and letters and signs."""

    digits: Inked
    others: Inked


def load_unipen(path: Path) -> Unipen:
    """Reads a folder of prepared arrays (DIGITS and OTHERS), or the collection as distributed, with data/ and include/.

    Raises:
        DataError: the folder has neither, or a file is damaged.
    """
    if (path / DIGITS).is_file() and (path / OTHERS).is_file():
        return Unipen(_load(path / DIGITS), _load(path / OTHERS))
    if (path / "data" / DIGITS_OF[0]).is_dir():
        digits, others = read_collection(path)
        return Unipen(_arrange(digits), _arrange(others))
    raise DataError(
        f"{path} is not UNIPEN: it has neither {DIGITS} and {OTHERS}, nor the collection's folders data/{DIGITS_OF[0]} and "
        f"include.\nThe collection is at {SOURCE}; without it, leave out --unipen."
    )


def prepare_unipen(path: Path, data_dir: Path) -> Unipen:
    """Reads UNIPEN from path and stores the prepared arrays where ``find_unipen`` looks.

    Raises:
        DataError: as in load_unipen.
    """
    both, folder = load_unipen(path), data_dir / "strokes" / FOLDER
    if path.resolve() != folder.resolve():
        folder.mkdir(parents=True, exist_ok=True)
        for name, inked in ((DIGITS, both.digits), (OTHERS, both.others)):
            write_with(folder / name, partial(_save, inked))
    return both


def find_unipen(data_dir: Path) -> Path | None:
    """The folder of the prepared arrays under data_dir, or None before `python -m training data --unipen` has run."""
    folder = data_dir / "strokes" / FOLDER
    return folder if (folder / DIGITS).is_file() and (folder / OTHERS).is_file() else None


def _save(inked: Inked, path: Path) -> None:
    columns = {name: getattr(inked, name) for name in ("label", "provider", "writer", "split", "size", "points")}
    lookalike = np.where(inked.mistakable, 1, -1).astype(np.int8)  # which digit it looks like does not matter here
    lengths = {"n_strokes": np.diff(inked.stroke_ends), "stroke_len": np.diff(inked.point_ends)}
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, lookalike=lookalike, **columns, **lengths)


def _arrange(samples: Sequence[Sample]) -> Inked:
    """Arranges samples of the collection as columns."""
    strokes = [stroke for sample in samples for stroke in sample.strokes]
    return from_columns(
        label=np.array([sample.label for sample in samples], "<U1"),
        provider=np.array([sample.provider for sample in samples], "<U3"),
        writer=np.array([sample.who for sample in samples], np.int64),
        split=np.array([sample.split for sample in samples], np.int8),
        size=np.array([round(sample.size * 10) if sample.size < LARGEST else 0 for sample in samples], np.uint16),
        n_strokes=np.array([len(sample.strokes) for sample in samples], np.int64),
        stroke_len=np.array([len(stroke) for stroke in strokes], np.int64),
        points=np.concatenate(strokes) if strokes else np.zeros((0, 2), np.int16),
        mistakable=np.array([sample.label in LOOKALIKES for sample in samples], np.bool_),
    )


def _load(path: Path) -> Inked:
    try:
        with np.load(path) as file:
            columns: dict[str, Any] = {name: file[name] for name in COLUMNS}
            extra = [file[name] for name in ("lookalike", "read_as") if name in file.files]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} is damaged or has another format ({error}).") from error
    mistakable = np.any([column >= 0 for column in extra], axis=0) if extra else np.zeros(len(columns["label"]), np.bool_)
    return from_columns(**columns, mistakable=mistakable)


def from_columns(  # noqa: PLR0913
    *,
    label: NDArray[np.str_],
    provider: NDArray[np.str_],
    writer: NDArray[np.integer],
    split: NDArray[np.int8],
    size: NDArray[np.uint16],
    n_strokes: NDArray[np.integer],
    stroke_len: NDArray[np.integer],
    points: NDArray[np.int16],
    mistakable: NDArray[np.bool_],
) -> Inked:
    """Builds samples from the columns of the prepared arrays."""
    return Inked(label, provider, writer, split, size, mistakable, _ends(n_strokes), _ends(stroke_len), points)


def _ends(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
