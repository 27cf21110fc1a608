"""Processes whose parent is killed: nobody would ever end them."""

from collections.abc import Callable
from multiprocessing import parent_process
from threading import Thread


def watch_parent(orphaned: Callable[[], object]) -> None:
    """Calls, in a thread, once the process is gone that made this one by multiprocessing; of another's, nothing is known."""
    parent = parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        orphaned()

    Thread(target=wait, daemon=True).start()
