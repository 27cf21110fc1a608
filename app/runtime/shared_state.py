"""What the workers of one service share: a SQLite file in the runtime folder, or memory where a process is alone.

SQLite, since a worker may be killed at any moment: what it had begun is undone, and no lock outlives it. Another process may
hold the database for long, so the event loop never asks it: ``ask`` has a thread do so.
"""

import asyncio
import logging
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from threading import Lock
from typing import TypeVar

from app.errors import Overloaded, StartupError

FILE = "shared.sqlite"
BUSY_SECONDS = 2.0  # a transaction takes some 50 µs; a process that holds one for longer hangs
LATE_SECONDS = 0.2  # that a request, or a transaction for its turn, may wait; then requests go on without the database

NEW = "new.lock"
OWNER, USERS = "service.lock", "workers.lock"  # held by the service, and by each of its processes, as long as they live
LEAVING_SECONDS = 20.0  # that the workers of a service that was killed may take to answer what they have, and end
PREFIX = "numeral-"  # of folders that are made for a service
NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}

Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)


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
            self._used = _lock(folder / USERS, shared=True) if folder else None
        except (sqlite3.Error, OSError) as error:
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
            Overloaded: another process held the database for too long, or the folder is full.
        """
        with self._lock:
            self._begin()
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException as error:
                if self._database.in_transaction:  # SQLite itself undoes what finds no room
                    self._database.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError) and _finds_no_room(error):
                    raise _no_room(error) from error
                raise

    def _begin(self) -> None:
        if self._waiting_since is None:
            self._waiting_since = time.monotonic()
        try:
            self._database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if _finds_no_room(error):
                raise _no_room(error) from error
            raise Overloaded("Another worker holds the shared database; try again in a moment.") from error
        self._waiting_since = None

    def close(self) -> None:
        """Closes the database once its thread has done what waits."""
        self._thread.shutdown()
        with self._lock:
            self._database.close()
        if self._used is not None:
            os.close(self._used)


def _finds_no_room(error: sqlite3.OperationalError) -> bool:
    """Whether the database cannot be written to; the lowest byte of SQLite's code is the kind of error."""
    return error.sqlite_errorcode & 0xFF in NO_ROOM


def _no_room(error: sqlite3.OperationalError) -> Overloaded:
    return Overloaded(f"The folder that the workers share cannot be written to ({error}); make room, and try again.")


@contextmanager
def open_runtime_folder(folder: Path | None) -> Iterator[Path]:
    """The folder that the workers of one service share: this one, cleared of an earlier service's state, or a temporary one.

    It belongs to this process until the end. Temporary ones that a killed service left behind are removed.

    Raises:
        StartupError: it cannot be made or cleared, or belongs to another service.
    """
    with ExitStack() as ends:
        try:
            own = _make_temporary(ends) if folder is None else _take_over(folder, ends)
        except OSError as error:
            message = f"Several workers need a folder to share, and NUMERAL_RUNTIME_DIR can name one: {error}"
            raise StartupError(message) from error
        yield own


def _make_temporary(ends: ExitStack) -> Path:
    """A folder that is removed in the end, before its lock is released."""
    _remove_left_behind()
    folder = Path(mkdtemp(prefix=PREFIX))
    ends.callback(_release, _lock(folder / NEW))
    ends.callback(shutil.rmtree, folder, ignore_errors=True)
    (folder / NEW).rename(folder / OWNER)  # which is locked as soon as it is there
    return folder


def _take_over(folder: Path, ends: ExitStack) -> Path:
    """A folder that stays, without what an earlier service left in it."""
    folder.mkdir(parents=True, exist_ok=True)
    ends.callback(_release, _take(folder))
    _clear(folder)
    return folder


def _take(folder: Path) -> int | None:
    """The lock on a folder.

    Raises:
        StartupError: another service, or a worker of it, has it.
    """
    lock = _lock(folder / OWNER)
    if lock is not None:
        with suppress(OSError):  # a full disk cannot tell whose it is
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode("ascii"), 0)
    try:
        _await_users(folder)
    except StartupError:
        _release(lock)
        raise
    return lock


def _await_users(folder: Path) -> None:
    """Waits until the workers of an earlier service have ended."""
    until = time.monotonic() + LEAVING_SECONDS
    while True:
        try:
            _release(_lock(folder / USERS))
        except StartupError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return


def _lock(path: Path, *, shared: bool = False) -> int | None:
    """A descriptor that holds a lock on a file until it is closed or its process ends; None on systems without such locks.

    shared: held together with others, and waited for, since who locks out others here only looks whether there are any.

    Raises:
        StartupError: another process holds it.
        OSError: the file cannot be made.
    """
    if sys.platform == "win32":
        return None
    import fcntl  # noqa: PLC0415  Unix's alone

    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_SH if shared else (fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError as error:
        owner = os.pread(file, 20, 0).decode("ascii", "replace")
        os.close(file)
        named = f", process {owner}" if owner.isdigit() else ""
        raise StartupError(
            f"The folder {path.parent} belongs to another service{named}; name another one by NUMERAL_RUNTIME_DIR."
        ) from error
    return file


def _release(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)


def _clear(folder: Path) -> None:
    """Removes what an earlier service left: its database and its metrics."""
    for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
        (folder / name).unlink(missing_ok=True)
    for pattern in ("*.db", "*.lock"):
        for path in (folder / "metrics").glob(pattern):
            path.unlink(missing_ok=True)


def _remove_left_behind() -> None:
    """Removes the temporary folders of services that were killed: nobody holds their locks."""
    if sys.platform == "win32":  # which has no such locks
        return
    for folder in Path(gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError, StartupError):
            if (folder / OWNER).lstat().st_uid == os.getuid():
                lock = _lock(folder / OWNER)
                shutil.rmtree(folder, ignore_errors=True)
                _release(lock)
                logger.info("removed %s, which a service that was killed left behind", folder)
