"""The process itself: garbage collection, draining before the end, and what happens when its parent is gone."""

import asyncio
import gc
import signal
from collections.abc import Callable
from multiprocessing import parent_process
from threading import Thread
from types import FrameType

COLLECTIONS = (2_000, 1_000, 100)  # for gc.set_threshold: answers and problems leave no cycles behind
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


def spare_collections() -> None:
    """Exempts what lives as long as the process from garbage collection: a full one stops all threads for 0.1 s."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTIONS)
