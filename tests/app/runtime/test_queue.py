"""The queue: each client gets its own answer, waiting pictures are read together, and excess requests are refused at once."""

import asyncio
import gc
import os
import struct
import sys
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from math import inf
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.errors import DeadlineExceeded, HungUp, Overloaded, RequestError, UnsupportedImage
from app.reading import batch
from app.reading.answer import Prediction
from app.reading.decode.fast_decoders import PngHeader
from app.reading.decode.picture import Picture, decode, decode_plain
from app.reading.numbers.read import NumberOptions
from app.reading.reader import Reader
from app.reading.requests import MustWait, PictureOutcome, PictureRequest, TensorRequest, most_prominent
from app.runtime import worker_pool
from app.runtime.queue import Batcher
from app.runtime.worker_thread import NICENESS
from app.settings import Settings
from app.telemetry.metrics import Metrics
from benchmarks.pictures import WHITE, canvas, encode, photo, png_chunk

MANY = 1_000
INFERRED = {"confidence": 0.0, "probabilities": []}  # what the size of a batch may change by rounding


LYING = encode(canvas(3))[:33] + png_chunk(b"IHDR", struct.pack(">II5B", 7_000, 7_000, 8, 2, 0, 0, 0)) + encode(canvas(3))[33:]


async def never() -> None:
    await asyncio.Event().wait()


async def at_once() -> None:
    pass


def request(data: bytes) -> PictureRequest:
    return PictureRequest(lambda: data)


class Slow:
    """A reader that waits to be let go on, and notes what it was asked for."""

    def __init__(self, *, free: bool = False) -> None:
        self.reads = threading.Event()
        self.may_read = threading.Event()
        self.batches: list[list[bytes | Picture]] = []
        if free:
            self.may_read.set()

    def read_together(self, requests: Sequence[PictureRequest], *_: object, **__: object) -> list[PictureOutcome]:
        self.batches.append([each.picture() for each in requests])
        self.reads.set()
        self.may_read.wait(100)  # longer than any test waits for something else
        return [PictureOutcome(ValueError(each.picture()), {}) for each in requests]


def run(
    reader: Any, use: Callable[[Batcher], Awaitable[None]], after: Callable[[], None] = lambda: None, **settings: Any
) -> None:
    """Uses a batcher in a loop of its own, and stops it."""

    async def main() -> None:
        batcher = Batcher(reader, Settings(**settings), Metrics())
        try:
            await use(batcher)
        finally:
            after()
            await asyncio.to_thread(batcher.stop)

    asyncio.run(main())


def test_a_thousand_requests_at_once_get_the_same_answers_as_alone(
    reader: Reader, excerpt: tuple[NDArray[np.uint8], NDArray[np.uint8]]
) -> None:
    rng = np.random.default_rng(0)
    pictures = []
    for number in range(MANY):
        left, top = rng.integers(0, 9, 2)
        sheet = np.pad(excerpt[0][number % len(excerpt[0])], ((top, 9 - top), (left, 9 - left)))
        pictures.append(encode(Image.fromarray(sheet)))
    pictures[7::100] = [b"no picture"] * len(pictures[7::100])
    answers: list[PictureOutcome] = []

    async def ask_all_at_once(batcher: Batcher) -> None:
        nested = await asyncio.gather(*(batcher.read([request(data)], never) for data in pictures))
        answers.extend(reading for readings in nested for reading in readings)

    run(reader, ask_all_at_once, deadline_seconds=100)

    assert len(answers) == MANY
    for data, answer in zip(pictures, answers, strict=True):
        if data == b"no picture":
            assert isinstance(answer.result, UnsupportedImage)
            continue
        alone = reader.read(data)
        prediction = most_prominent(answer.result)
        assert isinstance(prediction, Prediction)
        assert (prediction.digit, prediction.box) == (alone.digit, alone.box)
        # A run of several looks sums in another order, by which a pixel of the glyph may be rounded otherwise.
        np.testing.assert_allclose(prediction.probabilities, alone.probabilities, atol=0.01)


def test_waiting_pictures_are_read_together_up_to_the_limit() -> None:
    reader = Slow()

    async def ask(batcher: Batcher) -> None:
        asking = [asyncio.ensure_future(batcher.read([request(bytes([number]))], never)) for number in range(12)]
        await asyncio.sleep(0.1)
        reader.may_read.set()
        for number, (reading,) in enumerate(await asyncio.gather(*asking)):
            assert isinstance(reading.result, ValueError)
            assert reading.result.args == (bytes([number]),)
            assert reading.seconds["queue"] >= 0

    run(reader, ask, worker_threads=1, batch_size=4)

    assert list(chain(*reader.batches)) == [bytes([number]) for number in range(12)]
    assert max(map(len, reader.batches)) == 4
    assert len(reader.batches) <= 5  # the first may have been taken alone


def test_pictures_whose_digits_are_all_read_hold_up_no_drawing() -> None:
    reader, answered = Slow(), []
    whole = replace(request(b"whole"), number=NumberOptions())

    async def ask(batcher: Batcher) -> None:
        pages = [asyncio.ensure_future(batcher.read([whole] * 4, never, client)) for client in "ab"]
        await asyncio.to_thread(reader.reads.wait, 100)
        reader.reads.clear()
        drawing = asyncio.ensure_future(batcher.read([request(b"drawing")], never, "c"))
        await asyncio.to_thread(reader.reads.wait, 100)
        answered.extend(reader.batches)
        reader.may_read.set()
        await asyncio.gather(*pages, drawing)

    run(reader, ask, worker_threads=1, decoder_processes=1)

    assert answered == [[b"whole"], [b"drawing"]]
    assert sorted(map(len, reader.batches)) == [1] * 9


def test_a_window_lets_a_batch_fill() -> None:
    reader = Slow(free=True)

    async def ask(batcher: Batcher) -> None:
        first = asyncio.ensure_future(batcher.read([request(b"1")], never))
        await asyncio.sleep(0.05)
        await asyncio.gather(first, batcher.read([request(b"2")], never))

    run(reader, ask, worker_threads=1, batch_window_ms=2_000, batch_size=2)

    assert reader.batches == [[b"1", b"2"]]


def test_requests_beyond_the_limits_are_refused_and_later_accepted_again() -> None:
    async def fill(batcher: Batcher) -> None:
        with batcher.admit(10), batcher.admit(10), pytest.raises(Overloaded), batcher.admit(0):
            pass
        with batcher.admit(90) as place:
            place.grow(90)
            with pytest.raises(Overloaded), batcher.admit(11):
                pass
            with batcher.admit(10):
                pass
        with batcher.admit(1_000):  # the only one there is may be of any size that an upload may be of
            pass

    run(Slow(free=True), fill, max_waiting=2, max_waiting_bytes=100)


def test_requests_past_their_deadline_are_dropped_and_not_read_later() -> None:
    reader = Slow()

    async def ask(batcher: Batcher) -> None:
        started = time.monotonic()
        first = asyncio.ensure_future(batcher.read([request(b"first")], never))
        await asyncio.sleep(0.05)
        second = asyncio.ensure_future(batcher.read([request(b"second")], never))
        for each in (first, second):
            with pytest.raises(DeadlineExceeded):
                await each
        assert time.monotonic() - started < 10

    run(reader, ask, after=reader.may_read.set, worker_threads=1, deadline_seconds=0.2)

    assert reader.batches[0] == [b"first"]
    assert b"second" not in list(chain(*reader.batches))


def test_a_request_leaves_the_queue_when_its_client_hangs_up() -> None:
    reader = Slow()

    async def ask(batcher: Batcher) -> None:
        first = asyncio.ensure_future(batcher.read([request(b"first")], never))
        await asyncio.sleep(0.02)
        with pytest.raises(HungUp):
            await batcher.read([request(b"second")], at_once)
        reader.may_read.set()
        await first

    run(reader, ask, after=reader.may_read.set, worker_threads=1)

    assert b"second" not in list(chain(*reader.batches))


class Pausing(Slow):
    """Pauses a thousand times once it is let go on, and notes how often it came back; and the deadlines it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses = 0
        self.deadlines: list[float] = []

    def read_together(self, requests: Sequence[PictureRequest], *pauses: Any, **__: object) -> list[PictureOutcome]:
        self.deadlines += [each.until for each in requests]
        outcomes = super().read_together(requests)
        for _ in range(MANY):
            pauses[0]()
            self.pauses += 1
        return outcomes


@pytest.mark.parametrize("waits", [False, True], ids=["a drawing", "a photo"])
@pytest.mark.parametrize("deadline", [0.6, 100], ids=["its deadline passes", "its client hangs up"])
def test_work_stops_at_the_next_pause_once_nobody_waits_for_it(deadline: float, waits: bool) -> None:
    reader = Pausing()

    async def gone() -> None:
        await (never() if deadline < 1 else asyncio.sleep(0))

    async def ask(batcher: Batcher) -> None:
        with pytest.raises(DeadlineExceeded if deadline < 1 else HungUp):
            await batcher.read([replace(request(b"picture"), waits=waits)], gone)

    run(reader, ask, after=reader.may_read.set, worker_threads=1, decoder_processes=1, deadline_seconds=deadline)

    assert reader.batches == [[b"picture"]]
    assert reader.pauses == 0


def test_work_goes_on_while_somebody_waits_for_another_picture_of_the_batch() -> None:
    reader = Pausing()

    async def ask(batcher: Batcher) -> None:
        stays = asyncio.ensure_future(batcher.read([request(b"stays")], never))
        with pytest.raises(HungUp):
            await batcher.read([request(b"leaves")], at_once)
        reader.may_read.set()
        (outcome,) = await stays
        assert repr(outcome.result) == repr(ValueError(b"stays"))

    run(reader, ask, after=reader.may_read.set, worker_threads=1, batch_size=2, batch_window_ms=10_000, deadline_seconds=100)

    assert list(map(len, reader.batches)) == [2]
    assert reader.pauses == MANY


@pytest.mark.parametrize("waits", [False, True], ids=["a drawing", "a photo"])
def test_each_picture_is_read_with_the_deadline_of_its_request(waits: bool) -> None:
    reader = Pausing()
    reader.may_read.set()
    began = time.monotonic()

    async def ask(batcher: Batcher) -> None:
        await batcher.read([replace(request(b"picture"), waits=waits)], never)

    run(reader, ask, deadline_seconds=100)

    assert [began + 100 <= until <= time.monotonic() + 100 for until in reader.deadlines] == [True]


class Failing(Slow):
    """Reads pictures, but infers no tensors."""

    def infer_together(self, requests: Sequence[TensorRequest]) -> None:
        raise MemoryError(len(requests))


def test_pictures_that_are_answered_before_the_rest_of_their_batch_fails_are_answered_once() -> None:
    reader = Failing()
    pictures = [bytes([number]) for number in range(6)]

    async def ask(batcher: Batcher) -> None:
        asking = [asyncio.ensure_future(batcher.read([request(b"first")], never, "a"))]
        await asyncio.to_thread(reader.reads.wait)
        asking.append(asyncio.ensure_future(batcher.read([request(data) for data in pictures], never, "a")))
        inferring = asyncio.ensure_future(batcher.infer(tensor_of(Data()), never, "b"))
        await asyncio.sleep(0)
        reader.may_read.set()
        _, outcomes = await asyncio.gather(*asking)
        assert [repr(each and each.result) for each in outcomes] == [repr(ValueError(data)) for data in pictures]
        assert isinstance((await inferring).result, MemoryError)

    run(reader, ask, after=reader.may_read.set, worker_threads=1, batch_size=4, deadline_seconds=100)

    assert list(map(len, reader.batches)) == [1, 3, 3]  # the tensor was taken with the first three of the six


class Data(bytearray):
    """Bytes of which one can tell whether they are still in memory."""


class Passing(Slow):
    """Passes pictures on to the patient workers, and notes it."""

    def __init__(self) -> None:
        super().__init__()
        self.passes = threading.Event()

    def read_together(self, requests: Sequence[PictureRequest], *_: object, **options: object) -> list[PictureOutcome]:
        if options["patient"]:
            return super().read_together(requests)
        outcomes = [PictureOutcome(MustWait(each.picture()), {}) for each in requests]  # type: ignore[arg-type]
        self.passes.set()
        return outcomes


def picture_of(data: Data, *, waits: bool) -> PictureRequest:
    return PictureRequest(lambda: data, waits=waits)  # type: ignore[arg-type, return-value]


def tensor_of(data: Data) -> TensorRequest:
    return TensorRequest(lambda: data)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("deadline", [0.6, 100], ids=["its deadline passes", "its client hangs up"])
@pytest.mark.parametrize("kind", ["a drawing", "a photo", "a photo passed on", "a tensor"])
def test_nothing_is_kept_of_a_request_that_has_ended_even_while_all_workers_are_busy(kind: str, deadline: float) -> None:
    reader = Passing() if kind == "a photo passed on" else Slow()
    waits = kind.startswith("a photo")

    async def gone() -> None:
        if deadline < 1:
            await never()
        if isinstance(reader, Passing):
            await asyncio.to_thread(reader.passes.wait, 60)

    async def ask_in_vain(batcher: Batcher) -> "weakref.ref[Data]":
        data = Data(b"second")
        with suppress(HungUp, DeadlineExceeded):
            if kind == "a tensor":
                await batcher.infer(tensor_of(data), gone)
            else:
                await batcher.read([picture_of(data, waits=waits and not isinstance(reader, Passing))], gone)
        return weakref.ref(data)

    async def ask(batcher: Batcher) -> None:
        asking, until = list[asyncio.Future[list[PictureOutcome]]](), time.monotonic() + 20
        while not reader.batches:
            asking.append(asyncio.ensure_future(batcher.read([picture_of(Data(b"first"), waits=waits)], never)))
            await asyncio.sleep(0.05)
        kept = await ask_in_vain(batcher)
        while kept() is not None and time.monotonic() < until:
            gc.collect()
            await asyncio.sleep(0.01)
        assert kept() is None
        reader.may_read.set()
        await asyncio.gather(*asking, return_exceptions=True)

    run(reader, ask, after=reader.may_read.set, worker_threads=1, decoder_processes=1, deadline_seconds=deadline)

    assert b"second" not in list(chain(*reader.batches))


@pytest.mark.parametrize(("decoder_seconds", "lives"), [(100, True), (0.001, False)])
def test_a_worker_that_decodes_is_not_dead_before_the_longest_time_of_a_picture(
    monkeypatch: pytest.MonkeyPatch, decoder_seconds: float, lives: bool
) -> None:
    monkeypatch.setattr(worker_pool, "STUCK_SECONDS", 0.0)
    reader = Slow()

    async def ask(batcher: Batcher) -> None:
        asking = asyncio.ensure_future(batcher.read([replace(request(b"photo"), waits=True)], never))
        until = time.monotonic() + 20
        while not reader.batches or batcher.lives != lives:
            assert time.monotonic() < until
            await asyncio.sleep(0.01)
        reader.may_read.set()
        await asking

    run(reader, ask, after=reader.may_read.set, decoder_processes=1, decoder_seconds=decoder_seconds, deadline_seconds=100)


@pytest.mark.skipif(sys.platform != "linux", reason="niceness is the whole process's elsewhere")
def test_workers_yield_the_cpu_to_the_event_loop_and_use_opencvs_own_code() -> None:
    priorities: list[int] = []
    ipp: list[bool] = []

    class Noting(Slow):
        def read_together(self, requests: Sequence[PictureRequest], *_: object, **__: object) -> list[PictureOutcome]:
            priorities.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
            ipp.append(cv2.ipp.useIPP())
            return super().read_together(requests)

    async def ask(batcher: Batcher) -> None:
        await batcher.read([request(b"one")], never)

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    run(Noting(free=True), ask)

    assert priorities == [min(before + NICENESS, 19)]
    assert ipp == [False]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_accepted_requests_are_answered_at_shutdown() -> None:
    reader = Slow()
    answered: list[object] = []

    async def ask(batcher: Batcher) -> None:
        asking = [asyncio.ensure_future(batcher.read([request(bytes([n]))], never)) for n in range(9)]
        await asyncio.sleep(0.05)
        stopping = asyncio.ensure_future(asyncio.to_thread(batcher.stop))
        reader.may_read.set()
        answered.extend(await asyncio.gather(*asking))
        await stopping

    run(reader, ask, worker_threads=2, batch_size=2)

    assert len(answered) == 9


def test_pictures_read_together_get_the_same_answers_as_alone(reader: Reader) -> None:
    drawings = [
        encode(canvas(number % 10, size=28 + 21 * number, ground=None if number % 3 else WHITE)) for number in range(18)
    ]
    pictures = [*drawings, encode(photo(3), "JPEG"), b"x", encode(Image.new("RGB", (90, 90), WHITE)), *drawings[::-1]]

    together = reader.read_together([request(data) for data in pictures])

    for data, reading in zip(pictures, together, strict=True):
        (alone,) = reader.read_together([request(data)])
        one, other = most_prominent(reading.result), most_prominent(alone.result)
        if isinstance(one, Prediction) and isinstance(other, Prediction):
            assert one.probabilities == pytest.approx(other.probabilities, abs=2e-6)
            assert one.model_copy(update=INFERRED) == other.model_copy(update=INFERRED)
        else:
            assert repr(reading.result) == repr(alone.result)
        assert reading.seconds.keys() == alone.seconds.keys()


def test_small_pictures_are_read_in_pieces_with_pauses_between(reader: Reader) -> None:
    pauses: list[None] = []

    reader.read_together([request(encode(canvas(3)))] * 2, lambda: pauses.append(None))

    assert len(pauses) == 3 + 1  # one before each piece of both, one before they are inferred


@pytest.mark.parametrize(
    ("data", "alone"),
    [
        pytest.param(encode(canvas(3)), True, id="a drawing"),
        pytest.param(encode(canvas(3, size=560)), False, id="a large drawing"),
        pytest.param(encode(photo(3), "JPEG"), False, id="a photo"),
        pytest.param(LYING, False, id="a file that calls itself small"),
        pytest.param(b"no picture", False, id="no picture"),
    ],
)
def test_one_thread_at_a_time_reads_small_drawings(reader: Reader, data: bytes, alone: bool) -> None:
    held: list[bool] = []

    class Noting:
        def decode_plain(self, data: bytes, header: PngHeader) -> Picture | None:
            held.append(turn.locked())
            return decode_plain(data, header, Settings())

        def decode(self, data: bytes, until: float = inf) -> Picture:  # noqa: ARG002  it has no limits
            held.append(turn.locked())
            return decode(data, Settings())

    noted = Reader(reader.model, Noting())
    turn = noted._engine._turn  # noqa: SLF001  the lock itself: nothing else tells which thread waits for which

    noted.read_together([request(data)])

    assert held[-1] == alone
    assert not turn.locked()


@pytest.mark.parametrize("method", ["predict", "judge"])
def test_a_failed_inference_is_the_error_of_every_picture_in_it(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, excerpt: tuple[NDArray[np.uint8], NDArray[np.uint8]], method: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(type(reader.classifier) if method == "predict" else batch, method, fail)
    digit = encode(Image.fromarray(excerpt[0][0]))

    results = [reading.result for reading in reader.read_together([request(digit), request(b"x"), request(digit)])]

    assert [type(result) for result in results] == [MemoryError, UnsupportedImage, MemoryError]
    assert isinstance(results[1], RequestError)
