"""Windows as tensors: to the bit those that the service cuts by OpenCV."""

import numpy as np
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.reading.decode import opencv
from app.reading.find.window import Window, cut_around, cut_whole
from training.learning.windows import Windows, around, cut, in_picture, in_window, whole

FEW = 30  # pictures; cutting one takes long where it is large
SIDES = st.integers(4, 1100)
FINE = 1024  # places are its fractions, which float32 adds up exactly: no half is rounded to another side there


def fractions(least: float, most: float) -> st.SearchStrategy[float]:
    return st.integers(round(least * FINE), round(most * FINE)).map(lambda number: number / FINE)


AREA = st.tuples(fractions(0, 1), fractions(0, 1), fractions(0.01, 0.9), fractions(0.01, 0.9))  # over the picture's sides


def noise(width: int, height: int) -> NDArray[np.uint8]:
    return np.random.default_rng((width, height)).integers(0, 256, (height, width, 3), dtype=np.uint8)


def as_tensor(picture: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1).unsqueeze(0).float()


def assert_same(windows: Windows, *expected: Window) -> None:
    for pixels, frame, window in zip(windows.pixels, windows.frames, expected, strict=True):
        np.testing.assert_array_equal(pixels.permute(1, 2, 0).numpy(), window.pixels)
        np.testing.assert_allclose(frame.numpy(), (window.x, window.y, window.across, window.down), rtol=1e-5, atol=1e-3)


@settings(max_examples=FEW)
@given(width=SIDES, height=SIDES)
def test_all_of_a_picture_is_cut_as_the_service_cuts_it(width: int, height: int) -> None:
    opencv.tune()
    picture = noise(width, height)

    assert_same(cut(as_tensor(picture), whole(as_tensor(picture))), cut_whole(picture))


@settings(max_examples=FEW)
@given(width=SIDES, height=SIDES, places=st.lists(AREA, min_size=1, max_size=3))
@example(width=1100, height=16, places=[(0, 0, 0.875, 0.5)])  # could be halved four times
@example(width=1024, height=1024, places=[(0.5, 0.5, 1, 1)])
def test_a_window_around_a_digit_is_cut_as_the_service_cuts_it(
    width: int, height: int, places: list[tuple[float, float, float, float]]
) -> None:
    opencv.tune()
    picture = noise(width, height)
    areas = np.array(places, np.float32) * np.array([width, height, width, height], np.float32)

    windows = cut(as_tensor(picture), around(torch.from_numpy(areas)))

    assert_same(windows, *(cut_around(picture, (x, y, w, h)) for x, y, w, h in areas.tolist()))


@given(place=AREA)
def test_places_in_a_window_are_told_as_the_service_tells_them(place: tuple[float, float, float, float]) -> None:
    window = Window(np.zeros((96, 96, 3), np.uint8), -12.5, 30, 2.25, 2.5)
    frame = torch.tensor([[window.x, window.y, window.across, window.down]])
    areas = 96 * torch.tensor([place])

    there = in_picture(areas, frame)

    np.testing.assert_allclose(there[0], window.to_picture(tuple(areas[0].tolist())), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(in_window(there, frame), areas, rtol=1e-4, atol=1e-3)
