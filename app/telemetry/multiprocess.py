"""Keeps the series of several workers in prometheus_client's files in a shared folder.

A worker takes the lowest number that no living worker has, writes into the files of that number, and holds a lock on it until
it ends. A worker that replaces a dead one therefore continues its counts: no counter goes backwards, and the number of files
does not grow as workers die.
"""

import fcntl
import os
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import IO

from prometheus_client import Metric, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from app.errors import StartupError

FILES = (
    "counter",
    "histogram",
    "gauge_livesum",
    "gauge_livemax",
)  # of prometheus_client, for the types that app.telemetry.metrics uses
FILE_BYTES = 2**20  # per file; a series takes about 200 bytes


class SharedMetrics(Collector):
    """A worker's place in the folder, and the counts of all workers.

    Make at most one per process: from then on, every series of prometheus_client is kept in the folder.
    """

    def __init__(self, folder: Path) -> None:
        """Takes a place in the folder.

        Raises:
            StartupError: the folder is not writable, or its disk is full.
        """
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _take_place(folder)
            place = _place(Path(self._lock.name))
            mark_process_dead(place, str(folder))  # removes the gauges of the previous owner
            for name in FILES:
                _allocate(folder / f"{name}_{place}.db")
        except OSError as error:
            raise StartupError(f"The metrics of the workers cannot be written to {folder}: {error}") from error
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
        values.ValueClass = values.MultiProcessValue(lambda: place)

    def close(self) -> None:
        """Gives the place up. Series made from now on are kept in memory again."""
        self._lock.close()
        del os.environ["PROMETHEUS_MULTIPROC_DIR"]
        values.ValueClass = values.MutexValue

    def collect(self) -> Iterable[Metric]:
        """The series of all workers, without the gauges of dead ones."""
        for lock in self._folder.glob("*.lock"):
            if lock.name != Path(self._lock.name).name:
                self._forget_if_dead(lock)
        families: Iterable[Metric] = MultiProcessCollector(None, str(self._folder)).collect()
        return families

    def _forget_if_dead(self, path: Path) -> None:
        with suppress(OSError), path.open("a") as lock:  # it is locked, or cannot be opened on a full disk
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mark_process_dead(_place(path), str(self._folder))


def _take_place(folder: Path) -> IO[str]:
    """Locks and returns the file of the lowest free number."""
    for number in count():
        lock = (folder / f"{number}.lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            return lock
    raise AssertionError


def _place(lock: Path) -> int:
    return int(lock.stem)


def _allocate(path: Path) -> None:
    """Allocates the file now: writing to a mapped file on a full disk would kill the process."""
    with path.open("ab") as file:
        file.write(bytes(max(0, FILE_BYTES - file.tell())))
