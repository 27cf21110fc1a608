"""Of an animation or a file of several pages, the first that shows something is read, and the answer says which."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from app.reading.decode.picture import MOST_FRAMES, decode
from app.reading.reader import Reader
from app.settings import Settings
from benchmarks.pictures import canvas, encode

FORMATS = ("GIF", "TIFF", "PNG", "WEBP", "AVIF")
SETTINGS = Settings()
BLANK, SEVEN, EIGHT = Image.new("RGB", (64, 64), "white"), canvas(7, size=64, pen=6), canvas(8, size=64, pen=6)
WIDE, IVORY = (Image.new("RGB", canvas(3).size, colour) for colour in ("white", "ivory"))


def animation(frames: Sequence[Image.Image], kind: str) -> bytes:
    file = BytesIO()
    options = {"quality": 95} if kind == "AVIF" else {}
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
def test_the_first_frame_is_read_where_it_shows_something(kind: str) -> None:
    picture = decode(animation([SEVEN, EIGHT], kind), SETTINGS)

    assert picture.frame == 0
    assert np.abs(picture.pixels.astype(int) - np.asarray(SEVEN)).mean() < 3


@pytest.mark.parametrize("kind", FORMATS)
def test_the_first_frame_that_shows_something_is_read_where_those_before_it_are_blank(kind: str) -> None:
    picture = decode(animation([BLANK, Image.new("RGB", (64, 64), "ivory"), SEVEN, EIGHT], kind), SETTINGS)

    assert picture.frame == 2
    assert np.abs(picture.pixels.astype(int) - np.asarray(SEVEN)).mean() < 12  # a GIF's dithered colours


@pytest.mark.parametrize("kind", FORMATS)
def test_an_animation_that_shows_nothing_is_its_first_frame(kind: str) -> None:
    assert decode(animation([BLANK, Image.new("RGB", (64, 64), "ivory")], kind), SETTINGS).frame == 0


def test_a_blank_first_frame_before_a_damaged_one_is_what_there_is() -> None:
    data = animation([BLANK, SEVEN], "GIF")

    broken = data.replace(data[-120:-20], bytes(100))
    picture = decode(broken[: len(data) // 2], SETTINGS)

    assert picture.pixels.min() == 255


def test_no_more_than_so_many_frames_are_looked_at() -> None:
    shades = [Image.new("L", (16, 16), 100 + number % 2 * 60) for number in range(MOST_FRAMES)]

    assert decode(animation([*shades, SEVEN.convert("L").resize((16, 16))], "GIF"), SETTINGS).frame == 0


@pytest.mark.parametrize("kind", ["GIF", "TIFF"])
def test_any_number_of_frames_may_follow(kind: str) -> None:
    shades = [Image.new("L", (16, 16), 255 - number % 200) for number in range(10 * MOST_FRAMES)]

    assert decode(animation([SEVEN.convert("L"), *shades], kind), SETTINGS).frame == 0


def test_the_answer_tells_which_frame_was_read(reader: Reader) -> None:
    answer = reader.read(animation([WIDE, IVORY, canvas(3)], "WEBP"))
    together = reader.read([animation([WIDE, canvas(3)], "WEBP"), encode(canvas(3))])

    assert answer.digit == 3
    assert [(warning.code, warning.value) for warning in answer.warnings] == [("later-frame", 2)]
    assert [[warning.code for warning in each.warnings] for each in together] == [["later-frame"], []]  # type: ignore[union-attr]
