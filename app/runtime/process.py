"""The process itself: garbage collection, draining before the end, and what happens when its parent is gone."""

import asyncio
import ctypes
import gc
import mmap
import signal
import sys
from collections.abc import Callable
from importlib.util import find_spec
from multiprocessing import parent_process
from pathlib import Path
from threading import Thread
from types import FrameType

COLLECTIONS = (2_000, 1_000, 100)  # for gc.set_threshold: answers and problems leave no cycles behind
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # mallopt(3)
LARGE = 8 * 2**20  # bytes; what reading a picture takes is smaller, and its memory is used again
ARENAS = 2  # that threads share; in one each, what is free would lie between what is in use
KEPT = 32 * 2**20  # bytes of free memory that the process may keep
MOST_OPEN = 20_000  # files and connections; an idle connection takes some 20 kB
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


class Memory:
    """What the C library keeps of memory that is free: nothing of large bodies, and of the rest what has been used of late.

    To be made before the threads that read. By itself the library would learn from the first large bodies to keep the later
    ones' memory, for ever. Linux with glibc.
    """

    lives = True  # for a watchdog, which has it mended now and then

    def __init__(self) -> None:
        library = ctypes.CDLL(None) if sys.platform == "linux" else None
        self._trim = getattr(library, "malloc_trim", None)
        if self._trim and library:
            library.mallopt(M_MMAP_THRESHOLD, LARGE)
            library.mallopt(M_TRIM_THRESHOLD, KEPT)
            library.mallopt(M_ARENA_MAX, ARENAS)
        self._floor = _resident() if self._trim else 0

    def mend(self) -> None:
        """Returns what is free, if the process has grown by KEPT since that was done last."""
        if self._trim and _resident() > self._floor + KEPT:
            self._trim(0)  # some milliseconds, in which Python's lock is free
            self._floor = _resident()


def _resident() -> int:
    """Bytes of memory that the process holds (proc(5))."""
    return int(Path("/proc/self/statm").read_bytes().split()[1]) * mmap.PAGESIZE


def spare_collections() -> None:
    """Exempts what lives as long as the process from garbage collection: a full one stops all threads for 0.1 s."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTIONS)


def open_files() -> int:
    """How many files and connections this process may have open; MOST_OPEN where the system sets no limit."""
    if find_spec("resource") is None:  # Windows
        return MOST_OPEN
    import resource  # noqa: PLC0415  where there is one

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_OPEN if soft == resource.RLIM_INFINITY else min(soft, MOST_OPEN)
