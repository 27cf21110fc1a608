"""The queue between the event loop and the workers: pictures that wait at the same time are read together.

    admit, before the body is read ─► read: queue ─► worker: decode and find each, infer all ─► answers
                                             └─► queue ─► patient worker: one picture that may take long ─► answer

The event loop only admits requests and delivers answers; workers do all CPU work. Pictures that may take long, to decode or
because all of their digits are read, have their own workers, so the digit in a drawing never waits behind them. One of these
workers is always left for pictures that do not take long. Requests share the workers, not pictures: a batch and a single
picture take turns.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from app.errors import DeadlineExceeded, HungUp
from app.reading.decode import opencv
from app.reading.reader import Reader
from app.reading.requests import MustWait, PictureOutcome, PictureRequest, TensorOutcome, TensorRequest
from app.runtime.answers import Answers, Wait
from app.runtime.places import Place, Places
from app.runtime.worker_pool import Job, Worker, WorkerPool
from app.runtime.worker_thread import LoopPriority
from app.settings import Settings

TOO_LATE = "The answer would have taken too long; try again later."


class QueueObserver(Protocol):
    """Receives the queue's counts: a service's metrics."""

    def count_in_progress(self, change: int) -> None:
        """The number of requests in progress has changed."""

    def count_queued(self, change: int) -> None:
        """The number of pictures that wait for a worker has changed."""

    def count_outcomes(self, outcomes: Sequence[PictureOutcome | TensorOutcome]) -> None:
        """These were read or inferred together."""


class Batcher:
    """The queue and its workers. Only the event loop on which it was created may call admit, read and infer."""

    def __init__(self, reader: Reader, settings: Settings, observer: QueueObserver) -> None:
        self.reader = reader  # may be replaced at any time; each batch is read by one reader
        self._settings = settings
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._places = Places(settings.max_waiting, settings.max_waiting_bytes, observer.count_in_progress)
        patience = min(settings.decoder_seconds, settings.deadline_seconds)
        self._patient = WorkerPool(self._work, settings.patient_threads, 1, self._drop, patience=patience)
        self._quick = WorkerPool(self._work, settings.threads, settings.batch_size, self._drop, patience=0)

    def admit(self, length: int, client: str = "") -> Place:
        """A place for a client's request with a body of so many bytes, to be held while it is read and answered.

        Raises:
            Overloaded: too many requests, or too many bytes of their bodies, are here already.
        """
        return self._places.admit(length, client)

    def is_full(self, length: int, client: str | None) -> bool:
        """Whether admit would refuse a request with a body of so many bytes. client: None if it is unknown."""
        return self._places.is_full(length, client)

    async def read(
        self, requests: Sequence[PictureRequest], gone: Callable[[], Awaitable[object]], client: str = ""
    ) -> list[PictureOutcome]:
        """The digits in a client's pictures. gone: returns when the client has hung up.

        Raises:
            DeadlineExceeded: it took longer than the settings allow.
            HungUp: the client has hung up.
        """
        return await self._ask(requests, gone, client)

    async def infer(self, request: TensorRequest, gone: Callable[[], Awaitable[object]], client: str = "") -> TensorOutcome:
        """The logits of a client's tensor.

        Raises:
            DeadlineExceeded, HungUp: as read.
        """
        outcome: TensorOutcome = (await self._ask([request], gone, client))[0]
        return outcome

    async def _ask(
        self, requests: Sequence[PictureRequest | TensorRequest], gone: Callable[[], Awaitable[object]], client: str
    ) -> list[Any]:
        since, longest = time.monotonic(), self._settings.deadline_seconds
        answers = Answers(requests, client, self._loop)
        self._observer.count_queued(len(requests))
        for place, request in enumerate(requests):
            pool = self._patient if isinstance(request, PictureRequest) and request.is_slow else self._quick
            pool.put(Job(answers, place, since, since + longest))
        wait = Wait(answers, gone, longest, self._loop)
        try:
            await answers.over
            if answers.missing:
                raise HungUp if wait.hung_up else DeadlineExceeded(TOO_LATE)
            return answers.outcomes
        finally:
            answers.let_go()
            wait.end()

    @property
    def lives(self) -> bool:
        """Whether both kinds of workers live; for a watchdog."""
        return self._quick.lives and self._patient.lives

    def mend(self) -> None:
        """Replaces workers that have died; a watchdog calls it regularly."""
        self._quick.mend()
        self._patient.mend()

    def stop(self) -> None:
        """Reads the waiting pictures, then ends the workers."""
        self._quick.stop()  # these may pass pictures on to the others
        self._patient.stop()

    def _work(self, pool: WorkerPool, worker: Worker) -> None:
        priority = LoopPriority(self._loop)
        opencv.tune()
        while taken := pool.take():
            jobs, heavy = taken
            worker.since = time.monotonic()
            try:
                if (window := self._settings.batch_window_ms) and not heavy:
                    jobs += pool.take_more(pool.batch_size - len(jobs), window / 1000)
                self._read_safely(jobs, priority, pool)
            finally:
                pool.done(jobs, time.monotonic() - worker.since, heavy=heavy)
            del taken, jobs  # they would hold the pictures' bytes until the next ones come
            worker.since = None

    def _drop(self, count: int) -> None:
        """Counts pictures that were dropped because nobody was waiting for them any more."""
        self._observer.count_queued(-count)

    def _read_safely(self, jobs: Sequence[Job], priority: LoopPriority, pool: WorkerPool) -> None:
        """Like _read; an error that is not one picture's, such as exhausted memory, becomes the answer of all of them."""
        try:
            self._read(jobs, priority, pool)
        except Exception as error:  # noqa: BLE001  it becomes each request's answer, and is logged there
            if isinstance(error, DeadlineExceeded):
                error.without_frames()  # which would keep the pictures' bytes
            self._loop.call_soon_threadsafe(_deliver, jobs, [PictureOutcome(error, {}) for _ in jobs])

    def _read(self, jobs: Sequence[Job], priority: LoopPriority, pool: WorkerPool) -> None:
        begun, clock = time.monotonic(), time.perf_counter()
        self._observer.count_queued(-len(jobs))
        asked = [(job, job.request) for job in jobs]  # first: what is still wanted after that has not been let go of
        wanted = {job: request for job, request in asked if job.is_wanted}
        pictures = {job: request for job, request in wanted.items() if isinstance(request, PictureRequest)}
        if pictures:
            requests = [replace(request, until=job.until) for job, request in pictures.items()]
            pause = partial(_pause, priority, list(wanted))
            outcomes = self.reader.read_together(requests, pause, patient=pool.patient)
            self._answer(*self._pass_on(pictures, outcomes), begun, clock)
        tensors = {job: request for job, request in wanted.items() if isinstance(request, TensorRequest)}
        if tensors:
            self._answer(list(tensors), self.reader.infer_together(list(tensors.values())), begun, clock)

    def _pass_on(
        self, pictures: Mapping[Job, PictureRequest], outcomes: Sequence[PictureOutcome]
    ) -> tuple[list[Job], list[PictureOutcome]]:
        """The jobs that are answered. Pictures whose decoding may take long go to the patient workers."""
        answered = []
        for (job, request), outcome in zip(pictures.items(), outcomes, strict=True):
            if isinstance(outcome.result, MustWait):
                self._observer.count_queued(1)
                job.answers.open(job.place, request.opened(outcome.result.data))
                self._patient.put(job)
            else:
                answered.append((job, outcome))
        return [job for job, _ in answered], [outcome for _, outcome in answered]

    def _answer(
        self, jobs: Sequence[Job], outcomes: Sequence[PictureOutcome | TensorOutcome], begun: float, clock: float
    ) -> None:
        """Delivers the answers. begun, clock: when the work began, by the monotonic clock and by perf_counter."""
        if not jobs:
            return
        for job, outcome in zip(jobs, outcomes, strict=True):
            outcome.seconds["queue"] = waited = begun - job.since
            outcome.starts["queue"] = clock - waited
        self._observer.count_outcomes(outcomes)
        self._loop.call_soon_threadsafe(_deliver, jobs, outcomes)


def _pause(priority: LoopPriority, jobs: Sequence[Job]) -> None:
    """Lets the event loop run.

    Raises:
        DeadlineExceeded: nobody waits for any of the jobs any more.
    """
    priority.yield_to_loop()
    if not any(job.is_wanted for job in jobs):
        raise DeadlineExceeded(TOO_LATE)


def _deliver(jobs: Sequence[Job], outcomes: Sequence[PictureOutcome | TensorOutcome]) -> None:
    """Gives each job its outcome; one that was answered before its batch failed keeps its answer."""
    for job, outcome in zip(jobs, outcomes, strict=True):
        if job.answers.outcomes[job.place] is None:
            job.answers.take(job.place, outcome)
