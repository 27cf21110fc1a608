"""Worker threads take the jobs that wait in turns, and none sleeps while a job waits that it could do."""

import asyncio
import time
from queue import Empty

import pytest

from app.reading.requests import PictureRequest
from app.runtime.answers import Answers
from app.runtime.worker_pool import Job, WorkerPool


def jobs(count: int) -> list[Job]:
    """Of a request each."""
    loop = asyncio.new_event_loop()
    now = time.monotonic()
    made = [Job(Answers([PictureRequest(lambda: b"")], "a", loop), 0, now, now + 100) for _ in range(count)]
    loop.close()
    return made


def test_a_worker_whose_batch_fills_while_it_waits_wakes_another_for_what_is_left() -> None:
    """Which of two workers that sleep gets a job is chance, so here the test stands in for both."""
    pool = WorkerPool(lambda *_: None, 0, 2, lambda _: None, patience=0)
    inbox = pool._inbox  # noqa: SLF001  where a worker that sleeps is woken
    first, *others = jobs(4)
    pool.put(first)
    assert pool.take() == ([first], False)
    pool._asleep = 1  # noqa: SLF001  the other one

    for each in others:
        pool.put(each)
    assert pool.take_more(1, 60) == others[:1]

    assert inbox.get_nowait() is None
    assert pool.take() == (others[1:], False)
    with pytest.raises(Empty):
        inbox.get_nowait()
