"""The process itself: garbage collection, draining before the end, and what happens when its parent is gone."""

import asyncio
import ctypes
import gc
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import parent_process
from threading import Thread
from types import FrameType

COLLECTIONS = (2_000, 1_000, 100)  # for gc.set_threshold: answers and problems leave no cycles behind
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # mallopt(3)
LARGE = 5 * 2**20  # bytes; what reading a picture takes is smaller, and its memory is used again
KEPT = 8 * 2**20  # bytes of free memory at the end of each arena that the process keeps
SWITCH_SECONDS = 0.0005  # for sys.setswitchinterval, whose default is 5 ms: how long a worker may hold up the event loop


def watch_parent(orphaned: Callable[[], object]) -> None:
    """Calls, from a thread, when the process that started this one by multiprocessing is gone; nothing else would end it."""
    parent = parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        orphaned()

    Thread(target=wait, daemon=True).start()


def drain_before_the_end(begin: Callable[[], bool], seconds: float) -> None:
    """Ends the server some seconds after SIGTERM; until then proxies learn from /health/ready to send nothing new.

    begin: starts draining; False if it has begun already. A second SIGTERM, like SIGINT, ends the server at once.
    """
    before, loop = signal.getsignal(signal.SIGTERM), asyncio.get_running_loop()
    if not callable(before):
        return
    end: Callable[[int, FrameType | None], object] = before

    def drain(number: int, frame: FrameType | None) -> None:
        if begin():
            loop.call_soon_threadsafe(lambda: loop.call_later(seconds, end, number, frame))
        else:
            end(number, frame)

    signal.signal(signal.SIGTERM, drain)


def give_memory_back() -> None:
    """Has the C library return the memory of large bodies as soon as they are gone; Linux with glibc.

    By itself it would learn from the first large ones to keep the later ones' memory, for ever.
    """
    if sys.platform == "linux":
        with suppress(AttributeError):  # another C library
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(M_MMAP_THRESHOLD, LARGE)
            mallopt(M_TRIM_THRESHOLD, KEPT)


def spare_collections() -> None:
    """Exempts what lives as long as the process from garbage collection: a full one stops all threads for 0.1 s."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTIONS)
