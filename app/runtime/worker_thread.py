"""How a thread that reads pictures lets the event loop go first, which has little to do, and for many."""

import os
import select
import sys
from asyncio import AbstractEventLoop
from contextlib import suppress

NICENESS = 5  # above the process's: where CPUs are few, the event loop's share is three times a worker's


class Courtesy:
    """Of the thread that makes it, to one event loop.

    Niceness gives the loop its share of the CPU, but not at once: Linux may let a running thread go on to the clock's next
    tick, which comes every 4 ms at 250 Hz. So a worker looks, between two short pieces of work, whether something waits for
    the loop. Elsewhere than on Linux nothing is done.
    """

    def __init__(self, loop: AbstractEventLoop) -> None:
        """Makes the thread nicer, as Linux does a thread and not its process."""
        self._poll: select.poll | None = None
        if sys.platform != "linux":
            return
        with suppress(OSError):  # some sandboxes refuse it; the loop then has its share by give_way alone
            os.nice(NICENESS)
        if (backend := _backend(loop)) is not None:
            self._poll = select.poll()
            self._poll.register(backend, select.POLLIN)

    def give_way(self) -> None:
        """Yields the CPU if something has come that the loop has not seen yet."""
        if self._poll and self._poll.poll(0):
            os.sched_yield()


def _backend(loop: AbstractEventLoop) -> int | None:
    """The file that uvloop or asyncio waits with, readable as soon as one of those is that it waits for (epoll(7))."""
    find = getattr(getattr(loop, "_selector", None), "fileno", None) or getattr(loop, "_get_backend_id", None)
    return int(find()) if find else None
