"""Digits as pen strokes by hands other than MNIST's, split by writer.

The strokes are UCI's Pen-Based Recognition of Handwritten Digits (E. Alpaydın, F. Alimoğlu, 1998, CC BY 4.0). They
have 1 with flag and foot, crossed 7 and closed 4, which MNIST's American writers hardly use.
"""

import gzip
import hashlib
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from rich.console import Console

from training.data.download import fetch
from training.errors import DataError
from training.files import write_bytes

URLS = (  # UCI's current archive, and the file's location since 1998
    "https://archive.ics.uci.edu/static/public/81/pen+based+recognition+of+handwritten+digits.zip",
    "https://archive.ics.uci.edu/ml/machine-learning-databases/pendigits/pendigits-orig.tra.Z",
)
MEMBER = "pendigits-orig.tra.Z"
FILE = "uci_pendigits-train.unipen.gz"
SHA256 = "a66225d68d7d68591e62944df1ad33b3f5aa608e2df2505844b41f5568a80da4"  # of the unpacked text

TURNS = 6  # of this many writers, in turn, one is for validation and one for testing


@dataclass(frozen=True)
class PenDigit:
    """One written digit: its strokes, each (n, 2) points x, y with y down, in the tablet's units."""

    label: int
    writer: int
    strokes: tuple[NDArray[np.float64], ...]


def load_strokes(data_dir: Path) -> list[PenDigit]:
    """Loads the 7,494 digits of 30 writers from ``data_dir/strokes``; a missing file is fetched from UCI.

    Raises:
        DataError: the file is missing and cannot be fetched, or is not the known one.
    """
    path = data_dir / "strokes" / FILE
    if not path.is_file():
        _fetch(path, data_dir / ".lock")
    try:
        text = gzip.decompress(path.read_bytes())
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error}). Delete it and run again.") from error
    if not _is_known(text):
        raise DataError(f"{path} is not the known file (sha256 differs). Delete it and run again.")
    return list(parse_unipen(text.decode("latin-1").splitlines()))


def _is_known(text: bytes) -> bool:
    return hashlib.sha256(text).hexdigest() == SHA256


def _fetch(path: Path, lock: Path) -> None:
    """Fetches the file, checks that it is the known one, and stores it gzipped; one process at a time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock), Console(stderr=True).status(f"Fetching {MEMBER} from {URLS[0]}"):
            if path.is_file():
                return  # another process was faster
            text = fetch(URLS, MEMBER)
            if not _is_known(text):
                raise DataError(f"What was fetched as {MEMBER} is not the known file (sha256 differs).")
            write_bytes(path, gzip.compress(text, mtime=0))
    except (OSError, DataError) as error:
        raise DataError(
            f"{FILE} is missing in {path.parent}: the UNIPEN training file of UCI's Pen-Based Recognition of Handwritten "
            f"Digits.\nIt could not be fetched either:\n{error}\n"
            f"With a network, `python -m training data` fetches it. Without one, take {MEMBER} out of\n{URLS[0]}\n"
            f"and pack it anew: uncompress -c {MEMBER} | gzip > {path}"
        ) from error


def parse_unipen(lines: Iterable[str]) -> Iterator[PenDigit]:
    """Parses digits from UNIPEN text (Guyon et al. 1994): .SEGMENT has the label, the second number of .COMMENT the writer."""
    label, writer = -1, -1
    strokes: list[list[tuple[float, float]]] = []
    pen_down = False
    for line in lines:
        word, *rest = line.split() or [""]
        if word == ".SEGMENT":
            if strokes:
                yield _digit(label, writer, strokes)
            label, strokes, pen_down = int(rest[-1].strip('"')), [], False
        elif word == ".COMMENT" and label >= 0 and len(rest) > 1:
            writer = int(rest[1])
        elif word == ".PEN_DOWN":
            strokes.append([])
            pen_down = True
        elif word.startswith("."):
            pen_down = False
        elif pen_down and word:
            strokes[-1].append((float(word), -float(rest[0])))  # a tablet counts y upwards
    if strokes:
        yield _digit(label, writer, strokes)


def _digit(label: int, writer: int, strokes: list[list[tuple[float, float]]]) -> PenDigit:
    return PenDigit(label, writer, tuple(np.array(stroke) for stroke in strokes if stroke))


def split_writers(digits: Sequence[PenDigit]) -> tuple[list[PenDigit], list[PenDigit], list[PenDigit]]:
    """Splits digits for training, validation and testing by 20, 5 and 5 of the 30 writers; no writer is in two splits."""
    writers = sorted({digit.writer for digit in digits})
    validation, test = set(writers[::TURNS]), set(writers[TURNS // 2 :: TURNS])
    return (
        [digit for digit in digits if digit.writer not in validation | test],
        [digit for digit in digits if digit.writer in validation],
        [digit for digit in digits if digit.writer in test],
    )
