"""Checks that the parts of a process live, mends them, and ends the process if that does not help."""

import logging
import os
import signal
import threading
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

logger = logging.getLogger(__name__)

PERIOD = 0.5  # seconds between two checks
MOMENT = 2.0  # seconds that a part may be dead before it is missed: it is replaced within one, or started for the next picture
HOPELESS_SECONDS = 30.0  # after which a part that is still dead counts as beyond recovery
LATE = 10.0  # seconds between two checks, after which the process itself must have been stopped
MISSED_CHECKS = 60  # on end, by an event loop that counts as dead; half a minute


@runtime_checkable
class Watched(Protocol):
    """A part of the process that the watchdog checks."""

    @property
    def lives(self) -> bool:
        """Whether it can do its work."""

    def mend(self) -> None:
        """Replaces whatever has died in it."""


class Watchdog:
    """Watches in its own thread until it is stopped."""

    def __init__(self, watched: Mapping[str, Watched], end: Callable[[], object], patience: float = HOPELESS_SECONDS) -> None:
        """watched: the parts by the names that operators know; end: ends the process, called at most once."""
        self._watched, self._end, self._patience = watched, end, patience
        self._seen = dict.fromkeys(watched, time.monotonic())  # when each part was last seen alive
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def missing(self) -> str | None:
        """The name of a part that has been dead for more than a moment, or None."""
        return self._dead_for(MOMENT)

    def stop(self) -> None:
        """Stops watching and waits for the thread to end."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._wait():
            self._look()  # mending may take long
            self._mend()
            if name := self._dead_for(self._patience):
                logger.critical("%s: dead for %d s; the process ends", name, self._patience)
                self._end()
                return

    def _wait(self) -> bool:
        """Waits for the next check; tells whether there is none. A process that was stopped has its parts judged anew."""
        began = time.monotonic()
        ends = self._stopped.wait(PERIOD)
        if time.monotonic() - began > LATE:
            self._seen = dict.fromkeys(self._watched, time.monotonic())
        return ends

    def _dead_for(self, seconds: float) -> str | None:
        """The name of a part that was last seen alive more than so many seconds ago, or None."""
        self._look()
        now = time.monotonic()
        return next((name for name, seen in self._seen.items() if now - seen > seconds), None)

    def _look(self) -> None:
        for name, each in self._watched.items():
            try:
                if each.lives:
                    self._seen[name] = time.monotonic()
            except Exception:
                logger.exception("%s: cannot tell whether it lives", name)

    def _mend(self) -> None:
        for name, each in self._watched.items():
            try:
                each.mend()
            except Exception:
                logger.exception("%s: mending failed", name)


class LoopHeartbeat:
    """An event loop as a part that is watched: it counts as dead once it has run no callback during many checks on end.

    Checks are counted, and not seconds, so that a process that was itself stopped, or slept with its machine, goes on.
    """

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._is_asked = False
        self._missed = 0

    @property
    def lives(self) -> bool:
        """Whether it has run a callback during the last checks."""
        return self._missed < MISSED_CHECKS

    def mend(self) -> None:
        """Asks the loop to run a callback, or counts that it has not run the last one; nothing else can be done for it."""
        if self._is_asked:
            self._missed += 1
        else:
            self._is_asked = True
            self._loop.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        self._is_asked, self._missed = False, 0


def end_process(seconds: float) -> None:
    """Ends the process as SIGTERM does, and by force after the given seconds, in case a thread that hangs delays the end.

    After a forced end the exit status is 1, so that a supervisor that checks it starts another process.
    """
    timer = threading.Timer(seconds, os._exit, (1,))
    timer.daemon = True
    timer.start()
    os.kill(os.getpid(), signal.SIGTERM)
