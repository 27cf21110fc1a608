"""Checks that the parts of a process live, mends them, and ends the process if that does not help."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

logger = logging.getLogger(__name__)

PERIOD = 0.5  # seconds between two checks
HOPELESS_SECONDS = 30.0  # after which a part that is still dead counts as beyond recovery


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
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def missing(self) -> str | None:
        """The name of a part that does not live, or None."""
        return next((name for name, each in self._watched.items() if not each.lives), None)

    def stop(self) -> None:
        """Stops watching and waits for the thread to end."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        well = time.monotonic()
        while not self._stopped.wait(PERIOD):
            self._mend()
            missing, now = self.missing(), time.monotonic()
            if missing is None:
                well = now
            elif now - well > self._patience:
                logger.critical("%s: none lives, and none can be started; the process ends", missing)
                self._end()
                return

    def _mend(self) -> None:
        for name, each in self._watched.items():
            try:
                each.mend()
            except Exception:
                logger.exception("%s: mending failed", name)


def end_process(seconds: float) -> None:
    """Ends the process as SIGTERM does, and by force after the given seconds, in case a thread that hangs delays the end.

    After a forced end the exit status is 1, so that a supervisor that checks it starts another process.
    """
    timer = threading.Timer(seconds, os._exit, (1,))
    timer.daemon = True
    timer.start()
    os.kill(os.getpid(), signal.SIGTERM)
