"""Ink: measured against the ground around it, in colour, light and shadow."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.reading.find import ink
from app.reading.find.ink import (
    LEAST_CONTRAST,
    SURE_CONTRAST,
    Ink,
    _reduce,  # the quick way, compared with the one that is written for clarity
    _small,
    commonest_colour,
    commonest_peak,
    count_levels,
    drawn_ink,
    edge_contrast,
    is_dark_ground,
    mark_strokes,
    measure_ink,
    otsu,
    paper_under,
    separability,
)
from benchmarks.pictures import stroke_mask

Floats = NDArray[np.floating]

WHITE = (255, 255, 255)


def sheet(colour: tuple[int, int, int] = WHITE, ink: tuple[int, int, int] = (51, 51, 51)) -> NDArray[np.uint8]:
    pixels = np.full((40, 60, 3), colour, np.uint8)
    pixels[10:20, 10:20] = ink
    return pixels


def noisy(pixels: Floats, seed: int = 0, spread: float = 3) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(0, spread, pixels.shape)
    return (pixels + noise).clip(0, 255).astype(np.uint8)


def test_ink_is_the_difference_from_the_ground() -> None:
    levels = measure_ink(sheet()).levels

    assert levels[15, 15] == 204
    assert levels[0, 0] == 0


def test_there_is_no_ink_outside_the_inked_part() -> None:
    found = measure_ink(sheet())

    assert found.part(margin=3).shape == (found.part().shape[0] + 6, found.part().shape[1] + 6)
    assert found.part(margin=1000).shape == found.levels.shape
    assert measure_ink(np.full((9, 9, 3), 200, np.uint8)).part().size == 0


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    at=st.tuples(st.integers(0, 39), st.integers(0, 39)),
    channel=st.integers(0, 2),
)
def test_the_part_with_ink_is_found_in_rows_of_any_length(size: tuple[int, int], at: tuple[int, int], channel: int) -> None:
    pixels, (y, x) = np.full((*size, 3), (255, 200, 9), np.uint8), (at[0] % size[0], at[1] % size[1])
    pixels[y, x, channel] -= 5

    found = ink._difference(  # noqa: SLF001  the exact ground, which measuring would look for itself
        pixels, (255, 200, 9)
    )

    assert found.levels[y, x] == found.levels.sum() == 5
    assert (found.top, found.bottom) == (y, y + 1)
    assert x - 3 <= found.left <= x < found.right <= min(x + 4, size[1])


def test_ink_of_the_same_grey_as_its_ground_is_seen_in_its_colour() -> None:
    assert measure_ink(sheet((20, 112, 20), (200, 20, 20))).levels[15, 15] == 180


def test_lighter_ink_counts_like_darker_ink() -> None:
    np.testing.assert_array_equal(measure_ink(sheet()).levels, measure_ink(255 - sheet()).levels)


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_the_ground_of_a_drawing_is_its_commonest_colour(share: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (100, 100, 3)).astype(np.uint8)
    pixels[:, np.arange(100) % 9 < 9 * share] = (10, 200, 30)

    found = drawn_ink(pixels)

    assert (found is None) if share < 0.4 else (found is not None and found.levels[:, 0].max() == 0)


def test_a_second_wide_colour_is_a_ground_and_not_a_stroke() -> None:
    pixels = sheet((120, 120, 120))
    pixels[:, 25:] = 230

    assert drawn_ink(sheet((120, 120, 120))) is not None
    assert drawn_ink(pixels) is None


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


def page(width: int = 240, height: int = 180, digit: int | None = 4, opacity: float = 0.8, pen: float = 6) -> Floats:
    """A white page, (height, width, 3) in 0 to 1, with a digit in its middle."""
    if digit is None:
        return np.ones((height, width, 3))
    box = (0.4 * width, 0.3 * height, 0.6 * width, 0.7 * height)
    mask = stroke_mask(digit, (width, height), box, pen) / 255
    return (1 - opacity * mask)[..., np.newaxis] * np.ones(3)


def shadow(angle: float, offset: float, lost: float, width: int = 240, height: int = 180) -> Floats:
    """The light, (height, width, 1), at a straight shadow's edge 3 pixels wide that passes ``offset`` off the middle."""
    y, x = np.mgrid[:height, :width]
    away = (x - width / 2) * np.cos(angle) + (y - height / 2) * np.sin(angle) - offset
    return np.asarray(1 - lost * np.clip(away / 3 + 0.5, 0, 1))[..., np.newaxis]


def marked(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return mark_strokes(measure_ink(pixels)) > 0


def stands_out(pixels: NDArray[np.uint8]) -> bool:
    contrast, needed = edge_contrast(measure_ink(pixels))
    return contrast >= needed


ANGLES = st.floats(0, 2 * np.pi)
OFFSETS = st.floats(-40, 40)
LOST = st.floats(0.2, 0.7)


@settings(max_examples=25)
@given(angle=ANGLES, offset=OFFSETS, lost=LOST)
def test_the_edge_of_a_shadow_does_not_become_ink(angle: float, offset: float, lost: float) -> None:
    strokes = page(opacity=1)[..., 0] < 0.5
    around = cv2.dilate(strokes.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0

    found = marked(noisy(235 * page() * shadow(angle, offset, lost), spread=2))

    assert (found & ~around).sum() < 0.05 * strokes.sum()
    assert (found & strokes).sum() > 0.8 * strokes.sum()


@settings(max_examples=25)
@given(angle=ANGLES, offset=OFFSETS, lost=LOST)
def test_a_shadow_on_blank_paper_is_not_ink(angle: float, offset: float, lost: float) -> None:
    assert not stands_out(noisy(235 * page(digit=None) * shadow(angle, offset, lost), spread=1))


@settings(max_examples=25)
@given(angle=ANGLES, offset=OFFSETS, lost=LOST)
def test_a_shadow_does_not_make_the_ground_dark(angle: float, offset: float, lost: float) -> None:
    lit = page(pen=10) * shadow(angle, offset, lost)

    assert not is_dark_ground(noisy(235 * lit, spread=2))
    assert is_dark_ground(255 - noisy(235 * lit, spread=2))


BANDS = st.just(0) | st.integers(4, 25)  # pixels; narrower ones the small copy does not show


@settings(max_examples=25)
@given(left=BANDS, top=BANDS, right=BANDS, bottom=BANDS)
def test_a_dark_table_around_the_sheet_is_not_ink(left: int, top: int, right: int, bottom: int) -> None:
    pixels = 235 * page()
    table = np.ones((180, 240), np.bool_)
    table[top : 180 - bottom, left : 240 - right] = False
    pixels[table] = (60, 45, 35)

    assert not (marked(noisy(pixels, spread=2)) & table).any()


def test_light_that_falls_off_towards_the_corners_is_not_ink() -> None:
    y, x = np.mgrid[-1:1:180j, -1:1:240j]

    assert not stands_out(noisy(235 * page(digit=None) * (1 - 0.3 * (x**2 + y**2))[..., np.newaxis], spread=1))


@pytest.mark.parametrize("opacity", [0.07, 0.11])
@pytest.mark.parametrize("digit", range(10))
def test_faint_ink_stands_out_from_quiet_paper(digit: int, opacity: float) -> None:
    pixels = noisy(235 * page(360, 270, digit, opacity, pen=9), spread=1.5)

    strokes = page(360, 270, digit, 1, pen=9)[..., 0] < 0.5
    assert stands_out(pixels)
    assert (marked(pixels) & strokes).sum() > 0.8 * strokes.sum()


@pytest.mark.parametrize("size", [16, 28, 40, 65, 120, 200, 360])
def test_noise_alone_is_not_ink_however_strong(size: int) -> None:
    spreads = np.linspace(0, 25, 60)

    found = [stands_out(noisy(np.full((size, size, 3), 140.0), seed, spread)) for seed, spread in enumerate(spreads)]

    assert sum(found) <= 1  # of 60


@settings(max_examples=25)
@given(opacity=st.floats(0.05, 1), pen=st.floats(1, 12), spread=st.floats(0.5, 6))
def test_the_required_contrast_stays_between_the_minimum_and_what_noise_explains(
    opacity: float, pen: float, spread: float
) -> None:
    _, needed = edge_contrast(measure_ink(noisy(235 * page(opacity=opacity, pen=pen), spread=spread)))

    assert needed >= LEAST_CONTRAST
    assert needed <= max(SURE_CONTRAST, 0.02 * spread)


def test_a_soft_stain_has_less_edge_contrast_than_a_line_of_its_depth() -> None:
    y, x = np.mgrid[:300, :400]
    stain = 120 * np.exp(-(((x - 200) / 60) ** 2 + ((y - 150) / 60) ** 2))
    line = np.where(np.abs(x - 200) < 4, 120, 0)

    assert edge_contrast(Ink.of(stain.astype(np.uint8)))[0] < 0.1
    assert edge_contrast(Ink.of(line.astype(np.uint8)))[0] > 0.3


def test_otsu_marks_the_strokes_and_not_the_noise() -> None:
    levels = np.abs(np.random.default_rng(0).normal(0, 8, (100, 100))).astype(np.uint8)
    levels[40:60, 40:60] = 90

    strokes = mark_strokes(Ink.of(levels))

    assert strokes[40:60, 40:60].all()
    assert strokes.sum() == 400


@given(st.lists(st.integers(0, 255), min_size=2, max_size=60, unique=True))
def test_otsus_level_divides_as_well_as_opencvs(values: list[int]) -> None:
    pixels = np.array(values, np.uint8)
    theirs, _ = cv2.threshold(pixels[np.newaxis], 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)

    ours = otsu(np.bincount(pixels, minlength=256).astype(np.float64))

    assert distance(pixels, ours) >= distance(pixels, theirs) * (1 - 1e-9)


@given(
    between=st.lists(st.integers(0, 255), max_size=60),
    ends=st.lists(st.sampled_from([0, 255]), min_size=1, max_size=200),
)
def test_levels_are_counted_correctly_for_any_share_of_ground_and_full_ink(between: list[int], ends: list[int]) -> None:
    levels = np.array([*between, *ends], np.uint8)[np.newaxis]

    np.testing.assert_array_equal(count_levels(levels), np.bincount(levels[0], minlength=256))


@given(st.lists(st.sampled_from([0, 3, 200, 255]), min_size=1, max_size=60), st.integers(0, 60))
def test_a_peak_is_the_highest_level_if_enough_pixels_have_it(values: list[int], count: int) -> None:
    peak = commonest_peak(np.array(values, np.uint8)[np.newaxis], count)

    named = peak == max(values) and values.count(peak) > count
    assert named or peak == 0


def test_sampling_luck_does_not_make_the_corner_the_ground() -> None:
    pixels = np.full((64, 64, 3), 255, np.uint8)
    pixels[::9] = pixels[:, ::9] = 90

    # Both ways give the same ink; which of them was taken shows in the time alone.
    assert ink._corner_ink(pixels) is None  # noqa: SLF001
    assert ink._corner_ink(pixels[1:, 1:]) is not None  # noqa: SLF001


def test_as_few_full_pixels_as_noise_may_make_are_not_taken_for_full_ink() -> None:
    levels = np.zeros((200, 200), np.uint8)
    levels[60:140, 90:110], levels[60:140, 110:115] = 100, 48
    levels[100:104, 95:100] = 255  # 20 of 40,000, the share above FULL_INK
    once_more = levels.copy()
    once_more[100, 94] = 255

    assert mark_strokes(Ink.of(levels)).sum() == 2_000
    assert mark_strokes(Ink.of(once_more)).sum() < 2_000


def test_a_faint_edge_at_the_border_does_not_widen_strokes() -> None:
    pixels = np.full((1024, 1024, 3), 255, np.uint8)
    pixels[100:900, 1:500] = 0

    assert drawn_ink(pixels) is not None


def test_two_levels_are_fully_separable_and_an_even_spread_three_quarters() -> None:
    two, even = np.zeros(256), np.ones(256)
    two[[20, 200]] = 30, 70

    assert separability(two) == pytest.approx(1)
    assert separability(even) == pytest.approx(0.75, abs=0.001)
    assert separability(np.bincount([7], minlength=256).astype(np.float64)) == 0


@settings(max_examples=25)
@given(digit=st.integers(0, 9), size=st.sampled_from([16, 20, 28]), pen=st.floats(1.5, 3))
def test_a_small_and_tightly_cropped_digit_is_not_noise(digit: int, size: int, pen: float) -> None:
    mask = stroke_mask(digit, (size, size), (pen / 2, pen / 2, size - pen / 2, size - pen / 2), pen)

    assert stands_out(np.repeat(mask[..., np.newaxis], 3, axis=2))


def distance(pixels: NDArray[np.uint8], level: float) -> float:
    """Variance between what is above the level and the rest, up to a factor."""
    above, rest = pixels[pixels > level], pixels[pixels <= level]
    return len(above) * len(rest) * float(above.mean() - rest.mean()) ** 2 if len(above) and len(rest) else 0.0


def test_evenly_lit_paper_in_a_photo_is_not_taken_for_a_commonest_colour() -> None:
    assert commonest_colour(noisy(np.full((100, 100, 3), 200.0))) is None
    assert commonest_colour(np.full((100, 100, 3), 200, np.uint8)) is not None


@given(st.integers(33, 700), st.integers(33, 700), st.tuples(*[st.floats(0, 1)] * 4), st.integers(0, 99))
def test_ink_is_reduced_from_its_part_as_from_the_whole(
    height: int, width: int, shares: tuple[float, float, float, float], seed: int
) -> None:
    levels = np.zeros((height, width), np.uint8)
    top, bottom = sorted(round(share * height) for share in shares[:2])
    left, right = sorted(round(share * width) for share in shares[2:])
    levels[top:bottom, left:right] = np.random.default_rng(seed).integers(0, 256, (bottom - top, right - left))

    np.testing.assert_array_equal(_reduce(Ink.of(levels), 32), _small(levels, 32))
