"""Boxes in lines, in reading order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.reading.numbers.reading_order import group


def page(rows: int, columns: int, slope: float = 0.0, bend: float = 0.0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Boxes 20 high, a row after the other, 40 from row to row; numbered in reading order."""
    x = np.tile(np.arange(columns) * 18.0, rows)
    y = np.repeat(np.arange(rows) * 40.0, columns) + slope * x + bend * (x / 100) ** 2
    return np.stack([x, y, np.full(len(x), 12.0), np.full(len(x), 20.0)], axis=1).astype(np.float32)


@pytest.mark.parametrize(("slope", "bend"), [(0, 0), (0.12, 0), (-0.12, 0), (0.3, 0), (0, 8), (0, -8)], ids=str)
def test_straight_slanted_and_curved_lines_are_kept_apart(slope: float, bend: float) -> None:
    lines = group(page(4, 12, slope, bend))

    assert lines == [list(range(12 * row, 12 * row + 12)) for row in range(4)]


@given(st.permutations(range(15)))
def test_the_order_of_the_boxes_makes_no_difference(order: list[int]) -> None:
    boxes = page(3, 5, slope=0.1)

    lines = group(boxes[order])

    assert [[order[index] for index in line] for line in lines] == [list(range(5 * row, 5 * row + 5)) for row in range(3)]


def test_digits_far_from_each_other_in_one_row_are_one_line() -> None:
    boxes = np.array([(x, 50 + x / 100, 12, 20) for x in (0, 300, 320, 900)], np.float32)

    assert group(boxes) == [[0, 1, 2, 3]]


def test_no_boxes_give_no_lines() -> None:
    assert group(np.zeros((0, 4), np.float32)) == []
