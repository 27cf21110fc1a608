"""Printed lines are removed, and the strokes that cross them stay."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.reading.find.measure import stroke_width
from app.reading.find.printed_lines import find_lines, remove_frame, remove_lines
from benchmarks.pictures import stroke_mask

HEIGHT, WIDTH = 270, 360
NEARLY = 0.3  # of the ink: the pixels that may stay of the lines, or go with them
Mask = NDArray[np.uint8]


def ruled(step: float, degrees: float = 0, width: float = 2, dash: float = 1, bend: float = 0) -> Mask:
    """Lines across a page, a step apart; dash: the share of each 14 pixels that is printed; bend: pixels."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    across = y + x * np.tan(np.deg2rad(degrees)) + bend * (2 * x / WIDTH - 1) ** 2
    return np.asarray(((across % step) < width) & (x % 14 < 14 * dash), np.uint8)


def squared(step: float, degrees: float = 0) -> Mask:
    turned = np.zeros((HEIGHT, WIDTH), np.uint8)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    turned[((x - y * np.tan(np.deg2rad(degrees))) % step) < 2] = 1
    return np.maximum(ruled(step, degrees), turned)


def written(digit: int, pen: float = 10) -> Mask:
    return (stroke_mask(digit, (WIDTH, HEIGHT), (140, 80, 220, 190), pen) > 127).astype(np.uint8)


def around(mask: Mask) -> Mask:
    """The digit and what lies about it; what is left of a line at the page's border is no stroke of a digit."""
    return mask[50:220, 110:250]


def differing(one: Mask, other: Mask, ink: Mask) -> float:
    """Pixels in which two masks differ, over the ink."""
    return float((one != other).sum() / ink.sum())


@settings(max_examples=40)
@given(digit=st.integers(0, 9), step=st.integers(24, 70), degrees=st.floats(-3, 3), width=st.sampled_from([1, 2, 3]))
def test_ruled_lines_are_removed_from_under_a_digit(digit: int, step: int, degrees: float, width: int) -> None:
    digits = written(digit)

    rest = remove_lines(np.maximum(ruled(step, degrees, width), digits))

    assert differing(around(rest), around(digits), digits) < NEARLY


@settings(max_examples=40)
@given(digit=st.integers(0, 9), step=st.integers(22, 40), degrees=st.floats(-3, 3))
def test_squared_paper_is_removed_from_under_a_digit(digit: int, step: int, degrees: float) -> None:
    digits = written(digit)

    rest = remove_lines(np.maximum(squared(step, degrees), digits))

    assert differing(around(rest), around(digits), digits) < NEARLY


@pytest.mark.parametrize("page", [ruled(40, dash=0.6), ruled(40, bend=3), ruled(40, degrees=1, dash=0.8)], ids=str)
def test_dashed_and_bent_lines_are_removed(page: Mask) -> None:
    digits = written(3)

    assert differing(remove_lines(np.maximum(page, digits)), digits, digits) < NEARLY


def test_a_blank_ruled_page_is_blank() -> None:
    assert not remove_lines(ruled(40)).any()


def test_a_single_line_is_removed_if_it_is_thinner_than_the_pen() -> None:
    digits, line = written(4), ruled(500, width=3)
    line = np.roll(line, 150, axis=0)

    assert differing(remove_lines(np.maximum(line, digits)), digits, digits) < 0.05


@pytest.mark.parametrize("digit", range(10))
@pytest.mark.parametrize("pen", [3, 10, 30])
def test_a_digit_that_fills_the_picture_keeps_all_its_strokes(digit: int, pen: float) -> None:
    mask = (stroke_mask(digit, (200, 280), (0, 0, 200, 280), pen) > 127).astype(np.uint8)

    assert remove_lines(mask) is mask


BARS = {
    "a one": [(0, 90, 280, 110)],
    "the bar of a seven": [(0, 0, 16, 200), (0, 150, 280, 166)],
    "two ones": [(0, 40, 280, 52), (0, 140, 280, 152)],
    "an angular eight": [(0, 0, 12, 200), (134, 0, 146, 200), (268, 0, 280, 200), (0, 0, 280, 12), (0, 188, 280, 200)],
}


@pytest.mark.parametrize("bars", BARS.values(), ids=BARS.keys())
def test_straight_bars_of_a_digit_are_not_printed_lines(bars: list[tuple[int, int, int, int]]) -> None:
    mask = np.zeros((280, 200), np.uint8)
    for top, left, bottom, right in bars:
        mask[top:bottom, left:right] = 1

    assert remove_lines(mask) is mask
    assert remove_frame(mask) is mask


def test_a_frame_is_removed_and_strokes_that_cross_it_stay() -> None:
    frame = np.zeros((200, 200), np.uint8)
    frame[:2] = frame[-2:] = frame[:, :2] = frame[:, -2:] = 1
    digit = np.zeros_like(frame)
    digit[60:200, 90:104] = 1

    assert differing(remove_frame(np.maximum(frame, digit)), digit, digit) < 0.02


def test_lines_are_found_with_their_position_and_thickness() -> None:
    lines = find_lines(ruled(50, degrees=2, width=3))

    assert lines is not None
    np.testing.assert_allclose(np.diff(lines.rows.mean(axis=1)), 50, atol=2)
    assert lines.thickness == pytest.approx(3, abs=0.6)


@pytest.mark.parametrize("width", [1, 3, 8])
def test_the_width_of_a_stroke_is_measured(width: int) -> None:
    mask = np.zeros((60, 60), np.uint8)
    mask[5:55, 20 : 20 + width] = 1

    assert stroke_width(mask) == pytest.approx(width, rel=0.35)
