"""The process itself: garbage collection, memory, draining when it is told to end, and its end if its parent dies."""

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
LARGE = 8 * 2**20  # bytes; reading a picture needs smaller blocks, whose memory is reused
ARENAS = 2  # shared by the threads; with one each, free memory would be fragmented
KEPT = 32 * 2**20  # bytes of free memory that the process may keep
MOST_OPEN = 20_000  # files and connections; an idle connection takes about 20 kB
SWITCH_SECONDS = 0.0005  # for sys.setswitchinterval, whose default is 5 ms: how long a worker may hold up the event loop


def watch_parent(orphaned: Callable[[], object]) -> None:
    """Calls ``orphaned`` from a thread once the multiprocessing parent is gone; nothing else would end this process."""
    parent = parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        orphaned()

    Thread(target=wait, daemon=True).start()


def drain_before_the_end(begin: Callable[[], bool], seconds: float) -> None:
    """Ends the server the given seconds after SIGTERM; until then /health/ready tells proxies to send nothing new.

    begin: starts draining; returns False if it has already begun. A second SIGTERM, like SIGINT, ends the server at once.
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


class MemoryTrimmer:
    """Bounds the free memory that the C library keeps: none from large bodies, and a limited amount of the rest.

    Create it before the reading threads. By default, the library learns from the first large bodies to keep the memory of
    later ones for ever. Linux with glibc only.
    """

    lives = True  # for a watchdog, which calls mend regularly

    def __init__(self) -> None:
        library = ctypes.CDLL(None) if sys.platform == "linux" else None
        self._trim = getattr(library, "malloc_trim", None)
        if self._trim and library:
            library.mallopt(M_MMAP_THRESHOLD, LARGE)
            library.mallopt(M_TRIM_THRESHOLD, KEPT)
            library.mallopt(M_ARENA_MAX, ARENAS)
        self._floor = _resident() if self._trim else 0

    def mend(self) -> None:
        """Returns free memory to the system if the process has grown by KEPT since the last time."""
        if self._trim and _resident() > self._floor + KEPT:
            self._trim(0)  # takes a few milliseconds, during which Python's lock is free
            self._floor = _resident()


def _resident() -> int:
    """The process's resident memory in bytes (proc(5))."""
    return int(Path("/proc/self/statm").read_bytes().split()[1]) * mmap.PAGESIZE


def spare_collections() -> None:
    """Exempts long-lived objects from garbage collection: a full collection stops all threads for 0.1 s."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTIONS)


def open_files() -> int:
    """How many files and connections this process may have open; at most MOST_OPEN."""
    if find_spec("resource") is None:  # Windows
        return MOST_OPEN
    import resource  # noqa: PLC0415  does not exist on Windows

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_OPEN if soft == resource.RLIM_INFINITY else min(soft, MOST_OPEN)
