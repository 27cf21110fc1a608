"""Worker threads, and the jobs that wait for them in turns."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock, Thread

from app.reading.requests import PictureRequest, TensorRequest
from app.runtime.answers import Answers
from app.runtime.fair_queue import FairQueue

logger = logging.getLogger(__name__)

STUCK_SECONDS = 60.0  # on the same pictures, beyond what decoding may take, after which a worker counts as dead
HEAVY_SECONDS = 0.25  # that a picture may take before the others of its request count as heavy, too


@dataclass(eq=False)
class Job:
    """A picture or tensor of a request.

    place: among the request's answers; since, until: when the request began and its deadline, by the monotonic clock.
    """

    answers: Answers
    place: int
    since: float
    until: float

    @property
    def request(self) -> PictureRequest | TensorRequest:
        """What is asked; it holds no bytes once nobody waits for it."""
        return self.answers.asked[self.place]

    @property
    def is_wanted(self) -> bool:
        """Whether somebody still waits for it, and its deadline has not passed."""
        return not self.answers.over.done() and time.monotonic() < self.until

    @property
    def is_heavy(self) -> bool:
        """Whether it is expected to take long."""
        request = self.request
        return isinstance(request, PictureRequest) and request.heavy


class Worker:
    """A thread that reads. since: when it began its current pictures, by the monotonic clock; None while it is idle."""

    def __init__(self, work: Callable[["Worker"], None], patience: float) -> None:
        """patience: seconds that it may have to wait for a decoder."""
        self.since: float | None = None
        self._patience = patience
        self.thread = Thread(target=work, args=(self,), daemon=True)
        self.thread.start()

    @property
    def lives(self) -> bool:
        """Whether it runs, and is not stuck on the same pictures."""
        since = self.since
        return self.thread.is_alive() and (since is None or time.monotonic() - since < self._patience + STUCK_SECONDS)


class WorkerPool:
    """Waiting jobs, and the threads that work on them.

    Patient workers may wait for decoders, so each takes one picture at a time. The event loop puts jobs into an inbox without
    ever waiting for a lock, and workers sort them into turns. A worker that finds nothing to do sleeps at the inbox. A worker
    that leaves jobs behind in the turns therefore wakes another by putting None there.
    """

    def __init__(
        self,
        work: Callable[["WorkerPool", Worker], None],
        workers: int,
        batch_size: int,
        dropped: Callable[[int], None],
        *,
        patience: float,
    ) -> None:
        """work: runs in each thread; dropped: is told how many jobs were dropped because nobody waited for them any more.

        patience: seconds that a decoder may take for a picture; 0 if workers do not wait for decoders.
        """
        self.batch_size, self.patient, self._patience = batch_size, patience > 0, patience
        self._dropped = dropped
        self._inbox: SimpleQueue[Job | None] = SimpleQueue()
        self._turns, self._lock = FairQueue[Job](), Lock()
        self._heavy, self._most_heavy = 0, max(1, workers - 1)  # being worked on, and at most
        self._asleep = 0
        self._work = partial(work, self)
        self._ending = False
        self._workers = [Worker(self._work, patience) for _ in range(workers)]

    def put(self, job: Job) -> None:
        """Adds a job."""
        self._inbox.put(job)

    def take(self) -> tuple[list[Job], bool] | None:
        """Waits for the next jobs, up to a batch, and returns whether they are heavy; None when the pool ends."""
        while not (taken := self._take()) and not self._ending:
            self._sleep(None)
        return taken

    def take_more(self, most: int, seconds: float) -> list[Job]:
        """Waits up to the given seconds for more light jobs."""
        jobs: list[Job] = []
        closes = time.monotonic() + seconds
        while len(jobs) < most and not self._ending and (left := closes - time.monotonic()) > 0:
            with self._lock:
                self._asleep += 1
            self._sleep(left)
            with self._lock:
                jobs += self._take_light(most - len(jobs))
        with self._lock:
            self._wake_another()
        return jobs

    def done(self, jobs: Sequence[Job], seconds: float, *, heavy: bool) -> None:
        """Notes how long these jobs took; after one that took long, the rest of its request counts as heavy."""
        if not (heavy or self.patient):
            return
        with self._lock:
            self._heavy -= heavy
            for job in jobs if seconds > HEAVY_SECONDS else ():
                self._turns.make_heavy(job.answers.client, job.answers)

    def _sleep(self, seconds: float | None) -> None:
        """Waits at the inbox and sorts what arrives."""
        job = None
        try:
            job = self._inbox.get(timeout=seconds)
        except Empty:
            pass
        finally:
            with self._lock:
                self._asleep -= 1
                self._sort(job)

    def _take(self) -> tuple[list[Job], bool] | None:
        with self._lock:
            self._sort()
            first = self._take_wanted(heavy_too=self._ending or self._heavy < self._most_heavy)
            if first is None:
                self._asleep += 1
                return None
            job, heavy = first
            self._heavy += heavy
            jobs = [job, *self._take_light(self.batch_size - 1)]
            self._wake_another()
        return jobs, heavy

    def _wake_another(self) -> None:
        """Has a worker that sleeps take what is left in the turns."""
        if len(self._turns) and self._asleep:
            self._inbox.put(None)

    def _take_light(self, most: int) -> list[Job]:
        """So many light jobs, or as many as there are."""
        jobs: list[Job] = []
        while len(jobs) < most and (taken := self._take_wanted(heavy_too=False)):
            jobs.append(taken[0])
        return jobs

    def _take_wanted(self, *, heavy_too: bool) -> tuple[Job, bool] | None:
        """The next job that somebody still waits for."""
        while taken := self._turns.take(heavy_too=heavy_too):
            if taken[0].is_wanted:
                return taken
            self._dropped(1)
        return None

    def _sort(self, job: Job | None = None) -> None:
        """Sorts a job and everything else in the inbox into the turns."""
        try:
            while True:
                if job:
                    self._turns.put(job.answers.client, job.answers, job, heavy=self.patient and job.is_heavy)
                job = self._inbox.get_nowait()
        except Empty:
            return

    @property
    def lives(self) -> bool:
        """Whether at least one worker lives."""
        return any(worker.lives for worker in self._workers)

    def mend(self) -> None:
        """Replaces workers that have died."""
        for place, worker in enumerate(self._workers):
            if not (worker.thread.is_alive() or self._ending):
                logger.error("a worker thread has died; another takes its place")
                self._workers[place] = Worker(self._work, self._patience)

    def stop(self) -> None:
        """Finishes the waiting jobs and ends the workers."""
        self._ending = True
        for worker in self._workers:
            while worker.thread.is_alive():
                self._inbox.put(None)  # one that is awake may take what another sleeps for
                worker.thread.join(0.05)
