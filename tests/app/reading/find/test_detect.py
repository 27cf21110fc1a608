"""Digits in a look: peaks of its scores, each digit once."""

import numpy as np

from app.reading.find.detect import LEAST, detect, refine
from app.reading.find.finder import Look


def look(*digits: tuple[int, int, float, tuple[float, float, float, float]]) -> Look:
    """A look with a score and a box in cells (row, column)."""
    scores, boxes = np.zeros((24, 24), np.float32), np.full((4, 24, 24), 5, np.float32)
    for row, column, score, box in digits:
        scores[row, column], boxes[:, row, column] = score, box
    labels, marks = np.zeros((10, 24, 24), np.float32), np.zeros((4, 24, 24), np.float32)
    return Look(np.zeros((48, 48), np.float32), scores, boxes, labels, marks)


def test_the_surest_digit_comes_first() -> None:
    found = detect(look((5, 5, 0.7, (22, 22, 10, 14)), (5, 18, 0.9, (74, 22, 10, 14))))

    np.testing.assert_allclose(found.scores, [0.9, 0.7])
    np.testing.assert_allclose(found.boxes[:, 0], [74, 22])


def test_a_weak_score_is_no_digit() -> None:
    assert len(detect(look((5, 5, LEAST - 0.01, (22, 22, 10, 14)))).scores) == 0
    assert len(detect(look((5, 5, LEAST, (22, 22, 10, 14)))).scores) == 1


def test_neighbouring_cells_and_boxes_that_share_most_are_one_digit() -> None:
    neighbours = look((5, 5, 0.8, (22, 22, 10, 14)), (5, 6, 0.7, (23, 22, 10, 14)))
    overlapping = look((5, 5, 0.8, (22, 22, 20, 28)), (5, 8, 0.7, (27, 22, 20, 28)))
    next_to = look((5, 5, 0.8, (22, 22, 10, 28)), (5, 8, 0.7, (31, 22, 10, 28)))

    assert [len(detect(each).scores) for each in (neighbours, overlapping, next_to)] == [1, 1, 2]


def test_in_a_window_of_its_own_a_digit_is_the_one_in_the_middle() -> None:
    before = (48.0, 48.0, 60.0, 60.0)

    assert refine(look((12, 11, 0.3, (46, 50, 30, 59)), (2, 2, 0.99, (10, 10, 12, 12))), before) == (46, 50, 30, 59)
    assert refine(look((2, 2, 0.99, (10, 10, 12, 12))), before) == before
