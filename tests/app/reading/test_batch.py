"""The batch: pictures that are looked at together, each with the digits that are asked for."""

import weakref
from dataclasses import replace
from functools import partial
from math import inf
from time import monotonic

import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import DeadlineExceeded, NoDigitFound, UnreadableImage
from app.reading.answer import Reading
from app.reading.batch import ABREAST, MOST_HELD, MOST_WAITING
from app.reading.decode.picture import Picture, to_picture
from app.reading.find.finder import Finder, Look
from app.reading.find.window import Window
from app.reading.numbers.read import NumberOptions
from app.reading.reader import Reader
from app.reading.requests import PictureOutcome, PictureRequest, most_prominent
from app.telemetry.metrics import Metrics
from benchmarks.pictures import canvas, encode, photo, row


def request(picture: object, **options: object) -> PictureRequest:
    return PictureRequest(lambda: to_picture(picture), **options)  # type: ignore[arg-type]


def digits(outcome: PictureOutcome) -> list[int]:
    assert isinstance(outcome.result, tuple), outcome.result
    return [prediction.digit for prediction in outcome.result]


def test_a_request_says_how_many_digits_it_wants(reader: Reader) -> None:
    requests = [request(row("73", 30), most=count) for count in (1, 2, 64)] + [request(canvas(5), include_glyph=True)]

    one, two, many, other = reader.read_together(requests)

    assert sorted(digits(two)) == sorted(digits(many)) == [3, 7]
    assert digits(one) == digits(two)[:1]
    assert digits(other) == [5]
    assert len(two.measured) == 2
    assert isinstance(other.result, tuple)
    assert other.result[0].glyph is not None
    assert most_prominent(other.result) == other.result[0]


def test_each_digit_of_a_picture_is_counted(reader: Reader) -> None:
    metrics = Metrics()
    outcomes = reader.read_together([request(row("737", 30), most=3)])

    metrics.serve(reader.model)
    metrics.count_outcomes(outcomes)

    text = metrics.expose("")[0].decode()
    assert 'numeral_predictions_total{digit="7"} 2.0' in text
    assert 'numeral_predictions_total{digit="3"} 1.0' in text
    assert "numeral_batch_size_count 1.0" in text


def test_together_and_alone_pictures_get_the_same_answers(reader: Reader) -> None:
    pictures = [make(digit) for digit in range(10) for make in (canvas, photo)]

    together = reader.read_together([request(picture) for picture in pictures])

    for picture, outcome in zip(pictures, together, strict=True):
        alone = reader.read(picture)
        assert isinstance(outcome.result, tuple)
        assert (outcome.result[0].digit, outcome.result[0].box) == (alone.digit, alone.box)
        assert outcome.result[0].confidence == pytest.approx(alone.confidence, abs=1e-3)
        assert {"find", "infer"} <= set(outcome.seconds)


class CountingFinder(Finder):
    """Notes how many windows it looks at in each run."""

    def __init__(self, finder: Finder) -> None:
        self.finder, self.runs = finder, list[int]()

    def look(self, windows: "list[Window]") -> list[Look]:  # type: ignore[override]
        self.runs.append(len(windows))
        return self.finder.look(windows)


def counting(reader: Reader) -> tuple[Reader, CountingFinder]:
    finder = CountingFinder(reader.model.finder)
    return Reader(type(reader.model)(finder, reader.classifier), reader.decoder), finder


def test_pictures_are_looked_at_together_and_again_only_where_a_digit_is_small(reader: Reader) -> None:
    counted, finder = counting(reader)
    large, small = canvas(3), canvas(7, box=(40, 40, 90, 110))

    counted.read_together([request(picture) for picture in (large, small, large, small, small)])

    assert finder.runs == [5, 3]


def test_few_pictures_are_in_memory_at_a_time(reader: Reader) -> None:
    counted, finder = counting(reader)

    counted.read_together([request(canvas(3))] * (ABREAST + 1) + [request(canvas(3, size=1024, pen=60))] * 2)

    first = [run for run in finder.runs if run]
    assert first == [ABREAST, 2, 1]


class RememberingFinder(CountingFinder):
    """Knows which of its windows and looks are still in memory."""

    def __init__(self, finder: Finder) -> None:
        super().__init__(finder)
        self.most, self._made = 0, list[weakref.ref[Window | Look]]()

    def look(self, windows: "list[Window]") -> list[Look]:  # type: ignore[override]
        looks = super().look(windows)
        seen: list[Window | Look] = [*windows, *looks]
        self._made = [each for each in self._made if each()] + [weakref.ref(each) for each in seen]
        self.most = max(self.most, len(self._made))
        return looks


def test_what_was_seen_of_a_picture_is_let_go_of_before_the_next_ones_are_opened(reader: Reader) -> None:
    finder = RememberingFinder(reader.model.finder)
    remembering = Reader(type(reader.model)(finder, reader.classifier), reader.decoder)

    remembering.read_together([request(canvas(7, box=(40, 40, 90, 110)))] * (4 * ABREAST))

    assert finder.most == 4 * ABREAST  # of each picture that is looked at together, two windows and two looks


def test_of_very_many_pictures_some_are_answered_before_the_others_are_opened(
    reader: Reader, excerpt: tuple[NDArray[np.uint8], NDArray[np.uint8]]
) -> None:
    images = excerpt[0][: MOST_WAITING + 1]

    outcomes = reader.read_together([request(image) for image in images])

    assert [digits(outcome)[0] for outcome in outcomes[:9]] == excerpt[1][:9].tolist()
    assert [len(outcomes), len({outcome.starts["infer"] for outcome in outcomes})] == [len(images), 2]


LARGE = Picture(np.asarray(canvas(3, size=1024, pen=60).convert("RGB")), 1024, 1024)
BLANK = Picture(np.full((1024, 1024, 3), 255, np.uint8), 1024, 1024)


class Decoded:
    """Hands out copies of a picture, and knows which of them are still in memory."""

    def __init__(self) -> None:
        self._made: list[weakref.ref[Picture]] = []

    def of(self, picture: Picture) -> Picture:
        copy = replace(picture)
        self._made.append(weakref.ref(copy))
        return copy

    @property
    def alive(self) -> int:
        return sum(each() is not None for each in self._made)


def test_few_pictures_are_in_memory_until_they_are_kept(reader: Reader) -> None:
    decoded, alive, count = Decoded(), list[int](), 3 * MOST_HELD // 2**20

    def keep(result: object, picture: Picture) -> tuple[object, tuple[int, ...]]:
        alive.append(decoded.alive)
        return result, picture.pixels.shape

    requests = [PictureRequest(partial(decoded.of, LARGE), keep=keep)] * count
    outcomes = reader.read_together(requests)

    assert [outcome.kept for outcome in outcomes] == [(outcome.result, LARGE.pixels.shape) for outcome in outcomes]
    assert max(alive) <= MOST_HELD // 2**20
    assert decoded.alive == 0


@pytest.mark.parametrize("number", [None, NumberOptions()], ids=["one digit", "all digits"])
def test_nothing_is_kept_of_a_picture_without_an_answer_nor_unless_it_is_asked_for(
    reader: Reader, number: NumberOptions | None
) -> None:
    decoded, alive = Decoded(), list[int]()

    def keep(*_: object) -> str:
        alive.append(decoded.alive)
        return "kept"

    requests = [
        PictureRequest(partial(decoded.of, BLANK), number=number, keep=lambda *_: pytest.fail("there is no answer")),
        PictureRequest(refuse, number=number, keep=lambda *_: pytest.fail("there is no answer")),
        PictureRequest(partial(decoded.of, LARGE), number=number),
        PictureRequest(partial(decoded.of, LARGE), number=number, keep=keep),
    ]

    outcomes = reader.read_together(requests)

    assert [outcome.kept for outcome in outcomes] == [None, None, None, "kept"]
    assert [isinstance(outcome.result, Exception) for outcome in outcomes] == [True, True, False, False]
    assert alive == [1]


def refuse() -> bytes:
    raise UnreadableImage("damaged")


def test_a_normalised_digit_is_not_looked_at(reader: Reader, excerpt: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> None:
    counted, finder = counting(reader)

    outcomes = counted.read_together([request(image) for image in excerpt[0][:20]])

    assert [digits(outcome)[0] for outcome in outcomes] == excerpt[1][:20].tolist()
    assert sum(finder.runs) == 0


class FailingFinder(CountingFinder):
    """Fails, as where a GPU has no memory left."""

    def look(self, windows: "list[Window]") -> list[Look]:  # type: ignore[override]
        if windows:
            raise RuntimeError("out of memory")
        return []


def test_a_run_that_fails_is_the_result_of_its_pictures_and_of_no_other(
    reader: Reader,
    excerpt: tuple[NDArray[np.uint8], NDArray[np.uint8]],
) -> None:
    failing = Reader(type(reader.model)(FailingFinder(reader.model.finder), reader.classifier), reader.decoder)

    failed, kept, blank = failing.read_together(
        [request(canvas(3)), request(excerpt[0][0]), request(np.zeros((9, 9), np.uint8))]
    )

    assert isinstance(failed.result, RuntimeError)
    assert digits(kept) == [7]
    assert isinstance(blank.result, NoDigitFound)


def test_the_caller_may_pause_between_pieces_of_work(reader: Reader) -> None:
    pauses: list[None] = []

    reader.read_together([PictureRequest.of(encode(canvas(3)))] * (2 * ABREAST), lambda: pauses.append(None))

    assert len(pauses) >= 2 * 3 + 1  # of each eight, before they are opened, picked and drawn; then before the inference


def test_a_picture_with_one_digit_has_one_answer(reader: Reader) -> None:
    (outcome,) = reader.read_together([request(canvas(3), most=64)])

    result = outcome.result
    assert isinstance(result, tuple)
    assert len(result) == 1


def test_reading_all_digits_ends_at_the_deadline(reader: Reader) -> None:
    pixels = np.asarray(row("3520", 24).convert("RGB"))
    picture = Picture(pixels, pixels.shape[1], pixels.shape[0])
    late, early = (PictureRequest(lambda: picture, number=NumberOptions(), until=until) for until in (monotonic() - 1, inf))

    too_late, answered = reader.read_together([late, early])

    assert isinstance(too_late.result, DeadlineExceeded)
    assert isinstance(answered.result, Reading)
    assert answered.result.text == "3520"


def test_digits_and_whole_numbers_are_read_together(reader: Reader) -> None:
    data = encode(row("3520", 24))
    requests = [PictureRequest.of(data), PictureRequest.of(data, number=NumberOptions()), PictureRequest.of(data)]

    first, number, last = reader.read_together(requests)

    assert isinstance(number.result, Reading)
    assert number.result.text == "3520"
    assert len(number.measured) == 4
    assert most_prominent(first.result) == most_prominent(last.result)
