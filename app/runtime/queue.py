"""Pictures that wait together are read together: a bounded queue, and worker threads that take what is waiting.

    admit, before the body is read ─► read: queue ─► worker: decode and find each, infer all ─► answers
                                             └─► queue ─► patient worker: one picture that must be decoded elsewhere ─► answer

The event loop only admits and delivers; all CPU work is the workers'. What may take long to decode has workers of its own:
drawings, which are decoded at once, never wait behind it. Of these, one is always left for what does not take long.
Requests share the workers, not pictures: a batch and a single picture take turns.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, Protocol

from app.errors import DeadlineExceeded, HungUp
from app.reading.batch import MustWait, PictureOutcome, PictureRequest, TensorOutcome, TensorRequest
from app.reading.decode import opencv
from app.reading.reader import Reader
from app.runtime.places import Place, Places
from app.runtime.turns import Turns
from app.runtime.worker_thread import Courtesy
from app.settings import Settings

logger = logging.getLogger(__name__)

STUCK_SECONDS = 60.0  # after which a worker that is still at the same pictures counts as dead; most take milliseconds
HEAVY_SECONDS = 0.25  # of decoding, after which the other pictures of a request are taken to be heavy, too
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

    def __init__(self, count: int, client: str, loop: asyncio.AbstractEventLoop) -> None:
        self.client = client
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

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for it, and its deadline has not come."""
        return not self.answers.over.done() and time.monotonic() < self.until

    @property
    def cost(self) -> int:
        """How many pictures of one digit take as long."""
        return self.request.cost if isinstance(self.request, PictureRequest) else 1

    @property
    def is_heavy(self) -> bool:
        """Whether it is expected to take long."""
        return isinstance(self.request, PictureRequest) and self.request.heavy


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
    """What waits, and the workers that take from it; patient ones may wait for decoders, and so take one picture at a time.

    The event loop puts jobs into an inbox without ever waiting for a lock; workers sort them into turns. One that finds the
    inbox empty sleeps at it, so who leaves something behind in the turns wakes another by an empty letter.
    """

    def __init__(
        self,
        work: Callable[["_Lane", _Worker], None],
        workers: int,
        batch_size: int,
        dropped: Callable[[int], None],
        *,
        patient: bool,
    ) -> None:
        """dropped: is told how many jobs left that nobody waited for any more."""
        self.batch_size, self.patient = batch_size, patient
        self._dropped = dropped
        self._inbox: SimpleQueue[_Job | None] = SimpleQueue()
        self._turns, self._lock = Turns[_Job](), Lock()
        self._heavy, self._most_heavy = 0, max(1, workers - 1)  # being worked on, and at most
        self._asleep = 0
        self._work = partial(work, self)
        self._ending = False
        self._workers = [_Worker(self._work) for _ in range(workers)]

    def put(self, job: _Job) -> None:
        """A job that waits."""
        self._inbox.put(job)

    def take(self) -> tuple[list[_Job], bool] | None:
        """What is worked on next, up to the cost of a batch, and whether it is heavy; None at the end. Waits for something."""
        while not (taken := self._take()) and not self._ending:
            self._sleep(None)
        return taken

    def take_more(self, most: int, seconds: float) -> list[_Job]:
        """Up to so many light jobs that come within so many seconds."""
        jobs: list[_Job] = []
        closes = time.monotonic() + seconds
        while len(jobs) < most and not self._ending and (left := closes - time.monotonic()) > 0:
            with self._lock:
                self._asleep += 1
            self._sleep(left)
            with self._lock:
                jobs += self._take_light(most - len(jobs))
        return jobs

    def done(self, jobs: Sequence[_Job], seconds: float, *, heavy: bool) -> None:
        """These were worked on for so many seconds: what took long makes the rest of its request heavy."""
        if not (heavy or self.patient):
            return
        with self._lock:
            self._heavy -= heavy
            for job in jobs if seconds > HEAVY_SECONDS else ():
                self._turns.make_heavy(job.answers.client, job.answers)

    def _sleep(self, seconds: float | None) -> None:
        """Waits for a letter, and sorts what came."""
        job = None
        try:
            job = self._inbox.get(timeout=seconds)
        except Empty:
            pass
        finally:
            with self._lock:
                self._asleep -= 1
                self._sort(job)

    def _take(self) -> tuple[list[_Job], bool] | None:
        with self._lock:
            self._sort()
            first = self._take_wanted(heavy_too=self._ending or self._heavy < self._most_heavy)
            if first is None:
                self._asleep += 1
                return None
            job, heavy = first
            self._heavy += heavy
            jobs = [job, *self._take_light(self.batch_size - job.cost)]
            if len(self._turns) and self._asleep:
                self._inbox.put(None)
        return jobs, heavy

    def _take_light(self, most: int) -> list[_Job]:
        """Light jobs that together cost so much, or with the last of them more."""
        jobs: list[_Job] = []
        while most > 0 and (taken := self._take_wanted(heavy_too=False)):
            jobs.append(taken[0])
            most -= taken[0].cost
        return jobs

    def _take_wanted(self, *, heavy_too: bool) -> tuple[_Job, bool] | None:
        """The next job that somebody waits for."""
        while taken := self._turns.take(heavy_too=heavy_too):
            if taken[0].is_wanted:
                return taken
            self._dropped(1)
        return None

    def _sort(self, job: _Job | None = None) -> None:
        """Sorts a job, and what else lies in the inbox, into the turns."""
        try:
            while True:
                if job:
                    self._turns.put(job.answers.client, job.answers, job, heavy=self.patient and job.is_heavy)
                job = self._inbox.get_nowait()
        except Empty:
            return

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
        for worker in self._workers:
            while worker.thread.is_alive():
                self._inbox.put(None)  # one that is awake may take what another sleeps for
                worker.thread.join(0.05)


class Batcher:
    """The queue and its workers; admit and read are for the event loop that it was made on."""

    def __init__(self, reader: Reader, settings: Settings, observer: QueueObserver) -> None:
        self.reader = reader  # may be replaced at any time; what is being read together is read by one
        self._settings = settings
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._places = Places(settings.max_waiting, settings.max_waiting_bytes, observer.count_in_progress)
        self._patient = _Lane(self._work, settings.decoders, 1, self._drop, patient=True)
        self._quick = _Lane(self._work, settings.threads, settings.batch_size, self._drop, patient=False)

    def admit(self, length: int, client: str = "") -> Place:
        """A place for a client's request with a body of so many bytes, to be held while it is read and answered.

        Raises:
            Overloaded: too many requests, or too many bytes of their bodies, are here already.
        """
        return self._places.admit(length, client)

    def is_full(self, length: int, client: str | None) -> bool:
        """Whether there is no place for a request with a body of so many bytes; client: None where it is not known whose."""
        return self._places.is_full(length, client)

    async def read(
        self, requests: Sequence[PictureRequest], gone: Callable[[], Awaitable[object]], client: str = ""
    ) -> list[PictureOutcome]:
        """The digits in a client's pictures, read by the workers; gone returns when nobody waits for them any more.

        Raises:
            DeadlineExceeded: it took longer than the settings allow.
            HungUp: nobody waits.
        """
        return await self._ask(requests, gone, client)

    async def infer(self, request: TensorRequest, gone: Callable[[], Awaitable[object]], client: str = "") -> TensorOutcome:
        """The logits of a client's rows, inferred by the workers.

        Raises:
            DeadlineExceeded, HungUp: as read.
        """
        outcome: TensorOutcome = (await self._ask([request], gone, client))[0]
        return outcome

    async def _ask(
        self, requests: Sequence[PictureRequest | TensorRequest], gone: Callable[[], Awaitable[object]], client: str
    ) -> list[Any]:
        since, longest = time.monotonic(), self._settings.deadline_seconds
        answers = _Answers(len(requests), client, self._loop)
        self._observer.count_queued(len(requests))
        for place, request in enumerate(requests):
            lane = self._patient if isinstance(request, PictureRequest) and request.waits else self._quick
            lane.put(_Job(request, answers, place, since, since + longest))
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
        while taken := lane.take():
            jobs, heavy = taken
            worker.since = time.monotonic()
            try:
                if (window := self._settings.batch_window_ms) and not heavy:
                    jobs += lane.take_more(lane.batch_size - len(jobs), window / 1000)
                self._read_safely(jobs, courtesy, lane)
            finally:
                lane.done(jobs, time.monotonic() - worker.since, heavy=heavy)
            del taken, jobs  # which hold the pictures' bytes, until the next ones come
            worker.since = None

    def _drop(self, count: int) -> None:
        """So many pictures left the queue that nobody waited for any more."""
        self._observer.count_queued(-count)

    def _read_safely(self, jobs: Sequence[_Job], courtesy: Courtesy, lane: _Lane) -> None:
        """As _read; what fails besides the pictures, as where memory is exhausted, is the answer of all of them."""
        try:
            self._read(jobs, courtesy, lane)
        except Exception as error:  # noqa: BLE001  whoever waits is told, and the log
            self._loop.call_soon_threadsafe(_deliver, jobs, [PictureOutcome(error, {}) for _ in jobs])

    def _read(self, jobs: Sequence[_Job], courtesy: Courtesy, lane: _Lane) -> None:
        begun, clock = time.monotonic(), time.perf_counter()
        self._observer.count_queued(-len(jobs))
        wanted = [job for job in jobs if job.is_wanted]
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
                self._patient.put(replace(job, request=job.request.opened(outcome.result.data)))
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


def _deliver(jobs: Sequence[_Job], outcomes: Sequence[PictureOutcome | TensorOutcome]) -> None:
    for job, outcome in zip(jobs, outcomes, strict=True):
        job.answers.take(job.place, outcome)
