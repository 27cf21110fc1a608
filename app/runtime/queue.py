"""Pictures that wait together are read together: a bounded queue, and worker threads that take what is waiting.

    admit, before the body is read ─► read: queue ─► worker: decode and find each, infer all ─► answers
                                             └─► queue ─► patient worker: one picture that must be decoded elsewhere ─► answer

The event loop only admits and delivers; all CPU work is the workers'. What may take long to decode has workers of its own:
drawings, which are decoded at once, never wait behind it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from math import inf
from queue import Empty, PriorityQueue, SimpleQueue
from threading import Thread
from typing import Any, Protocol

from app.errors import DeadlineExceeded, HungUp, Overloaded
from app.reading.batch import MustWait, PictureOutcome, PictureRequest, TensorOutcome, TensorRequest
from app.reading.decode import opencv
from app.reading.reader import Reader
from app.runtime.worker_thread import Courtesy
from app.settings import Settings

logger = logging.getLogger(__name__)

STUCK_SECONDS = 60.0  # after which a worker that is still at the same pictures counts as dead; most take milliseconds
PATIENCE = 0.5  # seconds after which it is worth looking whether the client still waits; most are answered before


class QueueObserver(Protocol):
    """What is told of the queue: a service's metrics."""

    def count_in_progress(self, change: int) -> None:
        """So many requests with pictures were let in, or, below 0, answered."""

    def count_queued(self, change: int) -> None:
        """So many pictures wait for a worker, or, below 0, wait no longer."""

    def count_outcomes(self, outcomes: Sequence[PictureOutcome | TensorOutcome]) -> None:
        """These were worked on together."""


class _Answers:
    """What is waited for together: the answers so far, and a future that is done with the last of them, or without it."""

    def __init__(self, count: int, loop: asyncio.AbstractEventLoop) -> None:
        self.outcomes: list[Any] = [None] * count
        self.missing = count
        self.over: asyncio.Future[None] = loop.create_future()

    def take(self, place: int, outcome: PictureOutcome | TensorOutcome) -> None:
        """Notes an answer."""
        self.outcomes[place] = outcome
        self.missing -= 1
        if not self.missing:
            self.end()

    def end(self) -> None:
        """Waits no longer, whether all are there or not."""
        if not self.over.done():
            self.over.set_result(None)


class _Wait:
    """Ends the wait for answers after so many seconds, or when the client goes, which is looked at after PATIENCE."""

    def __init__(
        self, answers: _Answers, gone: Callable[[], Awaitable[object]], longest: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._answers, self._gone, self._longest, self._loop = answers, gone, longest, loop
        self._watcher: asyncio.Future[object] | None = None
        self._timer = loop.call_later(min(PATIENCE, longest), self._look)

    def _look(self) -> None:
        if self._longest <= PATIENCE:
            self._answers.end()
            return
        self._timer = self._loop.call_later(self._longest - PATIENCE, self._answers.end)
        self._watcher = asyncio.ensure_future(self._gone())
        self._watcher.add_done_callback(lambda _: self._answers.end())

    @property
    def hung_up(self) -> bool:
        """Whether the client is gone."""
        return self._watcher is not None and self._watcher.done()

    def end(self) -> None:
        """Looks no more."""
        self._timer.cancel()
        if self._watcher:
            self._watcher.cancel()


@dataclass(eq=False)
class _Job:
    """A picture or rows that wait, their place among the answers, and since when and until when, by the monotonic clock."""

    request: PictureRequest | TensorRequest
    answers: _Answers
    place: int
    since: float
    until: float


class _FairQueue:
    """As SimpleQueue, but the first pictures of all requests come before any second one: a batch does not hold up others."""

    def __init__(self) -> None:
        self._jobs: PriorityQueue[tuple[float, int, _Job | None]] = PriorityQueue()
        self._order = count()

    def put(self, job: _Job | None) -> None:
        """Takes a job; None, the end, comes after all of them."""
        self._jobs.put((inf if job is None else job.place, next(self._order), job))

    def get(self, timeout: float | None = None) -> _Job | None:
        """The next one; waits for it."""
        return self._jobs.get(timeout=timeout)[2]

    def get_nowait(self) -> _Job | None:
        """The next one, where there is one."""
        return self._jobs.get_nowait()[2]


class _Worker:
    """A thread that reads, and since when, by the monotonic clock, it has been at what it reads now."""

    def __init__(self, work: Callable[["_Worker"], None]) -> None:
        self.since: float | None = None
        self.thread = Thread(target=work, args=(self,), daemon=True)
        self.thread.start()

    @property
    def lives(self) -> bool:
        """Whether it runs, and not at the same pictures for ever."""
        since = self.since
        return self.thread.is_alive() and (since is None or time.monotonic() - since < STUCK_SECONDS)


class _Lane:
    """A queue, and the workers that take from it; patient ones may wait for decoders, and so take one picture at a time."""

    def __init__(self, work: Callable[["_Lane", _Worker], None], workers: int, batch_size: int, *, patient: bool) -> None:
        self.jobs: SimpleQueue[_Job | None] | _FairQueue = _FairQueue() if patient else SimpleQueue()
        self.batch_size, self.patient = batch_size, patient
        self._work = partial(work, self)
        self._ending = False
        self._workers = [_Worker(self._work) for _ in range(workers)]

    @property
    def lives(self) -> bool:
        """Whether a worker does."""
        return any(worker.lives for worker in self._workers)

    def mend(self) -> None:
        """Puts a new worker in the place of each that has died."""
        for place, worker in enumerate(self._workers):
            if not (worker.thread.is_alive() or self._ending):
                logger.error("a worker thread has died; another takes its place")
                self._workers[place] = _Worker(self._work)

    def stop(self) -> None:
        """Lets the workers do what waits, and end."""
        self._ending = True
        for _ in self._workers:
            self.jobs.put(None)
        for worker in self._workers:
            worker.thread.join()


class Batcher:
    """The queue and its workers; admit and read are for the event loop that it was made on."""

    def __init__(self, reader: Reader, settings: Settings, observer: QueueObserver) -> None:
        self.reader = reader  # may be replaced at any time; what is being read together is read by one
        self._settings = settings
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._requests = self._bytes = 0
        self._patient = _Lane(self._work, settings.decoders, 1, patient=True)
        self._quick = _Lane(self._work, settings.threads, settings.batch_size, patient=False)

    def admit(self, length: int) -> AbstractContextManager[None]:
        """A place for a request with a body of so many bytes, to be held while it is read and answered.

        Raises:
            Overloaded: too many requests, or too many bytes of their bodies, are here already.
        """
        if self.is_full(length):
            raise self.refusal()
        return _Place(self, length)

    def is_full(self, length: int) -> bool:
        """Whether there is no place for a request with a body of so many bytes."""
        settings = self._settings
        full = self._requests >= settings.max_waiting or self._bytes + length > settings.max_waiting_bytes
        return full and self._requests > 0

    @staticmethod
    def refusal() -> Overloaded:
        """The error for a request without a place."""
        return Overloaded("More requests are waiting than can be answered soon; try again in a moment.")

    def hold(self, length: int, sign: int = 1) -> None:
        """Takes a place for a request with a body of so many bytes, or, with the sign -1, gives it up."""
        self._requests += sign
        self._bytes += sign * length
        self._observer.count_in_progress(sign)

    async def read(self, requests: Sequence[PictureRequest], gone: Callable[[], Awaitable[object]]) -> list[PictureOutcome]:
        """The digits in pictures, read by the workers; gone returns when nobody waits for them any more.

        Raises:
            DeadlineExceeded: it took longer than the settings allow.
            HungUp: nobody waits.
        """
        return await self._ask(requests, gone)

    async def infer(self, request: TensorRequest, gone: Callable[[], Awaitable[object]]) -> TensorOutcome:
        """The logits of rows, inferred by the workers.

        Raises:
            DeadlineExceeded, HungUp: as read.
        """
        outcome: TensorOutcome = (await self._ask([request], gone))[0]
        return outcome

    async def _ask(
        self, requests: Sequence[PictureRequest | TensorRequest], gone: Callable[[], Awaitable[object]]
    ) -> list[Any]:
        since, longest = time.monotonic(), self._settings.deadline_seconds
        answers = _Answers(len(requests), self._loop)
        self._observer.count_queued(len(requests))
        for place, request in enumerate(requests):
            lane = self._patient if isinstance(request, PictureRequest) and request.waits else self._quick
            lane.jobs.put(_Job(request, answers, place, since, since + longest))
        wait = _Wait(answers, gone, longest, self._loop)
        try:
            await answers.over
            if answers.missing:
                raise HungUp if wait.hung_up else DeadlineExceeded("The answer would have taken too long; try again later.")
            return answers.outcomes
        finally:
            answers.over.cancel()  # a worker that comes to one of them passes it over
            wait.end()

    @property
    def lives(self) -> bool:
        """Whether something reads; for a watchdog."""
        return self._quick.lives and self._patient.lives

    def mend(self) -> None:
        """Replaces workers that have died; for a watchdog, now and then."""
        self._quick.mend()
        self._patient.mend()

    def stop(self) -> None:
        """Reads what is waiting, then ends the workers."""
        self._quick.stop()  # these may have more for the others
        self._patient.stop()

    def _work(self, lane: _Lane, worker: _Worker) -> None:
        courtesy = Courtesy(self._loop)
        opencv.tune()
        while (first := lane.jobs.get()) is not None:
            worker.since = time.monotonic()
            self._read_safely([first, *self._take_waiting(lane)], courtesy, lane)
            del first  # which holds a picture's bytes, until the next one comes
            worker.since = None

    def _take_waiting(self, lane: _Lane) -> list[_Job]:
        """What waits besides the first, up to a batch; and within the window, where there is one, what comes."""
        jobs: list[_Job] = []
        closes = time.monotonic() + self._settings.batch_window_ms / 1000
        while len(jobs) + 1 < lane.batch_size:
            left = closes - time.monotonic()
            try:
                job = lane.jobs.get(timeout=left) if left > 0 else lane.jobs.get_nowait()
            except Empty:
                break
            if job is None:
                lane.jobs.put(None)  # the end comes after these
                break
            jobs.append(job)
        return jobs

    def _read_safely(self, jobs: Sequence[_Job], courtesy: Courtesy, lane: _Lane) -> None:
        """As _read; what fails besides the pictures, as where memory is exhausted, is the answer of all of them."""
        try:
            self._read(jobs, courtesy, lane)
        except Exception as error:  # noqa: BLE001  whoever waits is told, and the log
            self._loop.call_soon_threadsafe(_deliver, jobs, [PictureOutcome(error, {}) for _ in jobs])

    def _read(self, jobs: Sequence[_Job], courtesy: Courtesy, lane: _Lane) -> None:
        begun, clock = time.monotonic(), time.perf_counter()
        self._observer.count_queued(-len(jobs))
        wanted = [job for job in jobs if not job.answers.over.done() and begun < job.until]
        pictures = {job: job.request for job in wanted if isinstance(job.request, PictureRequest)}
        if pictures:
            outcomes = self.reader.read_together(list(pictures.values()), courtesy.give_way, patient=lane.patient)
            self._answer(*self._pass_on(list(pictures), outcomes), begun, clock)
        tensors = {job: job.request for job in wanted if isinstance(job.request, TensorRequest)}
        if tensors:
            self._answer(list(tensors), self.reader.infer_together(list(tensors.values())), begun, clock)

    def _pass_on(self, jobs: Sequence[_Job], outcomes: Sequence[PictureOutcome]) -> tuple[list[_Job], list[PictureOutcome]]:
        """What is answered; pictures that must be waited for go to those who may."""
        answered = []
        for job, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome.result, MustWait) and isinstance(job.request, PictureRequest):
                self._observer.count_queued(1)
                self._patient.jobs.put(replace(job, request=job.request.opened(outcome.result.data)))
            else:
                answered.append((job, outcome))
        return [job for job, _ in answered], [outcome for _, outcome in answered]

    def _answer(
        self, jobs: Sequence[_Job], outcomes: Sequence[PictureOutcome | TensorOutcome], begun: float, clock: float
    ) -> None:
        """Delivers; begun, clock: when the work began, by the monotonic clock and by perf_counter."""
        if not jobs:
            return
        for job, outcome in zip(jobs, outcomes, strict=True):
            outcome.seconds["queue"] = waited = begun - job.since
            outcome.starts["queue"] = clock - waited
        self._observer.count_outcomes(outcomes)
        self._loop.call_soon_threadsafe(_deliver, jobs, outcomes)


class _Place:
    """Held while a request is read and answered. contextlib's way takes several times as long."""

    __slots__ = ("_batcher", "_length")

    def __init__(self, batcher: Batcher, length: int) -> None:
        self._batcher = batcher
        self._length = length

    def __enter__(self) -> None:
        self._batcher.hold(self._length)

    def __exit__(self, *_: object) -> None:
        self._batcher.hold(self._length, -1)


def _deliver(jobs: Sequence[_Job], outcomes: Sequence[PictureOutcome | TensorOutcome]) -> None:
    for job, outcome in zip(jobs, outcomes, strict=True):
        job.answers.take(job.place, outcome)
