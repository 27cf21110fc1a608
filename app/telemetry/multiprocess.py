"""The series of several workers, in prometheus_client's files in a folder that they share.

A worker writes into files of the lowest number that no living worker has, and holds a lock on that number, which ends with
it. So a worker that takes the place of a dead one counts on where that one stopped, nothing is counted backwards, and
the files do not become more as workers die.
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

FILES = ("counter", "histogram", "gauge_livesum", "gauge_livemax")  # of prometheus_client, for what app.metrics uses
FILE_BYTES = 2**20  # of each; some 200 bytes a series


class SharedMetrics(Collector):
    """A worker's place in the folder, and what all workers have counted in it.

    Of one process there is one at most: from then on every series of prometheus_client's is kept in the folder.
    """

    def __init__(self, folder: Path) -> None:
        """Takes a place.

        Raises:
            StartupError: the folder cannot be written to, or is full.
        """
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _take_place(folder)
            place = _place(Path(self._lock.name))
            mark_process_dead(place, str(folder))  # the gauges of who had it before
            for name in FILES:
                _allocate(folder / f"{name}_{place}.db")
        except OSError as error:
            raise StartupError(f"The workers' metrics cannot be kept in {folder}: {error}") from error
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
        values.ValueClass = values.MultiProcessValue(lambda: place)

    def close(self) -> None:
        """Gives the place up; series that are made from now on are this process's own again."""
        self._lock.close()
        del os.environ["PROMETHEUS_MULTIPROC_DIR"]
        values.ValueClass = values.MutexValue

    def collect(self) -> Iterable[Metric]:
        """The series of all workers, the dead ones' gauges excepted."""
        for lock in self._folder.glob("*.lock"):
            if lock.name != Path(self._lock.name).name:
                self._forget_if_dead(lock)
        families: Iterable[Metric] = MultiProcessCollector(None, str(self._folder)).collect()
        return families

    def _forget_if_dead(self, path: Path) -> None:
        with path.open("a") as lock, suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mark_process_dead(_place(path), str(self._folder))


def _take_place(folder: Path) -> IO[str]:
    """The locked file of the lowest number that is free."""
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
    """Takes the file's space now: writing into a mapped file whose disk is full would end the process."""
    with path.open("ab") as file:
        file.write(bytes(max(0, FILE_BYTES - file.tell())))
