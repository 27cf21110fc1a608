"""What the workers of one service share: a SQLite file in the runtime folder, or memory where a process is alone.

SQLite, since a worker may be killed at any moment: what it had begun is undone, and no lock outlives it. Another process may
hold the database for long, so the event loop never asks it: ``ask`` has a thread do so.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import TypeVar

from app.errors import Overloaded, StartupError

FILE = "shared.sqlite"
BUSY_SECONDS = 2.0  # a transaction takes some 50 µs; a process that holds one for longer hangs
LATE_SECONDS = 0.2  # that a request, or a transaction for its turn, may wait; then requests go on without the database

Answer = TypeVar("Answer")


class Shared:
    """A database; safe to use from several threads and processes. Nothing in it outlives the service."""

    def __init__(self, folder: Path | None) -> None:
        """Opens the database.

        Raises:
            StartupError: the folder is not there, or cannot be written to.
        """
        self._lock = Lock()
        self._thread = ThreadPoolExecutor(1, "shared")  # one, since one transaction runs at a time
        self._waiting_since: float | None = None  # monotonic; until a transaction has begun
        try:
            self._database = sqlite3.connect(
                folder / FILE if folder else ":memory:", BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = OFF")  # a power cut ends the service too
        except sqlite3.Error as error:
            raise StartupError(f"The workers cannot share the folder {folder}: {error}") from error

    @property
    def is_late(self) -> bool:
        """Whether another process has held the database for so long that nobody should wait for it.

        It stays so until a transaction succeeds; the model switch tries several times a second.
        """
        since = self._waiting_since
        return since is not None and time.monotonic() - since > LATE_SECONDS

    async def ask(self, question: Callable[[], Answer]) -> Answer:
        """Calls, in this object's thread, what asks the database; the event loop goes on meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, question)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it happens, at once for everybody, or nothing. It blocks, so the event loop calls ask instead.

        Raises:
            Overloaded: another process held the database for too long.
        """
        with self._lock:
            self._begin()
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def _begin(self) -> None:
        if self._waiting_since is None:
            self._waiting_since = time.monotonic()
        try:
            self._database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise Overloaded("The workers are busy with each other; try again in a moment.") from error
        self._waiting_since = None

    def close(self) -> None:
        """Closes the database once its thread has done what waits."""
        self._thread.shutdown()
        with self._lock:
            self._database.close()


def open_runtime_folder(folder: Path | None) -> AbstractContextManager[Path | str]:
    """The folder that the workers share: this one, cleared of an earlier service's state, or a temporary one.

    Raises:
        StartupError: it cannot be made or cleared.
    """
    try:
        if folder is None:
            return TemporaryDirectory(prefix="numeral-")
        folder.mkdir(parents=True, exist_ok=True)
        for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise StartupError(f"Several workers need a folder to share, and NUMERAL_RUNTIME_DIR can name one: {error}") from error
    return nullcontext(folder)
