"""Ink: measured against its own ground, in colour, light and shadow."""

import numpy as np
import pytest
from numpy.typing import NDArray

from app.ink import edge_contrast, flat_ground, is_dark_ground, mark_strokes, measure_ink, paper_under

WHITE = (255, 255, 255)


def sheet(colour: tuple[int, int, int] = WHITE, ink: tuple[int, int, int] = (51, 51, 51)) -> NDArray[np.uint8]:
    pixels = np.full((40, 60, 3), colour, np.uint8)
    pixels[10:20, 10:20] = ink
    return pixels


def noisy(pixels: NDArray[np.floating], seed: int = 0) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(0, 3, pixels.shape)
    return (pixels + noise).clip(0, 255).astype(np.uint8)


def test_ink_is_the_difference_from_the_ground() -> None:
    ink = measure_ink(sheet())

    assert ink[15, 15] == 204
    assert ink[0, 0] == 0


def test_ink_of_the_same_grey_as_its_ground_is_seen_in_its_colour() -> None:
    assert measure_ink(sheet((20, 112, 20), (200, 20, 20)))[15, 15] == 180


def test_lighter_ink_counts_as_darker_ink_does() -> None:
    np.testing.assert_array_equal(measure_ink(sheet()), measure_ink(255 - sheet()))


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_the_ground_of_a_drawing_is_its_commonest_colour(share: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (100, 100, 3)).astype(np.uint8)
    pixels[: int(100 * share)] = (10, 200, 30)

    ground = flat_ground(pixels)

    assert (ground is None) if share < 0.4 else (ground is not None and ground.tolist() == [10, 200, 30])


@pytest.mark.parametrize("dark", [False, True])
def test_the_darker_of_two_is_ink_where_it_is_the_minority(dark: bool) -> None:
    pixels = np.full((100, 100, 3), 200.0)
    pixels[30:70, 45:55] = 60

    found = noisy(255 - pixels if dark else pixels)

    assert is_dark_ground(found) is dark


def test_paper_under_strokes_follows_light_and_the_edge_of_a_shadow() -> None:
    light = np.linspace(240, 160, 400)[np.newaxis, :, np.newaxis] * np.ones((300, 1, 3))
    light[:, 250:] *= 0.6
    written = light.copy()
    written[100:200, 95:105] = 40
    written[100:200, 320:330] = 30

    paper = paper_under(noisy(written)).astype(float)

    away_from_the_edge = np.abs(np.arange(400) - 250) > 12
    assert np.abs(paper - light)[:, away_from_the_edge].max() < 30
    assert np.abs(paper[150, 100] - light[150, 100]).max() < 15


def test_a_soft_stain_has_less_edge_contrast_than_a_line_of_its_depth() -> None:
    y, x = np.mgrid[:300, :400]
    stain = 120 * np.exp(-(((x - 200) / 60) ** 2 + ((y - 150) / 60) ** 2))
    line = np.where(np.abs(x - 200) < 4, 120, 0)

    assert edge_contrast(stain.astype(np.uint8)) < 0.1
    assert edge_contrast(line.astype(np.uint8)) > 0.3


def test_otsu_marks_the_strokes_and_not_the_noise() -> None:
    ink = np.abs(np.random.default_rng(0).normal(0, 8, (100, 100))).astype(np.uint8)
    ink[40:60, 40:60] = 90

    strokes = mark_strokes(ink)

    assert strokes[40:60, 40:60].all()
    assert strokes.sum() == 400


def test_paper_in_a_photo_is_no_flat_ground_however_evenly_it_is_lit() -> None:
    assert flat_ground(noisy(np.full((100, 100, 3), 200.0))) is None
    assert flat_ground(np.full((100, 100, 3), 200, np.uint8)) is not None
