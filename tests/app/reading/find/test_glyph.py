"""Finding the digit: MNIST digits stay as they are, and the same strokes give the same glyph wherever they are."""

import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from app.errors import NoDigitFound
from app.reading.decode.picture import Picture, decode
from app.reading.find.glyph import BOX, Glyph, Seen, draw, find_glyph, is_normalised, pick, place, see, take_steps
from app.reading.find.measure import edge_width, slant
from app.settings import Settings
from benchmarks.pictures import BLACK, WHITE, canvas, encode, photo, stroke_mask

# The size at which pens are round is no part of a glyph, only of its cost and exactness.
from app.reading.find.glyph import _to_pen_size  # isort: skip

SETTINGS = Settings()
SAME = 0.25  # difference, as below, of what looks the same; between two digits it is above 0.4


def find(image: Image.Image) -> Glyph:
    return find_glyph(decode(encode(image), SETTINGS))


def as_picture(pixels: NDArray[np.uint8]) -> Picture:
    return Picture(np.repeat(pixels[..., np.newaxis], 3, axis=2), pixels.shape[1], pixels.shape[0])


def difference(one: Glyph, other: Glyph) -> float:
    """Mean absolute difference over the ink, 0 to 1, up to a shift by a pixel, where a centre of mass rounds otherwise."""
    shifts = [np.roll(other.pixels.astype(float), (y, x), axis=(0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return min(float(np.abs(one.pixels - shift).sum() / np.maximum(one.pixels, shift).sum()) for shift in shifts)


def centre_of_mass(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    rows, columns = np.mgrid[:28, :28]
    weight = pixels / pixels.sum()
    return float((columns * weight).sum()), float((rows * weight).sum())


def test_mnist_digits_pass_unchanged(excerpt: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> None:
    for image in excerpt[0]:
        np.testing.assert_array_equal(find_glyph(as_picture(image)).pixels, image)


def test_all_of_mnists_test_set_passes_unchanged(mnist_test_images: NDArray[np.uint8]) -> None:
    for image in mnist_test_images:
        np.testing.assert_array_equal(find_glyph(as_picture(image)).pixels, image)


def shifted(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.roll(image, 3, axis=1)


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
    assert is_normalised(as_picture(excerpt[0][0]).pixels)
    assert not is_normalised(as_picture(np.ascontiguousarray(change(excerpt[0][0]))).pixels)


def test_an_mnist_digit_off_its_place_is_put_back(excerpt: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> None:
    image = excerpt[0][0]

    found, stays = find_glyph(as_picture(shifted(image))), find_glyph(as_picture(image))

    assert difference(found, stays) < 0.3  # it was resampled


@pytest.mark.parametrize("digit", range(10))
@pytest.mark.parametrize("kind", ["canvas", "photo"])
def test_a_glyph_is_placed_as_mnist_places_it(kind: str, digit: int) -> None:
    glyph = find(canvas(digit) if kind == "canvas" else photo(digit)).pixels

    x, y = centre_of_mass(glyph)
    rows, columns = np.nonzero(glyph > 25)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 in (BOX - 1, BOX, BOX + 1)  # its edge may fall into a pixel's middle
    assert abs(x - 14) <= 0.5
    assert abs(y - 14) <= 0.5
    assert glyph.max() == 255
    assert 0 < ((glyph > 25) & (glyph < 230)).mean() < 0.2  # grey levels are kept, at the edges of the strokes


@given(digit=st.integers(0, 9), x=st.floats(0.05, 0.55), y=st.floats(0.05, 0.35), size=st.sampled_from([140, 280, 560]))
def test_the_same_strokes_anywhere_and_at_any_size_give_the_same_glyph(digit: int, x: float, y: float, size: int) -> None:
    expected = find(canvas(digit, size=280, pen=14, box=(40, 40, 152, 208)))

    box = (x * size, y * size, (x + 0.4) * size, (y + 0.6) * size)
    found = find(canvas(digit, size=size, pen=size / 20, box=box))

    assert difference(found, expected) < SAME


LOOKS = {
    "white on black": {"ink": WHITE, "ground": BLACK},
    "black on grey": {"ink": BLACK, "ground": (120, 120, 120)},
    "blue on yellow": {"ink": (30, 40, 200), "ground": (250, 240, 120)},
    "red on green of the same grey": {"ink": (200, 20, 20), "ground": (20, 112, 20)},
    "faint": {"ink": (200, 200, 200), "ground": WHITE},
    "black, transparent": {"ink": BLACK, "ground": None},
    "white, transparent": {"ink": WHITE, "ground": None},
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
@pytest.mark.parametrize("digit", [2, 5, 8])
def test_colours_do_not_matter(digit: int, look: dict[str, tuple[int, int, int]]) -> None:
    assert difference(find(canvas(digit, **look)), find(canvas(digit))) < 0.1  # type: ignore[arg-type]


@pytest.mark.parametrize("digit", range(10))
def test_a_shadow_across_the_paper_does_not_matter(digit: int) -> None:
    width, height = 640, 480
    side = 0.45 * height
    box = (0.42 * width, 0.28 * height, 0.42 * width + 0.62 * side, 0.28 * height + side)
    clean = Image.fromarray(255 - stroke_mask(digit, (width, height), box, 7))

    assert difference(find(photo(digit)), find(clean)) < SAME


def test_a_thin_pen_does_not_vanish() -> None:
    thin = find(canvas(3, size=560, pen=2)).pixels

    assert (thin > 128).sum() > 40


@pytest.mark.parametrize("digit", range(10))
def test_a_small_digit_on_a_large_page_is_found(digit: int) -> None:
    ink = stroke_mask(digit, (1600, 1200), (1000, 700, 1030, 750), pen=4).astype(float)
    noise = np.random.default_rng(digit).normal(0, 3, ink.shape)
    page = np.linspace(230, 160, 1600) - 0.6 * ink + noise

    box = find(Image.fromarray(page.astype(np.uint8))).box

    rows, columns = np.nonzero(ink > 128)
    assert np.abs(np.array([box.x, box.y]) - [columns.min(), rows.min()]).max() <= 6
    assert np.abs(np.array([box.width, box.height]) - [np.ptp(columns), np.ptp(rows)]).max() <= 10


def test_strokes_that_do_not_meet_are_one_digit() -> None:
    box = find(canvas(5, size=280, pen=8, box=(80, 60, 200, 220))).box

    assert abs(box.y - 56) <= 4
    assert abs(box.height - 168) <= 6


def test_dust_and_a_dark_edge_of_the_table_are_left_out() -> None:
    image = photo(3)
    pixels = np.asarray(image).copy()
    pixels[:, :12] = 30  # the table, along the left border
    pixels[40:43, 600:603] = 20  # dust, in the corner

    assert difference(find(Image.fromarray(pixels)), find(image)) < 0.1


def test_the_box_is_in_pixels_of_the_upright_original() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = canvas(7, size=2000, pen=90, box=(600, 500, 1200, 1600))
    stored = upright.transpose(Image.Transpose.ROTATE_90)

    box = find_glyph(decode(encode(stored, "JPEG", exif=exif), SETTINGS)).box

    expected = Image.fromarray(255 - np.asarray(upright)).getbbox()
    assert expected is not None
    found = (box.x, box.y, box.x + box.width, box.y + box.height)
    assert np.abs(np.array(found) - expected).max() <= 6


def test_ink_at_the_border_brings_a_warning() -> None:
    glyph = find(canvas(7, box=(-30, 60, 150, 220)))

    assert [finding.code for finding in glyph.warnings] == ["touches-border"]


def test_ink_inside_brings_no_warning() -> None:
    assert find(canvas(7)).warnings == ()


BLANK = {
    "white": Image.new("RGB", (280, 280), WHITE),
    "black": Image.new("RGB", (280, 280), BLACK),
    "a colour": Image.new("RGB", (280, 280), (10, 120, 200)),
    "transparent": Image.new("RGBA", (280, 280), (0, 0, 0, 0)),
    "one pixel": Image.new("RGB", (1, 1), WHITE),
    "a row": Image.new("RGB", (500, 1), WHITE),
    "lit paper": Image.fromarray(
        np.repeat(np.linspace(120, 240, 400).astype(np.uint8)[np.newaxis], 300, axis=0)
    ).convert("RGB"),
    "a soft patch of light": Image.fromarray(
        (150 + 80 * np.exp(-(((np.mgrid[:300, :400] - np.array([[[150]], [[200]]])) / 70) ** 2).sum(axis=0))).astype(np.uint8)
    ),
    "the sensor's noise": Image.fromarray(np.random.default_rng(0).normal(200, 3, (300, 400)).astype(np.uint8)),
}  # fmt: skip


@pytest.mark.parametrize("image", BLANK.values(), ids=BLANK.keys())
def test_blank_pictures_have_no_digit(image: Image.Image) -> None:
    with pytest.raises(NoDigitFound, match=r"contrast is|no stroke"):
        find(image)


def test_a_large_digit_is_reduced_before_its_pen_is_widened() -> None:
    assert max(_to_pen_size(np.full((1000, 400), 255, np.uint8)).shape) == 160
    assert max(_to_pen_size(np.full((20, 8), 255, np.uint8)).shape) == 80


def test_finding_is_a_pure_function() -> None:
    picture = decode(encode(photo(4)), SETTINGS)
    before = picture.pixels.copy()

    first, second = find_glyph(picture), find_glyph(picture)

    np.testing.assert_array_equal(first.pixels, second.pixels)
    np.testing.assert_array_equal(picture.pixels, before)


def test_place_keeps_the_aspect() -> None:
    glyph = place(np.full((40, 10), 255, np.uint8))

    assert glyph.any(axis=1).sum() in (20, 21)
    assert glyph.any(axis=0).sum() in (5, 6)


@given(st.data())
def test_any_picture_ends_in_a_glyph_or_in_no_digit(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    seed, kinds = data.draw(st.integers(0, 2**16)), data.draw(st.sampled_from([2, 3, 256]))
    levels = np.random.default_rng(seed).integers(0, kinds, (height, width, 3)) * (255 // (kinds - 1))

    try:
        glyph = find_glyph(Picture(levels.astype(np.uint8), width, height))
    except NoDigitFound:
        return
    assert glyph.pixels.shape == (28, 28)
    assert 0 <= glyph.box.x < width
    assert 0 < glyph.box.width <= width
    assert 0 < glyph.box.height <= height


def row(digits: str, gap: float, size: int = 400) -> Image.Image:
    """Digits side by side, 100 pixels high, with a gap of so many pixels between them."""
    ink = np.zeros((200, size), np.uint8)
    for index, digit in enumerate(digits):
        left = 40 + index * (60 + gap)
        ink = np.maximum(ink, stroke_mask(int(digit), (size, 200), (left, 50, left + 60, 150), 8))
    return Image.fromarray(255 - ink)


def codes(glyph: Glyph) -> list[str]:
    return [finding.code for finding in glyph.warnings]


@pytest.mark.parametrize("gap", [14, 30, 80])
@pytest.mark.parametrize("digits", ["42", "18", "03", "77"])
def test_several_digits_bring_a_warning_and_one_of_them_is_read(digits: str, gap: float) -> None:
    glyph = find(row(digits, gap))

    assert codes(glyph) == ["several-digits"]
    assert glyph.warnings[0].value == 2
    assert glyph.box.width < 90


def test_the_warning_counts_the_digits() -> None:
    assert find(row("2026", 30)).warnings[0].value == 4


@pytest.mark.parametrize("digit", range(10))
def test_the_strokes_of_one_digit_are_not_several(digit: int) -> None:
    for pen in (3, 8, 18):
        assert "several-digits" not in codes(find(canvas(digit, pen=pen)))


def test_dust_next_to_a_digit_is_not_a_second_digit() -> None:
    pixels = np.asarray(row("3", 0)).copy()
    pixels[90:110, 200:212] = 0

    assert codes(find(Image.fromarray(pixels))) == []


def test_faint_ink_and_tiny_digits_bring_warnings() -> None:
    assert codes(find(canvas(3, ink=(215, 215, 215)))) == ["faint"]
    assert codes(find(canvas(3, size=40, pen=1, box=(15, 15, 20, 24)))) == ["tiny"]


def turned(image: Image.Image) -> bytes:
    """The picture stored on its side, with the EXIF that says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(image.transpose(Image.Transpose.ROTATE_90), exif=exif)


def inverted(image: Image.Image) -> bytes:
    return encode(Image.fromarray(255 - np.asarray(image)))


def on_grey(image: Image.Image) -> bytes:
    return encode(Image.fromarray((60 + np.asarray(image) * 0.45).astype(np.uint8)))


def transparent(image: Image.Image) -> bytes:
    return encode(Image.fromarray(np.dstack((np.zeros_like(image), 255 - np.asarray(image)[..., 0]))))


def twice_the_size(image: Image.Image) -> bytes:
    return encode(image.resize((2 * image.width, 2 * image.height), Image.Resampling.BICUBIC))


def on_a_larger_sheet(image: Image.Image) -> bytes:
    sheet = Image.new("RGB", (2 * image.width, 2 * image.height), WHITE)
    sheet.paste(image, (image.width, 30))
    return encode(sheet)


@settings(max_examples=20)
@pytest.mark.parametrize("change", [turned, inverted, on_grey, transparent, twice_the_size, on_a_larger_sheet])
@given(digit=st.integers(0, 9), pen=st.floats(3, 24), aspect=st.floats(0.5, 1.2))
def test_a_drawing_and_its_likeness_give_the_same_glyph(change, digit: int, pen: float, aspect: float) -> None:  # type: ignore[no-untyped-def]
    image = canvas(digit, pen=pen, box=(60, 60, 60 + 120 * aspect, 200))

    found = find_glyph(decode(change(image), SETTINGS))

    assert difference(found, find(image)) < SAME


def test_the_steps_end_with_the_found_glyph() -> None:
    picture = decode(encode(photo(4)), SETTINGS)

    steps, glyph = take_steps(picture), find_glyph(picture)

    box = steps.digit.box
    np.testing.assert_array_equal(steps.glyph.pixels, glyph.pixels)
    assert steps.ink.shape == steps.strokes.shape == steps.written.shape == picture.pixels.shape[:2]
    assert (steps.written <= steps.strokes).all()
    assert (steps.digit.mask <= steps.written[box.y : box.y + box.height, box.x : box.x + box.width]).all()


def test_the_picture_is_not_kept_once_its_ink_is_measured() -> None:
    picture = decode(encode(canvas(4)), SETTINGS)
    pixels, glyph = weakref.ref(picture.pixels), find_glyph(picture).pixels
    seen = see(picture)
    del picture

    assert pixels() is None
    assert isinstance(seen, Seen)
    np.testing.assert_array_equal(draw(pick(seen)).glyph.pixels, glyph)


def test_a_digit_is_measured() -> None:
    found = find(canvas(1, pen=18, ink=(51, 51, 51), box=(120, 50, 160, 230))).measurements

    assert found.contrast == pytest.approx(0.8, abs=0.02)
    assert found.stroke_width == pytest.approx(18 / 198, abs=0.02)
    assert found.edge_width < 0.02
    assert found.strokes == 1
    assert found.slant == pytest.approx(1.1, abs=0.5)


@given(degrees=st.floats(-35, 35))
def test_slant_is_the_angle_of_a_leaning_stroke(degrees: float) -> None:
    y, x = np.mgrid[:120, :200]
    levels = np.where(np.abs(x - 100 - (60 - y) * np.tan(np.deg2rad(degrees))) < 6, 255, 0).astype(np.uint8)

    assert slant(levels) == pytest.approx(degrees, abs=1)


@pytest.mark.parametrize("width", [4, 8, 12])
def test_the_width_of_an_edge_is_measured(width: int) -> None:
    ramp = (np.abs(np.arange(120) - 60) - 20) / width
    levels = np.repeat((255 * (1 - ramp).clip(0, 1))[np.newaxis], 120, axis=0).astype(np.uint8)

    assert edge_width(np.pad(levels, 1)) == pytest.approx(width, rel=0.35)


@pytest.mark.parametrize("blur", [0, 18])
def test_blurred_strokes_bring_a_warning(blur: float) -> None:
    image = canvas(3).filter(ImageFilter.GaussianBlur(blur))

    assert ("blurred" in codes(find(image))) is (blur > 0)


@pytest.mark.parametrize("digit", range(10))
def test_a_picture_that_is_merely_small_is_not_called_blurred(digit: int) -> None:
    for size in (20, 28, 40):
        small = canvas(digit, pen=24).resize((size, size), Image.Resampling.BOX)

        assert "blurred" not in codes(find(small))
