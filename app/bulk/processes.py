"""Answers the pieces of a bulk run by processes of this machine, one a CPU."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import Queue
from sys import exit as end_process

from app.bulk.parquet_rows import Piece
from app.bulk.run import Task
from app.errors import BulkError, NumeralError
from app.runtime.process import watch_parent
from app.settings import available_cpus

LOOK_SECONDS = 0.5  # between two looks at what is done


def answer_in_processes(task: Task, pieces: Sequence[Piece], tick: Callable[[], None], workers: int | None = None) -> None:
    """Has every piece answered; tick is called now and then.

    Raises:
        BulkError: a process ended before its work was done; what it has committed stays.
    """
    spawn = get_context("spawn")  # a fork would share onnxruntime's and OpenCV's threads
    queue: Queue[Piece | None] = spawn.Queue()
    processes = [spawn.Process(target=_work, args=(task, queue)) for _ in range(min(workers or available_cpus(), len(pieces)))]
    for item in (*pieces, *[None] * len(processes)):
        queue.put(item)
    with _started(processes, queue):
        while running := [process.sentinel for process in processes if process.is_alive()]:
            wait(running, LOOK_SECONDS)
            tick()
            _check(processes)
        _check(processes)  # they may have ended since the last look
    tick()


def _check(processes: Sequence[SpawnProcess]) -> None:
    if any(process.exitcode for process in processes):
        raise BulkError("A process ended before its work was done; the same command goes on from here.")


@contextmanager
def _started(processes: Sequence[SpawnProcess], queue: "Queue[Piece | None]") -> Iterator[None]:
    """Runs the processes; none is left behind, whatever happens."""
    for process in processes:
        process.start()
    try:
        yield
    finally:
        queue.cancel_join_thread()  # nobody takes what is left, and the end of this process would wait for that
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def _work(task: Task, pieces: "Queue[Piece | None]") -> None:
    """A process's life: pieces until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that started it
    watch_parent(lambda: os._exit(1))  # it would wait for pieces for ever
    try:
        reader = task.load()
        while (piece := pieces.get()) is not None:
            task.answer(reader, piece)
    except (NumeralError, OSError) as error:
        end_process(f"numeral: {error}")
