"""UNIPEN's isolated digits, letters and signs: pen strokes by hundreds of writers.

Source: I. Guyon, L. Schomaker, R. Plamondon, M. Liberman, S. Janet, UNIPEN project of on-line data exchange and recognizer
benchmarks, ICPR 1994, doi:10.1109/ICPR.1994.576870; the collection is train_r01_v07 of the International Unipen Foundation,
doi:10.5281/zenodo.1195803. Its data are not a part of this repository.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.errors import DataError

DIGITS, OTHERS = "unipen_digits.npz", "unipen_other.npz"
SPLITS = ("train", "validation", "test")
COLUMNS = ("label", "provider", "writer", "split", "size", "n_strokes", "stroke_len", "points")


@dataclass(frozen=True)
class Inked:
    """Written characters as pen strokes.

    label: (N,) U1; provider: (N,) U3; writer: (N,) int16, a number that says who wrote it; split: (N,) int8, of SPLITS.
    size: (N,) uint16, the longer side in 0.1 mm, 0 where it is unknown. mistakable: (N,) bool, for characters that are not
    digits and may be taken for one. stroke_ends, point_ends: where a sample's strokes and a stroke's points begin and end,
    (N + 1,) and (strokes + 1,). points: (P, 2) int16, y down.
    """

    label: NDArray[np.str_]
    provider: NDArray[np.str_]
    writer: NDArray[np.int16]
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
        return [self.points[a:b].astype(np.float32) for a, b in zip(ends[:-1], ends[1:], strict=True)]


@dataclass(frozen=True)
class Unipen:
    """Isolated digits, and letters and signs."""

    digits: Inked
    others: Inked


def load_unipen(path: Path) -> Unipen:
    """Reads a folder: prepared arrays (DIGITS and OTHERS), or the collection as it is distributed, with data/ and include/.

    Raises:
        DataError: the folder has neither, or a file is damaged.
    """
    if (path / DIGITS).is_file() and (path / OTHERS).is_file():
        return Unipen(_load(path / DIGITS), _load(path / OTHERS))
    raise DataError(f"{path} is not UNIPEN: it has neither {DIGITS} and {OTHERS}, nor the collection's folder data/1a.")


def _load(path: Path) -> Inked:
    try:
        with np.load(path) as file:
            columns = {name: file[name] for name in COLUMNS}
            extra = [file[name] for name in ("lookalike", "read_as") if name in file.files]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} is damaged or has another format ({error}).") from error
    mistakable = np.any([column >= 0 for column in extra], axis=0) if extra else np.zeros(len(columns["label"]), np.bool_)
    return from_columns(**columns, mistakable=mistakable)


def from_columns(  # noqa: PLR0913
    *,
    label: NDArray[np.str_],
    provider: NDArray[np.str_],
    writer: NDArray[np.int16],
    split: NDArray[np.int8],
    size: NDArray[np.uint16],
    n_strokes: NDArray[np.uint8],
    stroke_len: NDArray[np.uint16],
    points: NDArray[np.int16],
    mistakable: NDArray[np.bool_],
) -> Inked:
    """Samples from the columns of the prepared arrays."""
    return Inked(label, provider, writer, split, size, mistakable, _ends(n_strokes), _ends(stroke_len), points)


def _ends(lengths: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
