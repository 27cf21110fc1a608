"""Answers the pieces of a bulk run in processes on this machine, one per CPU."""

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

LOOK_SECONDS = 0.5  # between two checks of the progress


def answer_in_processes(task: Task, pieces: Sequence[Piece], tick: Callable[[], None], workers: int | None = None) -> None:
    """Answers every piece. tick: called about every LOOK_SECONDS, to show progress.

    Raises:
        BulkError: a process ended before its work was done. Its committed parts are kept.
    """
    spawn = get_context("spawn")  # forks would share the threads' state of onnxruntime and OpenCV
    queue: Queue[Piece | None] = spawn.Queue()
    processes = [spawn.Process(target=_work, args=(task, queue)) for _ in range(min(workers or available_cpus(), len(pieces)))]
    for item in (*pieces, *[None] * len(processes)):
        queue.put(item)
    with _started(processes, queue):
        while running := [process.sentinel for process in processes if process.is_alive()]:
            wait(running, LOOK_SECONDS)
            tick()
            _check(processes)
        _check(processes)  # a process may have ended since the last check
    tick()


def _check(processes: Sequence[SpawnProcess]) -> None:
    if any(process.exitcode for process in processes):
        raise BulkError("A process ended before its work was done; run the same command again to continue.")


@contextmanager
def _started(processes: Sequence[SpawnProcess], queue: "Queue[Piece | None]") -> Iterator[None]:
    """Runs the processes and ends all of them with the block, whatever happens."""
    for process in processes:
        process.start()
    try:
        yield
    finally:
        queue.cancel_join_thread()  # this process would otherwise not exit until the queue is empty
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def _work(task: Task, pieces: "Queue[Piece | None]") -> None:
    """The main function of a process: answers pieces until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent
    watch_parent(lambda: os._exit(1))  # without its parent it would wait for pieces forever
    try:
        reader = task.load()
        while (piece := pieces.get()) is not None:
            task.answer(reader, piece)
    except (NumeralError, OSError) as error:
        end_process(f"numeral: {error}")
