"""Picking the digit: its strokes stay together, and marks of the paper are left out."""

import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import NoDigitFound
from app.reading.answer import Box
from app.reading.find.digit import MAX_STROKES, find_digit, pick_digit

# Which strokes are looked at shows in no digit: the rest would only cost time.
from app.reading.find.digit import _candidates, _label  # isort: skip


def sheet(*strokes: tuple[int, int, int, int], side: int = 200) -> NDArray[np.uint8]:
    """A mask with a filled rectangle a stroke: left, top, width, height."""
    mask = np.zeros((side, side), np.uint8)
    for left, top, width, height in strokes:
        mask[top : top + height, left : left + width] = 1
    return mask


def dots(step: int = 20) -> NDArray[np.uint8]:
    mask = np.zeros((200, 200), np.uint8)
    for shift in range(3):
        mask[8 + shift :: step, 8::step] = mask[8 + shift :: step, 9::step] = 1
    return mask


TOGETHER = {
    "a bar far above its five": ((60, 20, 60, 12), (60, 58, 60, 60)),
    "a five far below a heavy bar": ((60, 20, 60, 24), (70, 64, 50, 50)),
    "a bar across a seven": ((60, 40, 12, 100), (30, 80, 25, 8)),
    "the hook of a four next to its stem": ((60, 40, 40, 50), (108, 40, 12, 100)),
    "a broken stem": ((90, 20, 12, 70), (90, 100, 12, 70)),
}


@pytest.mark.parametrize("strokes", TOGETHER.values(), ids=TOGETHER.keys())
def test_strokes_of_one_digit_stay_together(strokes: tuple[tuple[int, int, int, int], ...]) -> None:
    digit = pick_digit(sheet(*strokes))

    assert digit.strokes == len(strokes)
    assert digit.others == 0


LEFT_OUT = {
    "a speck": (120, 60, 3, 3),
    "a staple in a corner": (160, 12, 30, 4),
    "a neighbour cut by the border": (0, 50, 20, 80),
    "the edge of the paper": (190, 0, 10, 200),
}


@pytest.mark.parametrize("other", LEFT_OUT.values(), ids=LEFT_OUT.keys())
def test_marks_that_are_not_strokes_of_the_digit_are_left_out(other: tuple[int, int, int, int]) -> None:
    assert pick_digit(sheet((70, 40, 40, 110), other)).box == Box(70, 40, 40, 110)


def test_dots_of_the_paper_are_not_strokes_however_near() -> None:
    assert pick_digit(np.maximum(sheet((73, 43, 12, 100)), dots())).box.width < 20


def test_a_frame_around_a_digit_is_removed() -> None:
    frame = sheet((20, 20, 160, 160)) - sheet((22, 22, 156, 156))

    written, digit = find_digit(np.maximum(frame, sheet((90, 60, 16, 80))))

    assert digit.box == Box(90, 60, 16, 80)
    assert written.sum() == 16 * 80


def test_paper_without_writing_has_no_digit() -> None:
    with pytest.raises(NoDigitFound, match="no stroke"):
        pick_digit(sheet())


def test_only_the_largest_of_thousands_of_specks_are_examined() -> None:
    mask = sheet((100, 200, 30, 4), side=512)
    mask[::2, ::2] = 1  # 65,536 strokes of one pixel
    area = _label(mask)[1][:, 4]
    nowhere = np.zeros(len(area), np.bool_)

    candidates = _candidates(area, nowhere, nowhere)

    assert len(candidates) == MAX_STROKES
    assert area[candidates[0]] == area.max()
    pick_digit(mask)


@pytest.mark.parametrize("size", [(509, 515), (510, 514), (3, 131_069)])
def test_the_largest_possible_number_of_strokes_is_told_apart(size: tuple[int, int]) -> None:
    dots = np.zeros(size, np.uint8)
    dots[::2, ::2] = 1

    assert pick_digit(dots).strokes >= 1
