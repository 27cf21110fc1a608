"""Keeps the service's worker processes running."""

import logging
import time

from uvicorn.supervisors.multiprocess import Multiprocess, Process

from app.runtime.orphan_processes import reap_orphans

RETRY_SECONDS = 5.0  # after a worker that could not start, or be started, before another is tried

logger = logging.getLogger(__name__)


class Supervisor(Multiprocess):
    """Uvicorn's supervisor, with these differences.

    A worker that cannot start, for example while a disk is full, ends the service only if none could when it was last tried.
    If the system can start no process at the moment, for want of memory, processes or files, another try is made later.
    Checking a worker never blocks: uvicorn waits for the answer of a worker that has died meanwhile, and neither replaces
    others nor reacts to signals until the time limit is over. At the end only the workers keep the port open, each until its
    drain is over: held open here, it would accept connections that nobody answers. And no worker outlives a supervisor that
    fails.
    """

    failed = False  # whether no worker could start

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._asked: dict[Process, float] = {}  # monotonic: since when a worker owes an answer
        self._retry: dict[Process, float] = {}  # monotonic: when to replace a worker that could not start, or be replaced
        self._started: set[Process] = set()  # workers that have said that they serve
        self._failing: set[Process] = set()  # workers that could not start, and those in their places until they serve

    def run(self) -> None:
        """Serves until it is told to end."""
        try:
            super().run()
        except BaseException:
            self.terminate_all()
            self.join_all()
            raise

    def terminate_all(self) -> None:
        """Tells the workers to end, and closes the port here."""
        super().terminate_all()
        for each in self.sockets:
            each.close()

    def keep_subprocess_alive(self) -> None:
        """Replaces workers that have died or hang; as process 1, reaps the decoders that those leave behind."""
        reap_orphans({process.pid for process in self.processes})
        for noted in (self._started, self._failing):
            noted.intersection_update(self.processes)
        lives = [self._lives(process) for process in self.processes]  # all, before one is judged by the others
        for place, process in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if lives[place] or not self._may_replace(process):
                continue
            if process.process.is_alive():
                logger.error("worker process %s hangs; another replaces it", process.pid)
                process.kill()
            process.join()
            if (replacement := self._start_worker()) is None:
                self._retry[process] = time.monotonic() + RETRY_SECONDS
                continue
            logger.warning("worker process %s has ended; another replaces it", process.pid)
            self.processes[place] = replacement
            self._forget(process, replacement)

    def handle_ttin(self) -> None:
        """Adds a worker, if the system can start one."""
        if worker := self._start_worker():
            self.processes_num += 1
            self.processes.append(worker)

    def restart_all(self) -> None:
        """Replaces all workers, one after the other, as far as the system can start others."""
        for place, process in enumerate(self.processes):
            if self.should_exit.is_set() or (replacement := self._start_worker()) is None:
                return
            if not replacement.wait_until_ready(self.config.timeout_worker_healthcheck, self.should_exit):
                replacement.kill()
                replacement.join()
                if not self.should_exit.is_set():
                    logger.error("worker process %s was not ready in time; %s stays", replacement.pid, process.pid)
                return
            process.terminate()
            process.join()
            self.processes[place] = replacement
            self._forget(process, replacement)

    def _start_worker(self) -> Process | None:
        """A worker that is starting; None if the system can start none now."""
        try:
            worker = Process(self.config, self.sockets)
            worker.start()
        except OSError as error:
            _tell(error)
            return None
        return worker

    def _forget(self, process: Process, replacement: Process) -> None:
        for noted in (self._asked, self._retry):
            noted.pop(process, None)
        if process in self._failing:
            self._failing.add(replacement)

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
                if process.parent_conn.recv():
                    self._started.add(process)
                    self._failing.discard(process)
                del self._asked[process]
                return True
        except (OSError, EOFError):
            return False
        return now - self._asked[process] < self.config.timeout_worker_healthcheck

    def _may_replace(self, process: Process) -> bool:
        """Whether a worker is to be replaced now; ends the service if it could not start, like all others when last tried.

        One that never served could not start, whatever its exit status: it may have been wrong settings. Without a pause, each
        try would take CPU from the workers that serve.
        """
        now = time.monotonic()
        if process.exitcode and process not in self._started:
            if process not in self._retry:
                logger.error("worker process %s could not start", process.pid)
                self._retry[process] = now + RETRY_SECONDS
                self._failing.add(process)
            if self._failing.issuperset(self.processes):
                self.failed = True
                self.should_exit.set()
                return False
        return now >= self._retry.get(process, now)


def _tell(error: OSError) -> None:
    logger.error("the system cannot start a worker process now: %s", error)
