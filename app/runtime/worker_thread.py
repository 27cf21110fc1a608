"""Lets the event loop run before worker threads; its work is short and serves every client."""

import os
import select
import sys
from asyncio import AbstractEventLoop
from contextlib import suppress

NICENESS = 5  # added to the process's niceness: on few CPUs, the event loop gets three times a worker's share
LAST_NICENESS = 2 * NICENESS  # of what nobody waits for: a worker gets three times its share


class LoopPriority:
    """Makes the thread that creates it yield to one event loop.

    Niceness gives the loop its share of the CPU, but not at once: Linux may let a running thread continue until the next clock
    tick, every 4 ms at 250 Hz. So a worker checks, between two short pieces of work, whether something waits for the loop.
    On other systems it does nothing.
    """

    def __init__(self, loop: AbstractEventLoop) -> None:
        """Lowers the thread's priority, which Linux keeps for each thread."""
        self._poll: select.poll | None = None
        if sys.platform != "linux":
            return
        lower_priority(NICENESS)
        if (backend := _backend(loop)) is not None:
            self._poll = select.poll()
            self._poll.register(backend, select.POLLIN)

    def yield_to_loop(self) -> None:
        """Yields the CPU if something waits for the loop."""
        if self._poll and self._poll.poll(0):
            os.sched_yield()


def lower_priority(niceness: int) -> None:
    """Adds to the niceness of the thread that calls it. On other systems than Linux, where that is the process's, nothing."""
    if sys.platform == "linux":
        with suppress(OSError):  # some sandboxes refuse it; then a worker yields to the loop only by yield_to_loop
            os.nice(niceness)


def _backend(loop: AbstractEventLoop) -> int | None:
    """The epoll descriptor of uvloop or asyncio, readable when the loop has an event to handle (epoll(7))."""
    find = getattr(getattr(loop, "_selector", None), "fileno", None) or getattr(loop, "_get_backend_id", None)
    return int(find()) if find else None
