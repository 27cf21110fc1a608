"""The table of digits by pen."""

import numpy as np
import pytest

from benchmarks.accuracy.styles import count_right, names_of, write_plainly, write_table
from training.data.compose import Scene, SceneDigit
from training.data.hands import Hands, Mnist, Penmen, Written

STROKE = (np.array([[0.5, 0.0], [0.5, 1.0]]),)
SEVEN = Written(7, "7", STROKE, provider="abc")


def scene(side: float) -> Scene:
    """A picture of 100×50 pixels with a digit whose longer side is so many."""
    blank = np.zeros((50, 100), np.uint8)
    return Scene(np.dstack([blank] * 3), blank, (SceneDigit(7, (1, 1, side / 2, side)),), (), "photo")


@pytest.mark.parametrize(
    ("side", "size"), [(7.9, "under 8 %"), (8, "8 to 16 %"), (32.9, "16 to 33 %"), (33, "33 % or more"), (50, "33 % or more")]
)
def test_a_digit_counts_by_its_longer_side_next_to_the_pictures(side: float, size: str) -> None:
    """Whatever the picture's own size."""
    assert names_of(SEVEN, scene(side)) == ["all", "kind: photo", "source: abc", f"side: {size}"]


def test_digits_are_written_as_they_were_on_paper_and_on_a_canvas() -> None:
    """Each alone, dark on light, in the middle of its sheet."""
    writers = Penmen(lambda _: SEVEN, np.zeros(3, np.int64), np.full(3, 7))
    hands = Hands(
        "test", {"unipen": writers}, None, Mnist(np.zeros((1, 28, 28), np.uint8), np.zeros(1, np.int64)), None, None, {}, ()
    )

    written = list(write_plainly(hands, 2))

    assert [scene.kind for _, scene in written] == ["photo", "canvas"] * 2
    for _, each in written:
        ink = each.pixels.max(axis=2) < 128
        rows, columns = np.nonzero(ink)
        assert abs(rows.mean() / ink.shape[0] - 0.5) < 0.05
        assert abs(columns.mean() / ink.shape[1] - 0.5) < 0.05
        assert each.pixels[0, 0].min() > 180
    assert names_of(*written[0]) == ["all", "kind: photo", "source: abc"]


def test_the_table_says_how_many_were_read_rightly() -> None:
    """One of two, of each name that both count into."""
    answers = (np.array([7, 1]), np.array([True, True]))
    counts = count_right(lambda _pictures: answers, iter([(SEVEN, scene(40)), (SEVEN, scene(10))]))
    assert write_table(counts)[2:] == [
        "| all | 50.00% | 2 |",
        "| kind: photo | 50.00% | 2 |",
        "| side: 33 % or more | 100.00% | 1 |",
        "| side: 8 to 16 % | 0.00% | 1 |",
        "| source: abc | 50.00% | 2 |",
    ]
