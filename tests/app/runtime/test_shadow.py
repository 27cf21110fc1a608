"""The shadow reads what the active version has read, behind all other work, and counts how often both agree."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Queue

import numpy as np
import pytest

from app.reading.decode.picture import InProcessDecoder, Picture, to_picture
from app.reading.model import DigitModel
from app.reading.numbers.read import NumberOptions
from app.reading.reader import Reader
from app.reading.requests import Compared
from app.runtime.loading import load_model
from app.runtime.shadow import Agreement, Shadow
from app.runtime.worker_thread import NICENESS
from app.settings import Settings
from benchmarks.pictures import canvas, encode, row
from tests.conftest import MakeStore

DRAWING = InProcessDecoder(Settings()).decode(encode(canvas(3)))
BLANK = to_picture(np.full((60, 60), 255, np.uint8))
BROKEN = Picture(np.arange(225, dtype=np.uint8).reshape(5, 5, 9), 5, 5)


@pytest.fixture
def model(make_store: MakeStore) -> DigitModel:
    """Reads each digit as a 3."""
    return load_model(Settings(model_store=make_store()))


class Recorded:
    """Sums what a shadow records, and holds it up meanwhile if it is told to."""

    def __init__(self) -> None:
        self.sums = Agreement()
        self.times = 0
        self.go_on = threading.Event()
        self.go_on.set()
        self._told = threading.Condition()

    def add(self, new: Agreement) -> None:
        with self._told:
            self.sums = Agreement(
                *(ours + theirs for ours, theirs in zip(vars(self.sums).values(), vars(new).values(), strict=True))
            )
            self.times += 1
            self._told.notify()
        self.go_on.wait(60)

    def wait_for(self, count: int) -> Agreement:
        """The sums once so many pictures were compared or have failed."""
        with self._told:
            assert self._told.wait_for(lambda: self.sums.compared + self.sums.failed >= count, 60)
            return self.sums


@contextmanager
def shadowing(model: DigitModel) -> Iterator[tuple[Shadow, Recorded]]:
    recorded = Recorded()
    shadow = Shadow(model, recorded.add)
    yield shadow, recorded
    shadow.stop()


def test_a_shadow_that_fails_or_lags_harms_nothing(model: DigitModel) -> None:
    with shadowing(model) as (shadow, recorded):
        shadow.compare([Compared(BROKEN, "3")] * 2)
        for _ in range(1000):
            shadow.compare([Compared(DRAWING, "3")])
        recorded.wait_for(12)
    shadow.compare([Compared(DRAWING, "3")])

    assert recorded.sums.failed == 2
    assert recorded.sums.compared == recorded.sums.agreed >= 10
    assert recorded.sums.compared + recorded.sums.dropped == 1000


def test_a_shadow_that_finds_no_digit_does_not_agree(model: DigitModel) -> None:
    with shadowing(model) as (shadow, recorded):
        shadow.compare([Compared(BLANK, "3"), Compared(DRAWING, "3")])

        assert recorded.wait_for(2) == Agreement(compared=2, agreed=1)


def test_a_shadow_reads_all_digits_where_all_were_asked_for(reader: Reader) -> None:
    drawing, options = np.asarray(row("35", 24, 248)), NumberOptions(upright=True)
    number, prominent = to_picture(drawing), str(reader.read(drawing).digit)

    with shadowing(reader.model) as (shadow, recorded):
        shadow.compare([Compared(number, "35", options), Compared(number, prominent, options), Compared(number, prominent)])

        assert recorded.wait_for(3) == Agreement(compared=3, agreed=2)


def test_what_waits_for_the_shadow_is_bounded_by_its_pixels(model: DigitModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.runtime.shadow.WAITING_BYTES", 2 * DRAWING.pixels.nbytes)
    with shadowing(model) as (shadow, recorded):
        shadow.compare([Compared(DRAWING, "3")] * 5)

        assert recorded.wait_for(2) == Agreement(compared=2, agreed=2, dropped=3)


def test_the_end_of_a_shadow_waits_for_no_picture_that_it_has_not_begun(model: DigitModel) -> None:
    with shadowing(model) as (shadow, recorded):
        recorded.go_on.clear()
        shadow.compare([Compared(DRAWING, "3")])
        recorded.wait_for(1)
        for _ in range(4):
            shadow.compare([Compared(DRAWING, "3")] * 5)
        ending = threading.Thread(target=shadow.stop)
        ending.start()
        while not shadow._ending:  # noqa: SLF001  nothing else shows that the end has begun
            ending.join(0.01)
        recorded.go_on.set()
        ending.join(60)

        assert recorded.sums == Agreement(compared=1, agreed=1, dropped=20)
        assert recorded.times == 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives each thread a priority of its own")
def test_a_shadow_yields_to_the_threads_whose_answers_people_wait_for(model: DigitModel) -> None:
    ours, its = os.nice(0), Queue[int]()
    shadow = Shadow(model, lambda _: its.put(os.nice(0)))
    shadow.compare([Compared(DRAWING, "3")])

    assert its.get(timeout=60) > min(ours + NICENESS, 18)  # none is above 19
    shadow.stop()
