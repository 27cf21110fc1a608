"""Windows: squares of a picture at one size, and where they were cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.reading.find.window import FILL, SIDE, Window, cut_around, cut_whole


def gradient(width: int, height: int) -> NDArray[np.uint8]:
    """Red goes from 0 on the left to 200 on the right, green from the top to the bottom."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 200, width)
    pixels[..., 1] = np.linspace(0, 200, height)[:, np.newaxis]
    return pixels


@given(width=st.integers(1, 700), height=st.integers(1, 700))
def test_any_picture_has_a_window_of_all_of_it(width: int, height: int) -> None:
    window = cut_whole(gradient(width, height))

    assert window.pixels.shape == (SIDE, SIDE, 3)
    x, y, _, _ = window.to_picture((SIDE / 2, SIDE / 2, 1, 1))
    assert abs(x - width / 2) <= 0.02 * max(width, height) + 1
    assert abs(y - height / 2) <= 0.02 * max(width, height) + 1


@pytest.mark.parametrize(("width", "height"), [(640, 480), (280, 280), (97, 301), (40, 20), (1000, 750)])
def test_a_pixel_of_the_window_shows_its_place_in_the_picture(width: int, height: int) -> None:
    picture = gradient(width, height)
    for window in (cut_whole(picture), cut_around(picture, (width * 0.4, height * 0.6, width * 0.3, height * 0.2))):
        for row, column in ((48, 48), (30, 60), (60, 40)):
            x, y, _, _ = window.to_picture((column + 0.5, row + 0.5, 1, 1))
            if 2 <= x < width - 2 and 2 <= y < height - 2:
                expected = np.array([200 * (x - 0.5) / (width - 1), 200 * (y - 0.5) / (height - 1)])
                assert np.abs(window.pixels[row, column, :2] - expected).max() <= 0.7 * 200 / min(width, height) + 2


@given(x=st.floats(-50, 350), y=st.floats(-50, 350), width=st.floats(0.1, 400), height=st.floats(0.1, 400))
def test_a_window_can_be_cut_anywhere_and_its_digit_fills_it(x: float, y: float, width: float, height: float) -> None:
    window = cut_around(gradient(300, 200), (x, y, width, height))

    assert window.pixels.shape == (SIDE, SIDE, 3)
    if 30 <= max(width, height) <= 150 and 100 < x < 200 and 80 < y < 120:
        middle_x, middle_y, broad, high = window.from_picture((x, y, width, height))
        assert max(broad, high) == pytest.approx(FILL * SIDE, rel=0.05)
        assert abs(middle_x - SIDE / 2) <= 3
        assert abs(middle_y - SIDE / 2) <= 3


@given(st.tuples(*[st.floats(0, 96)] * 4))
def test_places_go_to_the_picture_and_back(area: tuple[float, float, float, float]) -> None:
    window = Window(np.zeros((SIDE, SIDE, 3), np.uint8), -30.5, 7, 2.5, 2.6)

    np.testing.assert_allclose(window.from_picture(window.to_picture(area)), area, atol=1e-6)


def test_outside_of_the_picture_its_border_goes_on() -> None:
    picture = np.full((40, 80, 3), 90, np.uint8)
    picture[0], picture[-1] = 10, 200

    pixels = cut_whole(picture).pixels

    assert (pixels[:20] <= 60).all()
    assert (pixels[-20:] >= 120).all()


def test_no_pixel_is_skipped_where_a_picture_is_reduced() -> None:
    picture = np.zeros((960, 960, 3), np.uint8)
    picture[::2, ::2] = 255

    assert np.abs(cut_whole(picture).pixels.astype(int) - 64).max() <= 1
