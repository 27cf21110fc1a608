"""Measures how well digits of other collections are read, by the whole reader, from the bytes of a PNG to the answer.

The user provides a folder. Each set in it is an .npz file with x, (N, H, W) uint8, and y, (N,) labels 0 to 9. Two public sets
and their sources:

- USPS, digits of American envelopes, 16×16 in grey: J. J. Hull, A database for handwritten text recognition research, IEEE
  Transactions on Pattern Analysis and Machine Intelligence 16 (1994);
- optdigits, bitmaps of 32×32: UCI's Optical Recognition of Handwritten Digits, data set 80 (E. Alpaydın, C. Kaynak, 1998),
  its file optdigits-orig.tra.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from zipfile import BadZipFile

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from app.errors import NoDigitFound
from app.reading.reader import Reader
from app.runtime.loading import load_reader
from app.settings import Settings


@dataclass(frozen=True)
class Sample:
    """A set of digits: images (N, H, W) uint8, bright on black or dark on white; labels (N,)."""

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.integer]


@dataclass(frozen=True)
class Score:
    """Of so many digits: read rightly, accepted, accepted and right, and refused since no digit was found."""

    of: int
    right: int
    accepted: int
    accepted_right: int
    refused: int


def load_samples(folder: Path) -> Iterator[Sample]:
    """The sets in the folder, by name.

    Raises:
        typer.BadParameter: it holds none, or a file is no set of digits.
    """
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise typer.BadParameter(f"{folder} holds no .npz file with x and y.")
    for path in paths:
        try:
            with np.load(path) as arrays:
                images, labels = arrays["x"], arrays["y"]
        except (OSError, KeyError, ValueError, BadZipFile) as error:
            raise typer.BadParameter(f"{path} holds no x and y: {error}") from error
        if images.ndim != 3 or images.dtype != np.uint8 or labels.shape != images.shape[:1]:
            raise typer.BadParameter(f"{path} needs x of shape (N, H, W) in uint8 and y of shape (N,).")
        yield Sample(path.stem, images, labels)


def judge(reader: Reader, sample: Sample, console: Console) -> Score:
    """Every digit of the set, posted as a PNG as it is, neither enlarged nor turned."""
    right, accepted = np.zeros((2, len(sample.labels)), np.bool_)
    refused = 0
    for index, image in enumerate(track(sample.images, sample.name, console=console)):
        try:
            prediction = reader.read(cv2.imencode(".png", image)[1].tobytes())
        except NoDigitFound:
            refused += 1
            continue
        right[index] = prediction.digit == sample.labels[index]
        accepted[index] = prediction.accepted
    return Score(len(right), int(right.sum()), int(accepted.sum()), int((right & accepted).sum()), refused)


def write_table(scores: dict[str, Score], model: str) -> str:
    """The figures in Markdown, in percent with the counts."""
    lines = [
        f"Model `{model}`:",
        "",
        "| set | read rightly | accepted | right of the accepted | no digit found |",
        "|---|---|---|---|---|",
    ]
    for name, score in scores.items():
        counts = [(score.right, score.of), (score.accepted, score.of), (score.accepted_right, score.accepted)]
        lines.append(f"| {name} | {' | '.join(_share(count, of) for count, of in counts)} | {score.refused} |")
    return "\n".join(lines)


def _share(count: int, of: int) -> str:
    return f"{count / of:.2%} ({count:,} of {of:,})" if of else "none"


def run(
    folder: Annotated[Path, typer.Argument(help="Folder of .npz files with x and y.", exists=True, file_okay=False)],
) -> None:
    """Reads every digit of every set in the folder, and prints the table."""
    reader = load_reader(Settings())
    record = reader.classifier.record
    console = Console(stderr=True)
    scores = {sample.name: judge(reader, sample, console) for sample in load_samples(folder)}
    print(write_table(scores, f"{record.name}/{record.version}"))  # noqa: T201


if __name__ == "__main__":
    typer.run(run)
