"""The steps of a reading, as a drawing and in words."""

import numpy as np
import pytest
from PIL import Image

from app.evaluation.steps_sheet import GAP, LINE, MARGIN, RED, TILE, describe, draw_steps
from app.reading.batch import Trace
from app.reading.reader import Reader
from app.runtime.loading import load_reader
from app.settings import Settings
from benchmarks.pictures import canvas, encode


@pytest.fixture(scope="module")
def reader() -> Reader:
    return load_reader(Settings())


def tile(sheet: Image.Image, index: int) -> Image.Image:
    left, top = MARGIN + index * (TILE + GAP), MARGIN + LINE + GAP
    return sheet.crop((left, top, left + TILE, top + TILE))


def test_the_sheet_shows_the_glyph_and_the_removed_lines(reader: Reader) -> None:
    pixels = np.asarray(canvas(3)).copy()
    pixels[20::60] = pixels[21::60] = 0
    trace = Trace()

    prediction = reader.read(encode(Image.fromarray(pixels)), trace=trace)
    sheet = draw_steps(trace, describe(prediction, trace))

    assert trace.steps is not None
    assert (np.asarray(tile(sheet, 2)) == RED).all(axis=2).any()
    np.testing.assert_array_equal(np.asarray(tile(sheet, 4))[4::8, 4::8, 0], trace.steps.glyph.pixels)


def test_the_words_name_answer_measurements_and_warnings(reader: Reader) -> None:
    trace = Trace()

    words = describe(reader.read(encode(canvas(7, box=(-30, 60, 150, 220))), trace=trace), trace)

    assert words[0].startswith("7, ")
    assert "1 stroke;" in words[1]
    assert words[2].startswith("touches-border (1): ")
