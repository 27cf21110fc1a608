"""Glyphs: MNIST's digits stay as they are, and ink is placed as NIST placed MNIST's."""

from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from app.reading.find.glyph import BOX, Ink, gate, is_normalised, place
from app.reading.reader import Reader
from benchmarks.pictures import canvas


def as_picture(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(image[..., np.newaxis], 3, axis=2)


def shifted(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.roll(image, 3, axis=1)


def test_mnist_digits_are_normalised(excerpt: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> None:
    assert all(is_normalised(as_picture(image)) for image in excerpt[0])


def test_all_of_mnists_test_set_is_normalised(mnist_test_images: NDArray[np.uint8]) -> None:
    assert all(is_normalised(as_picture(image)) for image in mnist_test_images)


NOT_NORMALISED = {
    "inverted": lambda image: 255 - image,
    "off its centre of mass": shifted,
    "too small in its box": lambda image: np.pad(image[::2, ::2], 7),
    "a bright border": lambda image: np.pad(image[1:-1, 1:-1], 1, constant_values=200),
    "another size": lambda image: np.pad(image, 1),
    "empty": np.zeros_like,
}


@pytest.mark.parametrize("change", NOT_NORMALISED.values(), ids=NOT_NORMALISED.keys())
def test_other_small_pictures_are_not_taken_for_mnist(change, excerpt: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> None:  # type: ignore[no-untyped-def]
    assert is_normalised(as_picture(excerpt[0][0]))
    assert not is_normalised(as_picture(np.ascontiguousarray(change(excerpt[0][0]))))


def test_a_coloured_picture_is_not_taken_for_mnist(excerpt: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> None:
    assert not is_normalised(as_picture(excerpt[0][0]) * np.array([1, 1, 0], np.uint8))


def test_a_glyph_of_an_answer_is_read_again_as_it_is(reader: Reader) -> None:
    for digit in range(10):
        for pen in (6, 14, 30):
            answer = reader.read(canvas(digit, pen=pen), include_glyph=True)
            glyph = Image.open(BytesIO(b64decode(str(answer.glyph).partition(",")[2])))

            again = reader.read(glyph, include_glyph=True)

            assert (again.glyph, again.probabilities) == (answer.glyph, answer.probabilities)


def bar(height: int, width: int) -> NDArray[np.float32]:
    ink = np.zeros((48, 48), np.float32)
    ink[20 : 20 + height, 10 : 10 + width] = 1
    return ink


def test_ink_keeps_its_aspect_and_gets_the_longer_side_of_mnists() -> None:
    glyph = place(Ink(bar(20, 5), 0, 0))

    assert glyph is not None
    assert glyph.max() == 255
    assert (glyph > 127).any(axis=1).sum() in (BOX - 1, BOX, BOX + 1)
    assert (glyph > 127).any(axis=0).sum() in (4, 5, 6)


@given(top=st.integers(0, 20), left=st.integers(0, 20), seed=st.integers(0, 99))
def test_the_centre_of_mass_is_in_the_middle(top: int, left: int, seed: int) -> None:
    ink = np.zeros((48, 48), np.float32)
    ink[top : top + 24, left : left + 18] = np.random.default_rng(seed).uniform(0.4, 1, (24, 18))

    glyph = place(Ink(ink, 0, 0))

    assert glyph is not None
    rows, columns = np.mgrid[:28, :28]
    assert (columns * (glyph / glyph.sum())).sum() == pytest.approx(14, abs=0.5)
    assert (rows * (glyph / glyph.sum())).sum() == pytest.approx(14, abs=0.5)


def test_an_edge_cuts_no_ink_off_where_the_mass_lies_to_one_side() -> None:
    ink = bar(24, 4)
    ink[20:22, 10:34] = 0.4

    glyph = place(Ink(ink, 0, 0))

    assert glyph is not None
    assert (glyph > 40).any(axis=0).sum() >= BOX - 1


@pytest.mark.parametrize("level", [0.0, 0.1, 0.29])
def test_ink_that_is_not_visible_is_no_glyph(level: float) -> None:
    assert place(gate(bar(20, 5) * np.float32(level), (30, 60, 20, 50))) is None


def test_only_ink_in_the_box_belongs_to_the_digit() -> None:
    ink = bar(20, 5)
    ink[:, 40:] = 1

    inside = gate(ink, (25, 60, 10, 40))

    assert inside.levels.sum() == 100
    assert (inside.levels[0] == 0).all()
    assert ink[inside.y : inside.y + inside.levels.shape[0], inside.x : inside.x + inside.levels.shape[1]].sum() == 100


@given(st.tuples(st.floats(-60, 160), st.floats(-60, 160), st.floats(0, 150), st.floats(0, 150)))
def test_any_box_has_ink_or_none(area: tuple[float, float, float, float]) -> None:
    glyph = place(gate(np.ones((48, 48), np.float32), area))

    assert glyph is None or (glyph.shape == (28, 28) and glyph.max() == 255)
