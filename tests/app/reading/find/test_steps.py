"""Finding, from a picture to its glyphs: where the digit is, what it looks like, and what is doubtful about it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from app.errors import NoDigitFound
from app.reading.decode.picture import Picture, decode
from app.reading.find.steps import LARGE, Glyph, Steps, find_digits
from app.reading.reader import Reader
from app.settings import Settings
from benchmarks.pictures import BLACK, WHITE, canvas, encode, photo, row, stroke_mask

SETTINGS = Settings()
SAME = 0.3  # difference, as below, of what looks the same; between two digits it is above 0.4


@pytest.fixture(scope="module")
def find(reader: Reader):  # type: ignore[no-untyped-def]
    """A function from an image to its most prominent glyph."""
    return lambda image: take(reader, image).glyph


def take(reader: Reader, image: Image.Image | bytes) -> Steps:
    data = image if isinstance(image, bytes) else encode(image)
    return find_digits(reader.model.finder, decode(data, SETTINGS))[0]


def difference(one: Glyph, other: Glyph) -> float:
    """Mean absolute difference over the ink, 0 to 1, up to a shift by a pixel, where a centre of mass rounds otherwise."""
    shifts = [np.roll(other.pixels.astype(float), (y, x), axis=(0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return min(float(np.abs(one.pixels - shift).sum() / np.maximum(one.pixels, shift).sum()) for shift in shifts)


def codes(glyph: Glyph) -> list[str]:
    return [finding.code for finding in glyph.warnings]


def test_mnist_digits_pass_unchanged(reader: Reader, excerpt: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> None:
    for image in excerpt[0]:
        picture = Picture(np.repeat(image[..., np.newaxis], 3, axis=2), 28, 28)
        (steps,) = find_digits(reader.model.finder, picture)
        np.testing.assert_array_equal(steps.glyph.pixels, image)
        assert steps.first is None


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
def test_colours_do_not_matter(find, digit: int, look: dict[str, object]) -> None:  # type: ignore[no-untyped-def]
    assert difference(find(canvas(digit, **look)), find(canvas(digit))) < 0.15  # type: ignore[arg-type]


@pytest.mark.parametrize("digit", range(10))
def test_a_shadow_across_the_paper_does_not_matter(reader: Reader, digit: int) -> None:
    shadowed, box = reader.read(photo(digit)), take(reader, photo(digit)).glyph.box

    assert (shadowed.digit, shadowed.accepted) == (digit, True)
    assert abs(box.y - 0.28 * 480) <= 12
    assert abs(box.height - 0.45 * 480) <= 18


@pytest.mark.parametrize("pen", [2, 5, 12, 24])
def test_every_pen_is_drawn_as_mnists(find, pen: float) -> None:  # type: ignore[no-untyped-def]
    ink = (find(canvas(3, pen=pen)).pixels > 128).mean()

    assert 0.07 < ink < 0.22  # of MNIST's glyphs, most have 0.08 to 0.2


@pytest.mark.parametrize("digit", range(10))
def test_a_small_digit_on_a_large_page_is_found(reader: Reader, digit: int) -> None:
    ink = stroke_mask(digit, (1000, 750), (600, 400, 640, 470), pen=5).astype(float)
    noise = np.random.default_rng(digit).normal(0, 3, ink.shape)
    page = np.linspace(230, 160, 1000) - 0.6 * ink + noise

    steps = take(reader, Image.fromarray(page.astype(np.uint8)))

    rows, columns = np.nonzero(ink > 128)
    box = steps.glyph.box
    assert steps.second is not None
    assert np.abs(np.array([box.x, box.y]) - [columns.min(), rows.min()]).max() <= 8
    assert np.abs(np.array([box.width, box.height]) - [np.ptp(columns) + 1, np.ptp(rows) + 1]).max() <= 12


def test_only_a_small_digit_is_looked_at_again(reader: Reader) -> None:
    large, small = take(reader, canvas(5)), take(reader, canvas(5, box=(120, 120, 150, 170)))

    assert large.second is None
    assert small.first is not None
    assert max(small.first.area[2:]) < LARGE
    assert small.second is not None
    assert max(small.second.area[2:]) > LARGE


def test_the_second_look_shows_the_same_digit_as_one_that_was_drawn_large(find) -> None:  # type: ignore[no-untyped-def]
    small = canvas(5, size=800, pen=14, box=(500, 400, 600, 550))

    assert difference(find(small), find(small.crop((400, 325, 700, 625)))) < SAME


def test_the_box_is_in_pixels_of_the_upright_original(find) -> None:  # type: ignore[no-untyped-def]
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = canvas(7, size=2000, pen=90, box=(600, 500, 1200, 1600))
    stored = upright.transpose(Image.Transpose.ROTATE_90)

    box = find(encode(stored, "JPEG", exif=exif)).box

    expected = Image.fromarray(255 - np.asarray(upright)).getbbox()
    assert expected is not None
    found = (box.x, box.y, box.x + box.width, box.y + box.height)
    assert np.abs(np.array(found) - expected).max() <= 25


BLANK = {
    "white": Image.new("RGB", (280, 280), WHITE),
    "black": Image.new("RGB", (280, 280), BLACK),
    "a colour": Image.new("RGB", (280, 280), (10, 120, 200)),
    "transparent": Image.new("RGBA", (280, 280), (0, 0, 0, 0)),
    "one pixel": Image.new("RGB", (1, 1), WHITE),
    "a row": Image.new("RGB", (500, 1), WHITE),
}
EMPTY = {
    "lit paper": Image.fromarray(
        np.repeat(np.linspace(120, 240, 400).astype(np.uint8)[np.newaxis], 300, axis=0)
    ).convert("RGB"),
    "the sensor's noise": Image.fromarray(np.random.default_rng(0).normal(200, 20, (300, 400)).clip(0, 255).astype(np.uint8)),
}  # fmt: skip


@pytest.mark.parametrize("image", BLANK.values(), ids=BLANK.keys())
def test_blank_pictures_have_no_digit(reader: Reader, image: Image.Image) -> None:
    with pytest.raises(NoDigitFound, match=r"is blank|is black all over"):
        take(reader, image)


def test_a_faint_hairline_on_a_large_canvas_is_not_called_blank(reader: Reader) -> None:
    hairline = canvas(3, size=1024, pen=1, ink=(225, 225, 225))

    assert codes(take(reader, hairline).glyph) == ["faint"]


@pytest.mark.parametrize("image", EMPTY.values(), ids=EMPTY.keys())
def test_paper_without_writing_has_no_digit_and_the_message_says_what_was_seen(reader: Reader, image: Image.Image) -> None:
    with pytest.raises(NoDigitFound, match=r"score of \d+%, and a digit needs 50%|has no visible strokes"):
        take(reader, image)


def patch_of_light(radius: int) -> NDArray[np.uint8]:
    distance = (((np.mgrid[:300, :400] - np.array([[[150]], [[200]]])) / radius) ** 2).sum(axis=0)
    return np.asarray(150 + 80 * np.exp(-distance), np.uint8)


def test_a_soft_patch_of_light_has_no_visible_strokes(reader: Reader) -> None:
    with pytest.raises(NoDigitFound, match="has no visible strokes"):
        reader.read(patch_of_light(60))


@pytest.mark.parametrize("radius", range(40, 121, 10))
def test_a_soft_patch_of_light_is_not_accepted_as_a_digit(reader: Reader, radius: int) -> None:
    try:
        prediction = reader.read(patch_of_light(radius))
    except NoDigitFound:
        return
    assert not prediction.accepted
    assert "unlike-a-digit" in {warning.code for warning in prediction.warnings}


def test_finding_is_a_pure_function(reader: Reader) -> None:
    picture = decode(encode(photo(4)), SETTINGS)
    before = picture.pixels.copy()

    (first,), (second,) = (find_digits(reader.model.finder, picture) for _ in range(2))

    np.testing.assert_array_equal(first.glyph.pixels, second.glyph.pixels)
    np.testing.assert_array_equal(picture.pixels, before)


@given(st.data())
def test_any_picture_ends_in_glyphs_or_in_no_digit(reader: Reader, data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    seed, kinds = data.draw(st.integers(0, 2**16)), data.draw(st.sampled_from([2, 3, 256]))
    levels = np.random.default_rng(seed).integers(0, kinds, (height, width, 3)) * (255 // (kinds - 1))

    try:
        found = find_digits(reader.model.finder, Picture(levels.astype(np.uint8), width, height), most=9)
    except NoDigitFound:
        return
    for steps in found:
        box = steps.glyph.box
        assert steps.glyph.pixels.shape == (28, 28)
        assert 0 <= box.x < box.x + box.width <= width
        assert 0 <= box.y < box.y + box.height <= height


@pytest.mark.parametrize("gap", [14, 30, 80])
@pytest.mark.parametrize("digits", ["42", "18", "03", "77"])
def test_several_digits_bring_a_warning_and_one_of_them_is_read(find, digits: str, gap: float) -> None:  # type: ignore[no-untyped-def]
    glyph = find(row(digits, gap))

    assert codes(glyph) == ["several-digits"]
    assert glyph.warnings[0].value == 2
    assert glyph.box.width < 90


def test_all_digits_are_found_where_they_are_asked_for(reader: Reader) -> None:
    picture = decode(encode(row("2026", 30)), SETTINGS)

    found = find_digits(reader.model.finder, picture, most=64)

    assert len(found) == 4
    assert sorted(steps.glyph.box.x // 90 for steps in found) == [0, 1, 2, 3]
    assert found[0].glyph.warnings[0].value == 4


@pytest.mark.parametrize("digit", range(10))
def test_the_strokes_of_one_digit_are_not_several(find, digit: int) -> None:  # type: ignore[no-untyped-def]
    for pen in (3, 8, 18):
        assert "several-digits" not in codes(find(canvas(digit, pen=pen)))


def test_dust_next_to_a_digit_is_not_a_second_digit(find) -> None:  # type: ignore[no-untyped-def]
    pixels = np.asarray(row("3", 0)).copy()
    pixels[90:110, 200:212] = 0

    assert codes(find(Image.fromarray(pixels))) == []


def test_ink_at_the_border_brings_a_warning(find) -> None:  # type: ignore[no-untyped-def]
    assert codes(find(canvas(7, box=(-30, 60, 150, 220)))) == ["touches-border"]


def test_ink_inside_brings_no_warning(find) -> None:  # type: ignore[no-untyped-def]
    assert find(canvas(7)).warnings == ()


def test_faint_ink_and_tiny_digits_bring_warnings(find) -> None:  # type: ignore[no-untyped-def]
    assert codes(find(canvas(3, ink=(215, 215, 215)))) == ["faint"]
    assert "tiny" in codes(find(canvas(3, size=40, pen=1, box=(15, 15, 20, 24))))


@pytest.mark.parametrize("blur", [0, 14])
def test_blurred_strokes_bring_a_warning(find, blur: float) -> None:  # type: ignore[no-untyped-def]
    image = canvas(3).filter(ImageFilter.GaussianBlur(blur))

    assert ("blurred" in codes(find(image))) is (blur > 0)


@pytest.mark.parametrize("digit", range(10))
def test_a_picture_that_is_merely_small_is_not_called_blurred(find, digit: int) -> None:  # type: ignore[no-untyped-def]
    for size in (28, 40):
        small = canvas(digit, pen=24).resize((size, size), Image.Resampling.BOX)

        assert "blurred" not in codes(find(small))


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


@settings(max_examples=15)
@pytest.mark.parametrize("change", [turned, inverted, on_grey, transparent, twice_the_size, on_a_larger_sheet])
@given(digit=st.integers(0, 9), pen=st.floats(4, 24), aspect=st.floats(0.5, 1.2))
def test_a_drawing_and_its_likeness_give_the_same_glyph(find, change, digit: int, pen: float, aspect: float) -> None:  # type: ignore[no-untyped-def]
    image = canvas(digit, pen=pen, box=(60, 60, 60 + 120 * aspect, 200))

    assert difference(find(change(image)), find(image)) < SAME
