"""Keeps the service's worker processes running."""

import logging
import time

from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess, Process

RETRY_SECONDS = 5.0  # after a worker that could not start, before another is tried

logger = logging.getLogger(__name__)


class Supervisor(Multiprocess):
    """Uvicorn's supervisor, with two differences.

    A worker that cannot start, for example while a disk is full, ends the service only if no other worker lives. And checking a
    worker never blocks: uvicorn waits for the answer of a worker that has died meanwhile, and neither replaces others nor
    reacts to signals until the time limit is over.
    """

    failed = False  # whether no worker could start

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._asked: dict[Process, float] = {}  # monotonic: since when a worker owes an answer
        self._retry: dict[Process, float] = {}  # monotonic: when to replace a worker that could not start

    def keep_subprocess_alive(self) -> None:
        """Replaces workers that have died or hang."""
        for place, process in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if self._lives(process) or not self._may_replace(process):
                continue
            if process.process.is_alive():
                logger.error("worker process %s hangs; another replaces it", process.pid)
                process.kill()
            process.join()
            for noted in (self._asked, self._retry):
                noted.pop(process, None)
            logger.warning("worker process %s has ended; another replaces it", process.pid)
            self.processes[place] = Process(self.config, self.sockets)
            self.processes[place].start()

    def _lives(self, process: Process) -> bool:
        """Whether a worker runs and has answered within the time limit."""
        if not process.process.is_alive():
            return False
        now = time.monotonic()
        try:
            if process not in self._asked:
                process.parent_conn.send(b"ping")
                self._asked[process] = now
            if process.parent_conn.poll(0):
                process.parent_conn.recv()
                del self._asked[process]
                return True
        except (OSError, EOFError):
            return False
        return now - self._asked[process] < self.config.timeout_worker_healthcheck

    def _may_replace(self, process: Process) -> bool:
        """Whether a dead worker is to be replaced now; ends the service if it could not start and no other worker lives."""
        if process.exitcode != STARTUP_FAILURE:
            return True
        now = time.monotonic()
        if process not in self._retry:
            logger.error("worker process %s could not start", process.pid)
            self._retry[process] = now + RETRY_SECONDS
        if not any(other.process.is_alive() for other in self.processes):
            self.failed = True
            self.should_exit.set()
            return False
        return now >= self._retry[process]
