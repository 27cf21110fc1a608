"""Whole numbers in pictures that are drawn here."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import NoDigitFound
from app.reading.answer import Box, Reading
from app.reading.decode.picture import Picture, to_picture
from app.reading.find.finder import Look
from app.reading.find.glyph import CENTRE
from app.reading.find.window import Window
from app.reading.numbers.candidates import look_at_pages
from app.reading.numbers.read import NumberOptions, read_number
from app.reading.numbers.rotation import odds_by_turn, turn_back, turn_glyphs, turn_picture
from app.reading.reader import Reader
from benchmarks.cost.reading import drawn_lines, page
from benchmarks.pictures import canvas, row, stroke_mask

ANY = NumberOptions()
GAP = 24  # pixels between digits 60 wide


def drawn(*lines: str) -> NDArray[np.uint8]:
    """Lines of digits, each 200 pixels high, as black on white (H, W)."""
    width = 80 + max(map(len, lines)) * (60 + GAP)
    return np.concatenate([np.asarray(row(line, GAP, width)) for line in lines])


def reading_of(reader: Reader, pixels: NDArray[np.uint8], options: NumberOptions = ANY) -> Reading:
    return read_number(reader.model, to_picture(np.ascontiguousarray(pixels)), options).reading


def test_all_digits_are_read_in_lines(reader: Reader) -> None:
    reading = reading_of(reader, drawn("3520", "864"))

    assert reading.text == "3520\n864"
    assert [line.text for line in reading.lines] == ["3520", "864"]
    assert [line.digits for line in reading.lines] == [[0, 1, 2, 3], [4, 5, 6]]
    assert [digit.digit for digit in reading.digits] == [3, 5, 2, 0, 8, 6, 4]
    assert [digit.line for digit in reading.digits] == [0, 0, 0, 0, 1, 1, 1]
    for index, digit in enumerate(reading.digits[:4]):
        assert digit.box.x == pytest.approx(36 + index * (60 + GAP), abs=14)
        assert digit.box.height == pytest.approx(108, abs=14)
        assert sum(digit.probabilities) == pytest.approx(1, abs=1e-4)
    first, second = (line.box for line in reading.lines)
    assert first.y + first.height <= second.y


def test_alternatives_are_other_texts_and_less_likely(reader: Reader) -> None:
    reading = reading_of(reader, drawn("3520"))

    assert len(reading.alternatives) <= 5
    texts = [reading.text, *(each.text for each in reading.alternatives)]
    assert len(set(texts)) == len(texts)
    assert all(each.confidence <= reading.confidence for each in reading.alternatives)


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_a_turned_page_is_turned_back(reader: Reader, turn: int) -> None:
    page = drawn("3427", "473")  # of digits that are none upside down
    upright = reading_of(reader, page)
    turned = np.rot90(page, turn)

    reading = reading_of(reader, turned)

    assert reading.text == upright.text
    assert [(each.code, each.value) for each in reading.warnings] == [("turned", 90 * turn)]
    height, width = turned.shape
    for digit in reading.digits:
        assert 0 <= digit.box.x < digit.box.x + digit.box.width <= width
        assert 0 <= digit.box.y < digit.box.y + digit.box.height <= height
    first = upright.digits[0].box
    expected = {1: first.x, 2: height - first.y - first.height, 3: width - first.y - first.height}[turn]
    found = reading.digits[0].box
    assert {1: height - found.y - found.height, 2: found.y, 3: found.x}[turn] == pytest.approx(expected, abs=3)


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_boxes_go_where_the_picture_came_from(turn: int) -> None:
    pixels = np.zeros((30, 50, 3), np.uint8)
    pixels[4:10, 7:20] = 255
    turned = turn_picture(Picture(pixels, 50, 30), turn)
    rows, columns = np.nonzero(turned.pixels[..., 0])
    box = Box(int(columns.min()), int(rows.min()), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1)

    assert turn_back(box, turned, turn) == Box(7, 4, 13, 6)


def test_a_turned_glyph_is_placed_as_glyphs_are(excerpt: tuple[NDArray[np.uint8], ...]) -> None:
    glyphs = excerpt[0][:50]

    for turn in (1, 2, 3):
        turned = turn_glyphs(glyphs, turn)

        assert np.array_equal(turn_glyphs(turned, 4 - turn), glyphs)
        for glyph in turned:
            moments = cv2.moments(glyph)
            middle = [moments[name] / moments["m00"] + 0.5 for name in ("m10", "m01")]
            assert middle == pytest.approx([CENTRE, CENTRE], abs=0.6)


def test_glyphs_of_upright_digits_have_the_best_odds_as_they_are(
    reader: Reader, excerpt: tuple[NDArray[np.uint8], ...]
) -> None:
    glyphs = excerpt[0][:50]

    upright, *turned = odds_by_turn(reader.classifier, glyphs, range(4))

    assert upright > 1.5 * max(turned)
    assert odds_by_turn(reader.classifier, turn_glyphs(glyphs, 2), [2]) == pytest.approx([upright])
    assert odds_by_turn(reader.classifier, glyphs[:0], range(4)) == [0, 0, 0, 0]


def test_a_large_page_of_many_small_digits_is_read(reader: Reader) -> None:
    lines = drawn_lines(15, 10)  # of 40 pixels on 2000×3000, which decoding reduces to 1,024

    reading = reader.read_number(page(lines, 40, (200, 200)))

    assert [line.text for line in reading.lines] == lines
    assert not reading.warnings


def test_faint_hairlines_on_a_large_page_are_read(reader: Reader) -> None:
    places = zip("3520", range(200, 600, 100), strict=True)
    ink = sum(stroke_mask(int(digit), (1024, 1024), (left, 400, left + 50, 480), pen=1) // 8 for digit, left in places)

    assert reading_of(reader, np.asarray(255 - ink, np.uint8)).text == "3520"


@pytest.mark.parametrize(("shape", "least"), [((200, 760), 20), ((40, 1200), 20), ((20, 1600), 8), ((300, 300), 60)])
def test_a_line_is_not_looked_at_so_small_that_its_digits_are_not_seen(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], least: float
) -> None:
    heights: list[float] = []

    def watched(windows: Sequence[Window]) -> list[Look]:
        heights.extend(shape[0] / window.down for window in windows)
        return look(windows)

    finder = reader.model.finder
    look = finder.look
    monkeypatch.setattr(finder, "look", watched)
    look_at_pages(finder, np.full((*shape, 3), 255, np.uint8), lambda: None)

    assert heights
    assert min(heights) > 0.9 * least


def test_a_count_is_kept_or_missed_with_a_warning(reader: Reader) -> None:
    pixels = drawn("3520")

    assert len(reading_of(reader, pixels, NumberOptions(count=4)).digits) == 4
    beyond = reading_of(reader, pixels, NumberOptions(count=150))
    assert [each.code for each in beyond.warnings] == ["other-count"]
    assert not beyond.accepted


@pytest.mark.parametrize("normalised", [False, True])
def test_a_digit_alone_is_not_accepted_where_more_were_asked_for(
    reader: Reader, excerpt: tuple[NDArray[np.uint8], ...], *, normalised: bool
) -> None:
    pixels = excerpt[0][0] if normalised else np.asarray(canvas(3))

    asked, free = (reading_of(reader, pixels, NumberOptions(count=count)) for count in (2, None))

    assert free.accepted
    assert [each.code for each in asked.warnings] == ["other-count"]
    assert asked.warnings[0].detail == "1 digit was found, and 2 were asked for."
    assert asked.text == free.text
    assert asked.digits[0].accepted
    assert not asked.accepted


def test_a_digit_alone_has_its_marks(reader: Reader) -> None:
    pixels = np.asarray(canvas(3, box=(120, 80, 180, 200))).copy()
    cv2.line(pixels, (42, 140), (90, 140), 0, 12)

    reading = reading_of(reader, pixels)

    assert reading.text == "3"
    (mark,) = reading.marks
    assert (mark.kind, mark.line, mark.after) == ("minus", 0, 0)
    assert mark.box.x == pytest.approx(36, abs=14)


def test_a_digit_alone_is_as_sure_as_that_nothing_beside_it_is_one(reader: Reader) -> None:
    neighbour = four(bar=50)

    reading, alone = reading_of(reader, neighbour), reading_of(reader, four(bar=None))

    assert (reading.text, alone.text) == ("4", "4")  # it may be called a 1 one day: then another picture has to do
    assert alone.accepted
    assert reading.digits[0].confidence > 0.99
    assert reading.confidence == reading.lines[0].confidence < 0.9 < alone.confidence
    assert reading.alternatives[0].text == "14"
    assert 0.1 < reading.alternatives[0].confidence <= reading.confidence
    assert reading_of(reader, neighbour, NumberOptions(count=2)).text == "14"
    assert (
        reading_of(reader, neighbour, NumberOptions(count=1)).confidence > 0.99
    )  # the caller says that there is no other digit


def four(*, bar: int | None) -> NDArray[np.uint8]:
    """A 4 of two strokes, and a straight bar as high as it, at a column, or none."""
    pixels = np.full((280, 280), 255, np.uint8)
    strokes = [[(157, 55), (101, 165), (194, 165)], [(171, 106), (171, 225)]]
    for stroke in strokes + ([[(bar, 55), (bar, 225)]] if bar else []):
        cv2.polylines(pixels, [np.array(stroke, np.int32)], isClosed=False, color=0, thickness=12, lineType=cv2.LINE_AA)
    return pixels


def test_a_later_frame_is_told_of_a_normalised_digit_too(reader: Reader, excerpt: tuple[NDArray[np.uint8], ...]) -> None:
    picture = replace(to_picture(excerpt[0][0]), frame=2)

    reading = read_number(reader.model, picture, ANY).reading

    assert [(each.code, each.value) for each in reading.warnings] == [("later-frame", 2)]


def test_no_more_digits_are_read_than_allowed(reader: Reader) -> None:
    reading = reading_of(reader, drawn("3520", "864"), NumberOptions(most=3))

    assert len(reading.digits) <= 3
    assert "many-digits" in [each.code for each in reading.warnings]
    assert not reading.accepted
    assert reading.alternatives
    assert all(len(each.text.replace("\n", "")) <= 3 for each in reading.alternatives)


def test_what_else_a_digit_alone_may_be_is_as_short_as_its_text(reader: Reader) -> None:
    reading = reading_of(reader, four(bar=50), NumberOptions(most=1))

    assert (reading.text, reading.alternatives[0].text) == ("4", "1")
    assert all(len(each.text) == 1 for each in reading.alternatives)


def test_a_single_digit_and_a_normalised_one_are_readings_too(reader: Reader, excerpt: tuple[NDArray[np.uint8], ...]) -> None:
    images, labels = excerpt

    assert reading_of(reader, np.asarray(canvas(3))).text == "3"
    normalised = reading_of(reader, images[0], NumberOptions(include_glyph=True))
    assert normalised.text == str(labels[0])
    assert normalised.digits[0].glyph is not None
    assert normalised.confidence == reader.read(images[0]).confidence


@pytest.mark.parametrize("digit", range(10))
def test_a_large_digit_is_read_as_predict_reads_it(reader: Reader, digit: int) -> None:
    picture = canvas(digit, pen=22, box=(84, 56, 196, 224))

    reading, prediction = reader.read_number(picture), reader.read(picture)

    assert reading.text == str(prediction.digit)
    assert reading.accepted == prediction.accepted
    assert reading.digits[0].probabilities == prediction.probabilities


def test_a_picture_that_is_known_to_be_upright_is_not_turned(reader: Reader) -> None:
    upside_down = np.rot90(np.asarray(canvas(7, pen=22, box=(84, 56, 196, 224))), 2)

    found = {
        upright: {each.code for each in reading_of(reader, upside_down, NumberOptions(upright=upright)).warnings}
        for upright in (True, False)
    }

    assert "turned" in found[False]
    assert "turned" not in found[True]


def test_a_picture_without_a_digit_is_refused(reader: Reader) -> None:
    gradient = np.tile(np.linspace(100, 220, 200).astype(np.uint8), (150, 1))

    for pixels in (np.full((80, 80), 255, np.uint8), gradient):
        with pytest.raises(NoDigitFound):
            reading_of(reader, pixels)


def test_the_same_picture_always_gives_the_same_reading(reader: Reader) -> None:
    pixels = drawn("3520")

    assert reading_of(reader, pixels) == reading_of(reader, pixels)
