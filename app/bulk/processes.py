"""Answers the pieces of a bulk run by processes of this machine, one a CPU.

Each process decodes by itself, within a limit on memory, and notes which row it is working on. A picture that takes too long or
ends its process becomes a row with a code, and another process continues with the rest.

Each process asks for pieces through a pipe of its own. A queue for all would need named semaphores and a thread, which may be
removing one of them when the interpreter ends; multiprocessing's resource tracker would then warn of it after the last line.
"""

import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
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
NOWHERE = -1.0  # in the place of a row
ASKS = b"next"  # what a process sends for another piece; anything else is why it ends


@dataclass
class _Worker:
    """A process, the piece that it answers, and its notes: the row that it works on, and since when."""

    process: SpawnProcess
    pipe: Connection = field(repr=False)
    notes: Any = field(repr=False)
    piece: Piece | None = None

    @property
    def row(self) -> int | None:
        """The row that it works on."""
        return None if self.notes[0] == NOWHERE else int(self.notes[0])

    def is_overdue(self, seconds: float) -> bool:
        """Whether it has worked on the same picture for longer than this."""
        return self.row is not None and time.monotonic() - self.notes[1] > seconds

    def asks(self) -> bool:
        """Whether it asks for a piece; if not, it has ended. For a pipe that is ready.

        Raises:
            BulkError: the run cannot go on, for the reason that the process has sent.
        """
        try:
            told = self.pipe.recv_bytes()
        except (EOFError, ConnectionError):
            return False
        if told != ASKS:
            raise BulkError(told.decode())
        return True

    def give(self, piece: Piece | None) -> None:
        """Gives it a piece, or None if there are no more."""
        self.piece = piece
        with suppress(ConnectionError):  # it has ended since, which the next look at its pipe shows
            self.pipe.send(piece)


def answer_in_processes(task: Task, pieces: Sequence[Piece], tick: Callable[[], None], workers: int | None = None) -> None:
    """Answers every piece. tick: called about every LOOK_SECONDS, to show progress.

    Raises:
        BulkError: rows of the input cannot be read, or a process ended before its work was done, and no picture did that;
            what was committed stays.
    """
    remaining, looked = deque(pieces), time.monotonic()
    with _ended() as running:
        running += [_start(task) for _ in range(min(workers or available_cpus(), len(pieces)))]
        while running:
            ready = wait([worker.pipe for worker in running], LOOK_SECONDS)
            for worker in tuple(running):
                if worker.pipe in ready and worker.asks():
                    worker.give(remaining.popleft() if remaining else None)
                elif (ended := worker.pipe in ready) or worker.is_overdue(task.settings.decoder_seconds + GRACE_SECONDS):
                    running.remove(worker)
                    if not _is_done(worker, task, overdue=not ended):
                        remaining.extendleft([worker.piece] if worker.piece else [])
                        running.append(_start(task))
            if time.monotonic() - looked >= LOOK_SECONDS:
                tick()
                looked = time.monotonic()
    tick()


def _start(task: Task) -> _Worker:
    spawn = get_context("spawn")  # a fork would share onnxruntime's and OpenCV's threads
    pipe, far_end = spawn.Pipe()
    notes = spawn.RawArray("d", [NOWHERE, 0.0])
    process = spawn.Process(target=_work, args=(task, far_end, notes))
    process.start()
    far_end.close()  # the process has the only one now, so the pipe ends with it
    return _Worker(process, pipe, notes)


def _is_done(worker: _Worker, task: Task, *, overdue: bool) -> bool:
    """Whether a process ended because there was no more work. One that is overdue is ended now.

    The picture that ended it, or took too long, is refused from now on.

    Raises:
        BulkError: the process ended for another reason, for example a full disk.
    """
    if overdue:
        worker.process.kill()
    worker.process.join()
    if not worker.process.exitcode:
        return True
    if worker.process.exitcode == FULL_DISK:
        raise checkpoint.full_disk(Path(task.work))
    if worker.row is not None:
        checkpoint.refuse(worker.row, DecodingTimedOut.code if overdue else DecoderCrashed.code, Path(task.work))
    elif not overdue:  # else it was done with the picture after all
        raise BulkError("A process ended before its work was done; the same command goes on from here.")
    return False


@contextmanager
def _ended() -> Iterator[list[_Worker]]:
    """A list of processes; those that still run at the end are ended."""
    running: list[_Worker] = []
    try:
        yield running
    finally:
        for worker in running:
            worker.process.terminate()
        for worker in running:
            worker.process.join()


def _work(task: Task, pipe: Connection, notes: Any) -> None:
    """Runs in a worker process: answers pieces until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent process
    watch_parent(lambda: os._exit(1))  # otherwise it would first answer the piece that it has

    def note(row: int | None) -> None:
        notes[1] = time.monotonic()
        notes[0] = NOWHERE if row is None else row

    try:
        reader = task.load()
        _limit_memory(task)
        for piece in _pieces(pipe):
            task.answer(reader, piece, note)
    except BulkError as error:
        pipe.send_bytes(str(error).encode())  # the parent process says so in its last line
    except (NumeralError, OSError) as error:
        if isinstance(error, OSError) and checkpoint.is_full(error):
            end_process(FULL_DISK)  # the parent process says so in its last line
        end_process(f"numeral: {error}")


def _pieces(pipe: Connection) -> Iterator[Piece]:
    """Asks for pieces until there are no more, or nobody answers because the parent process is gone."""
    with suppress(EOFError, ConnectionError):
        while True:
            pipe.send_bytes(ASKS)
            piece: Piece | None = pipe.recv()
            if piece is None:
                return
            yield piece


def _limit_memory(task: Task) -> None:
    """Refuses the decoder any memory beyond the limit; the picture then becomes a row with that code."""
    if sys.platform == "linux":
        from app.runtime.confinement import limit_memory  # noqa: PLC0415  works on Linux only

        limit_memory(task.settings.decoder_bytes + ROOM)
