"""Digits of other collections: read as posted, counted, and a clear error for files that are not a collection."""

from pathlib import Path

import numpy as np
import pytest
import typer
from numpy.typing import NDArray
from rich.console import Console
from typer.testing import CliRunner

from app.reading.reader import Reader
from benchmarks.accuracy import other_hands
from benchmarks.accuracy.other_hands import Sample, Score, judge, load_samples, write_table


@pytest.fixture
def folder(tmp_path: Path, excerpt: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> Path:
    images, labels = excerpt
    np.savez(tmp_path / "ours.npz", x=images[:20], y=labels[:20])
    return tmp_path


def test_mnists_digits_are_read_and_a_blank_is_refused(reader: Reader, folder: Path) -> None:
    (sample,) = load_samples(folder)
    blank = np.zeros((1, 28, 28), np.uint8)
    wrong = (sample.labels[:1] + 1) % 10
    images = np.concatenate([sample.images, blank, sample.images[:1]])

    score = judge(reader, Sample("more", images, np.concatenate([sample.labels, [0], wrong])), Console(quiet=True))

    assert (score.of, score.refused) == (22, 1)
    assert 19 <= score.right <= 20
    assert score.accepted_right <= min(score.right, score.accepted)
    assert score.accepted > score.accepted_right  # the digit with another's label


def test_polarity_does_not_matter(reader: Reader, folder: Path) -> None:
    (sample,) = load_samples(folder)

    scores = [
        judge(reader, Sample("any", images, sample.labels), Console(quiet=True))
        for images in (sample.images, 255 - sample.images)
    ]

    assert scores[0].right == scores[1].right >= 19


def test_the_table_gives_shares_and_counts() -> None:
    table = write_table({"usps": Score(200, 190, 150, 149, 3), "nothing": Score(2, 0, 0, 0, 2)}, "digits/1")

    assert "| usps | 95.00% (190 of 200) | 75.00% (150 of 200) | 99.33% (149 of 150) | 3 |" in table
    assert "| nothing | 0.00% (0 of 2) | 0.00% (0 of 2) | none | 2 |" in table


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "holds no .npz file"),
        ({"x": np.zeros((2, 8, 8), np.uint8)}, "holds no x and y"),
        ({"x": np.zeros((2, 64), np.uint8), "y": np.zeros(2)}, "needs x of shape"),
        ({"x": np.zeros((2, 8, 8)), "y": np.zeros(2)}, "in uint8"),
        ({"x": np.zeros((2, 8, 8), np.uint8), "y": np.zeros(3)}, "y of shape"),
    ],
    ids=["no file", "no labels", "flat", "floats", "labels missing"],
)
def test_an_invalid_collection_is_reported(arrays: dict[str, NDArray[np.generic]], message: str, tmp_path: Path) -> None:
    if arrays:
        np.savez(tmp_path / "set.npz", **arrays)  # type: ignore[arg-type]

    with pytest.raises(typer.BadParameter, match=message):
        list(load_samples(tmp_path))


def test_the_command_prints_the_table(folder: Path) -> None:
    app = typer.Typer()
    app.command()(other_hands.run)

    done = CliRunner().invoke(app, [str(folder)])

    assert done.exit_code == 0
    assert "| ours | " in done.stdout
