"""Answers the pieces of a bulk run by processes of this machine, one a CPU.

Each process decodes by itself, within a limit on memory, and notes which row it is working on. A picture that takes too long or
ends its process becomes a row with a code, and another process continues with the rest.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import Queue
from pathlib import Path
from sys import exit as end_process
from typing import Any

from app.bulk import checkpoint
from app.bulk.parquet_rows import Piece
from app.bulk.run import Task
from app.errors import BulkError, DecoderCrashed, DecodingTimedOut, NumeralError
from app.runtime.process import watch_parent
from app.settings import MIB, available_cpus

LOOK_SECONDS = 0.5  # between two looks at what is done
GRACE_SECONDS = 10.0  # in addition to the time for decoding one picture, for the pictures that were opened with it
ROOM = 512 * MIB  # bytes that a process may map beyond the memory for decoding one picture
FULL_DISK = 28  # exit code of a process that finds no room: ENOSPC's number
NOWHERE = -1.0  # in the place of a piece or a row

Item = tuple[int, Piece] | None  # a piece and its place among all of them; None is the end


@dataclass
class _Worker:
    """A process and its notes: the place of the piece that it answers, the row that it works on, and since when."""

    process: SpawnProcess
    notes: Any = field(repr=False)

    @property
    def row(self) -> int | None:
        """The row that it works on."""
        return None if self.notes[1] == NOWHERE else int(self.notes[1])

    def is_overdue(self, seconds: float) -> bool:
        """Whether it has worked on the same picture for longer than this."""
        return self.row is not None and time.monotonic() - self.notes[2] > seconds


def answer_in_processes(task: Task, pieces: Sequence[Piece], tick: Callable[[], None], workers: int | None = None) -> None:
    """Answers every piece. tick: called about every LOOK_SECONDS, to show progress.

    Raises:
        BulkError: a process ended before its work was done, and no picture did that; what it has committed stays.
    """
    spawn = get_context("spawn")  # a fork would share onnxruntime's and OpenCV's threads
    queue: Queue[Item] = spawn.Queue()
    count = min(workers or available_cpus(), len(pieces))
    for item in (*enumerate(pieces), *[None] * count):
        queue.put(item)

    def start(first: Item = None) -> _Worker:
        notes = spawn.RawArray("d", [NOWHERE, NOWHERE, 0.0])
        worker = _Worker(spawn.Process(target=_work, args=(task, queue, notes, first)), notes)
        worker.process.start()
        return worker

    with _ended(queue) as running:
        running += [start() for _ in range(count)]
        done = False
        while not done:
            alive = [worker.process.sentinel for worker in running if worker.process.is_alive()]
            wait(alive, LOOK_SECONDS)
            tick()
            done = not alive
            for place, worker in enumerate(running):
                if code := _check(worker, task):
                    done = False
                    checkpoint.refuse(worker.row or 0, code, Path(task.work))
                    number = int(worker.notes[0])
                    running[place] = start((number, pieces[number]))
    tick()


def _check(worker: _Worker, task: Task) -> str | None:
    """The code for a picture that ended its process, or takes so long that the process is ended now; None if all is well.

    Raises:
        BulkError: the process ended for another reason, for example a full disk.
    """
    process = worker.process
    if process.is_alive() and worker.is_overdue(task.settings.decoder_seconds + GRACE_SECONDS):
        process.kill()
        process.join()
        return DecodingTimedOut.code
    if not process.exitcode:  # none yet, or it has done its work
        return None
    if process.exitcode == FULL_DISK:
        raise checkpoint.full_disk(Path(task.work))
    if worker.row is None:
        raise BulkError("A process ended before its work was done; the same command goes on from here.")
    return DecoderCrashed.code


@contextmanager
def _ended(queue: "Queue[Item]") -> Iterator[list[_Worker]]:
    """A list of processes; those that still run at the end are ended."""
    running: list[_Worker] = []
    try:
        yield running
    finally:
        queue.cancel_join_thread()  # otherwise this process could not end before somebody took what is left
        for worker in running:
            worker.process.terminate()
        for worker in running:
            worker.process.join()


def _work(task: Task, pieces: "Queue[Item]", notes: Any, first: Item) -> None:
    """Runs in a worker process: answers pieces until there are no more. first: a piece that another process did not finish."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent process
    watch_parent(lambda: os._exit(1))  # otherwise it would wait for pieces for ever

    def note(row: int | None) -> None:
        notes[2] = time.monotonic()
        notes[1] = NOWHERE if row is None else row

    try:
        reader = task.load()
        _limit_memory(task)
        item = first or pieces.get()
        while item is not None:
            notes[0] = item[0]
            task.answer(reader, item[1], note)
            item = pieces.get()
    except (NumeralError, OSError) as error:
        if isinstance(error, OSError) and checkpoint.is_full(error):
            end_process(FULL_DISK)  # the parent process says so in its last line
        end_process(f"numeral: {error}")


def _limit_memory(task: Task) -> None:
    """Refuses the decoder any memory beyond the limit; the picture then becomes a row with that code."""
    if sys.platform == "linux":
        from app.runtime.confinement import limit_memory  # noqa: PLC0415  works on Linux only

        limit_memory(task.settings.decoder_bytes + ROOM)
