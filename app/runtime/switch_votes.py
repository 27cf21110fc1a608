"""Lets the workers of one service agree on a switch of models: all of them switch, or none.

    propose ─► every worker loads and proves it, and votes ─► tally: committed, or rejected ─► every worker adopts it

The worker that counts the last vote commits in one transaction, so the death of another worker does not matter. A worker
that starts serves the committed switch and votes on the proposed one.
"""

import json
import os
import sqlite3
import time
from dataclasses import dataclass
from typing import Literal
from uuid import uuid4

from app.errors import SwitchInProgress
from app.runtime.shared_state import Shared

SCHEMA = """
CREATE TABLE IF NOT EXISTS switches (id INTEGER PRIMARY KEY, history TEXT, shadow TEXT, status TEXT, reason TEXT, until REAL);
CREATE TABLE IF NOT EXISTS workers (name TEXT PRIMARY KEY, pid INTEGER, serves INTEGER);
CREATE TABLE IF NOT EXISTS votes (switch INTEGER, worker TEXT, refusal TEXT, PRIMARY KEY (switch, worker));
"""
COLUMNS = "id, history, shadow, status, reason"

Status = Literal["preparing", "committed", "rejected"]


@dataclass(frozen=True)
class Switch:
    """The versions to serve once all workers agree.

    history: the active versions, oldest first; the last one is active now. shadow: the version that answers unseen.
    """

    id: int
    history: tuple[str, ...]
    shadow: str | None
    status: Status
    reason: str | None

    @property
    def active(self) -> str:
        """The version that answers."""
        return self.history[-1]


class SwitchVotes:
    """One worker's part in the agreement. Each call is one transaction."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._me = uuid4().hex
        with shared.transaction() as database:
            for statement in SCHEMA.split(";"):
                database.execute(statement)

    def open(self, version: str) -> Switch:
        """The committed switch; the first worker commits the version that it has loaded."""
        with self._shared.transaction() as database:
            database.execute(
                "INSERT INTO switches (id, history, status, until) VALUES (1, ?, 'committed', 0) ON CONFLICT DO NOTHING",
                (json.dumps([version]),),
            )
            return _committed(database)

    def committed(self) -> Switch | None:
        """The committed switch, or None if no worker has opened yet."""
        with self._shared.transaction() as database:
            return _find(database, "status = 'committed' ORDER BY id DESC")

    def join(self, serving: Switch) -> bool:
        """Registers this worker as serving this switch; False if another switch was committed in the meantime."""
        with self._shared.transaction() as database:
            if _committed(database).id != serving.id:
                return False
            _living(database)  # removes the worker that this one replaces before another process gets its pid
            database.execute("INSERT INTO workers VALUES (?, ?, ?)", (self._me, os.getpid(), serving.id))
            return True

    def leave(self) -> None:
        """Removes this worker from the agreement."""
        with self._shared.transaction() as database:
            database.execute("DELETE FROM workers WHERE name = ?", (self._me,))

    def propose(self, before: Switch, history: tuple[str, ...], shadow: str | None, seconds: float) -> Switch:
        """Asks every worker to switch from the committed switch ``before``, within the given seconds.

        Raises:
            SwitchInProgress: another switch is proposed, or was committed in the meantime.
        """
        with self._shared.transaction() as database:
            pending = _find(database, "status = 'preparing'")
            if (pending and _tally(database, pending).status == "preparing") or _committed(database) != before:
                raise SwitchInProgress("Another switch of models is in progress; try again in a moment.")
            until = time.monotonic() + seconds
            added = database.execute(
                "INSERT INTO switches (history, shadow, status, until) VALUES (?, ?, 'preparing', ?)",
                (json.dumps(history), shadow, until),
            )
            return _get(database, f"id = {added.lastrowid:d}")

    def news(self) -> tuple[Switch, Switch | None]:
        """The committed switch, and the proposed one."""
        with self._shared.transaction() as database:
            return _committed(database), _find(database, "status = 'preparing'")

    def vote(self, switch: Switch, refusal: str | None) -> None:
        """Votes for the switch, or against it for a reason."""
        with self._shared.transaction() as database:
            database.execute("INSERT OR IGNORE INTO votes VALUES (?, ?, ?)", (switch.id, self._me, refusal))

    def tally(self, switch: Switch) -> Switch:
        """Commits the switch if every live worker votes for it; rejects it on a vote against it or after its deadline."""
        with self._shared.transaction() as database:
            return _tally(database, _get(database, f"id = {switch.id:d}"))

    def adopt(self, switch: Switch) -> None:
        """Records that this worker now serves the switch."""
        with self._shared.transaction() as database:
            database.execute("UPDATE workers SET serves = ? WHERE name = ?", (switch.id, self._me))

    def is_adopted(self, switch: Switch) -> bool:
        """Whether every live worker serves this switch or a later one."""
        with self._shared.transaction() as database:
            return all(serves >= switch.id for serves in _living(database).values())


def _tally(database: sqlite3.Connection, switch: Switch) -> Switch:
    if switch.status != "preparing":
        return switch
    votes = dict(database.execute("SELECT worker, refusal FROM votes WHERE switch = ?", (switch.id,)).fetchall())
    (until,) = database.execute("SELECT until FROM switches WHERE id = ?", (switch.id,)).fetchone()
    refusals = [refusal for refusal in votes.values() if refusal]
    if refusals:
        return _close(database, switch, "rejected", refusals[0])
    if time.monotonic() >= until:
        return _close(database, switch, "rejected", "Not all workers were ready in time.")
    if _living(database).keys() <= votes.keys():
        return _close(database, switch, "committed", None)
    return switch


def _close(database: sqlite3.Connection, switch: Switch, status: Status, reason: str | None) -> Switch:
    database.execute("UPDATE switches SET status = ?, reason = ? WHERE id = ?", (status, reason, switch.id))
    return _get(database, f"id = {switch.id:d}")


def _living(database: sqlite3.Connection) -> dict[str, int]:
    """The switch that each live worker serves; dead workers are removed."""
    workers = database.execute("SELECT name, pid, serves FROM workers").fetchall()
    dead = [(name,) for name, pid, _ in workers if not _is_alive(pid)]
    if dead:
        database.executemany("DELETE FROM workers WHERE name = ?", dead)
    return {name: serves for name, pid, serves in workers if (name,) not in dead}


def _is_alive(pid: int) -> bool:
    if pid == os.getpid():  # on Windows, which has one worker, os.kill would end the process
        return True
    try:
        os.kill(pid, 0)
    except OSError:  # no such process, or another user's
        return False
    return True


def _committed(database: sqlite3.Connection) -> Switch:
    return _get(database, "status = 'committed' ORDER BY id DESC")


def _get(database: sqlite3.Connection, condition: str) -> Switch:
    found = _find(database, condition)
    if found is None:
        raise LookupError(f"no switch has {condition}")
    return found


def _find(database: sqlite3.Connection, condition: str) -> Switch | None:
    row = database.execute(f"SELECT {COLUMNS} FROM switches WHERE {condition} LIMIT 1").fetchone()  # noqa: S608  conditions are our own text
    return Switch(row[0], tuple(json.loads(row[1])), *row[2:]) if row else None
