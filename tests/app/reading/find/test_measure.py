"""What is measured of a digit: in the picture, under the ink that the finder saw."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageFilter

from app.reading.decode.picture import to_picture
from app.reading.find.measure import Measurements, measure, slant
from app.reading.find.steps import find_digits
from app.reading.reader import Reader
from benchmarks.pictures import BLACK, WHITE, Colour, canvas


def measured(reader: Reader, image: object) -> Measurements:
    (steps,) = find_digits(reader.model.finder, to_picture(image))  # type: ignore[arg-type]
    return steps.glyph.measurements


def test_a_digit_is_measured(reader: Reader) -> None:
    found = measured(reader, canvas(1, pen=18, ink=(51, 51, 51), box=(120, 50, 160, 230)))

    assert found.contrast == pytest.approx(0.8, abs=0.02)
    assert found.stroke_width == pytest.approx(18 / 198, abs=0.02)
    assert found.edge_width < 0.03
    assert found.strokes == 1
    assert found.slant == pytest.approx(1.1, abs=2)


@pytest.mark.parametrize("pen", [4, 10, 24])
def test_the_width_is_that_of_the_pen_and_not_of_the_ink_that_the_finder_draws(reader: Reader, pen: float) -> None:
    assert measured(reader, canvas(5, pen=pen)).stroke_width == pytest.approx(pen / (168 + pen), abs=0.02)


CONTRASTS: dict[str, tuple[Colour, Colour, float]] = {
    "black on white": (BLACK, WHITE, 1),
    "white on black": (WHITE, BLACK, 1),
    "blue on white": ((30, 40, 200), WHITE, 225 / 255),
    "red on green of the same grey": ((200, 20, 20), (20, 112, 20), 180 / 255),
    "faint": ((215, 215, 215), WHITE, 40 / 255),
}


@pytest.mark.parametrize(("ink", "ground", "contrast"), CONTRASTS.values(), ids=CONTRASTS.keys())
def test_contrast_is_the_largest_difference_from_the_ground(
    reader: Reader, ink: Colour, ground: Colour, contrast: float
) -> None:
    assert measured(reader, canvas(3, ink=ink, ground=ground)).contrast == pytest.approx(contrast, abs=0.02)


def test_blur_widens_the_edges(reader: Reader) -> None:
    sharp, soft, softer = (
        measured(reader, canvas(3).filter(ImageFilter.GaussianBlur(radius))).edge_width for radius in (0, 4, 10)
    )

    assert sharp < soft < softer


@given(degrees=st.floats(-35, 35))
def test_slant_is_the_angle_of_a_leaning_stroke(degrees: float) -> None:
    y, x = np.mgrid[:120, :200]
    levels = np.where(np.abs(x - 100 - (60 - y) * np.tan(np.deg2rad(degrees))) < 6, 255, 0).astype(np.uint8)

    assert slant(levels) == pytest.approx(degrees, abs=1)


@pytest.mark.parametrize("width", [4, 8, 12])
def test_the_width_of_an_edge_is_measured(width: int) -> None:
    ramp = (np.abs(np.arange(120) - 60) - 20) / width
    levels = np.repeat((255 * (1 - ramp).clip(0, 1))[np.newaxis], 120, axis=0).astype(np.uint8)

    found = measure(np.pad(levels, 1), 1.0, levels, levels)

    assert found.edge_width * 122 == pytest.approx(width, rel=0.35)


def test_without_ink_nothing_is_measured() -> None:
    nothing = np.zeros((20, 20), np.uint8)

    assert measure(nothing, 0.0, nothing, nothing) == Measurements(0.0, 0.0, 0.0, 0, 0.0)
