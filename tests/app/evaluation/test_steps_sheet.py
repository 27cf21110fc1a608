"""The steps of a reading, as a drawing and in words."""

import numpy as np
import pytest
from PIL import Image

from app.errors import NoDigitFound
from app.evaluation.steps_sheet import GAP, LINE, MARGIN, PAPER, RED, SLOT, TILE, describe, draw_steps
from app.reading.reader import Reader
from app.reading.trace import Trace
from app.runtime.loading import load_reader
from app.settings import Settings
from benchmarks.pictures import canvas, encode


@pytest.fixture(scope="module")
def reader() -> Reader:
    return load_reader(Settings())


def tile(sheet: Image.Image, index: int) -> Image.Image:
    left, top = MARGIN + index * (TILE + GAP), MARGIN + LINE + GAP
    return sheet.crop((left, top, left + TILE, top + TILE))


def has_red(sheet: Image.Image, index: int) -> bool:
    return bool((np.asarray(tile(sheet, index)) == RED).all(axis=2).any())


def test_the_sheet_shows_both_looks_and_the_glyph(reader: Reader) -> None:
    trace = Trace()

    prediction = reader.read(encode(canvas(3, box=(40, 40, 90, 110))), trace=trace)
    sheet = draw_steps(trace, describe(prediction, trace))

    assert trace.steps is not None
    assert trace.steps.second is not None
    assert [has_red(sheet, index) for index in range(5)] == [True, True, True, True, False]
    np.testing.assert_array_equal(np.asarray(tile(sheet, 4))[4::8, 4::8, 0], trace.steps.glyph.pixels)


def test_a_large_digit_is_not_looked_at_again(reader: Reader) -> None:
    trace = Trace()

    reader.read(encode(canvas(3)), trace=trace)

    assert trace.steps is not None
    assert trace.steps.second is None
    assert (np.asarray(tile(draw_steps(trace, []), 2)) == SLOT).all()


def test_where_no_digit_is_found_the_first_look_is_shown(reader: Reader) -> None:
    trace = Trace()
    noise = np.random.default_rng(0).normal(200, 20, (300, 400, 3)).clip(0, 255).astype(np.uint8)

    with pytest.raises(NoDigitFound, match="looks like a digit"):
        reader.read(noise, trace=trace)

    sheet = draw_steps(trace, [])
    assert trace.first is not None
    assert not (np.asarray(tile(sheet, 1)) == PAPER).all()
    assert (np.asarray(tile(sheet, 4)) == PAPER).all()


def test_the_words_name_answer_measurements_and_warnings(reader: Reader) -> None:
    trace = Trace()

    words = describe(reader.read(encode(canvas(7, box=(-30, 60, 150, 220))), trace=trace), trace)

    assert words[0].startswith("7, ")
    assert "1 stroke;" in words[1]
    assert words[2].startswith("touches-border (1): ")
