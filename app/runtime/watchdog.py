"""Looks whether what a process needs lives, has it mended, and ends the process where that does not help."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

logger = logging.getLogger(__name__)

PERIOD = 0.5  # seconds between two looks
HOPELESS_SECONDS = 30.0  # after which what is still dead is taken for past recovery


@runtime_checkable
class Watched(Protocol):
    """What is looked at."""

    @property
    def lives(self) -> bool:
        """Whether it can do its work."""

    def mend(self) -> None:
        """Replaces what of it has died."""


class Watchdog:
    """Watches, in a thread of its own, until it is stopped."""

    def __init__(self, watched: Mapping[str, Watched], end: Callable[[], object], patience: float = HOPELESS_SECONDS) -> None:
        """watched: by what the operator calls it; end: ends the process, called once."""
        self._watched, self._end, self._patience = watched, end, patience
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def missing(self) -> str | None:
        """What does not live, if anything."""
        return next((name for name, each in self._watched.items() if not each.lives), None)

    def stop(self) -> None:
        """Watches no more."""
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
    """Ends the process as SIGTERM does; after so many seconds without ceremony, since what hangs would hold up its end.

    Its exit status is 1 then, so that a supervisor that looks at it starts another.
    """
    timer = threading.Timer(seconds, os._exit, (1,))
    timer.daemon = True
    timer.start()
    os.kill(os.getpid(), signal.SIGTERM)
