"""The database of kept answers and corrections: SQLite in a folder, or PostgreSQL by its URL, which replicas share.

A method is one transaction: all of it happens or nothing. But those that add or delete many answers take steps, each of them a
transaction: if they are interrupted, a part is done; and salts of earlier days are deleted in a transaction of their own. All
methods block, so the event loop has a thread call them, and raise InternalError where the database is damaged.
"""

import json
import logging
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, Row, Select, create_engine, delete, event, func, null, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, ProgrammingError, SQLAlchemyError
from sqlalchemy.sql import ColumnElement

from app.corrections.entry import Corrected, Correction, Entry, Status, epoch_seconds
from app.corrections.tables import CORRECTIONS, KEPT, SALTS
from app.errors import InternalError, InvalidRequest, NotFound, Overloaded, RequestError, StartupError
from app.reading.answer import Box
from app.settings import Settings

MIGRATIONS = Path(__file__).parent / "migrations"
FILE = "corrections.sqlite"  # in the data folder
BUSY_SECONDS = 5  # that a transaction may wait for another process's, or for the server
MIGRATING = 726_173_501  # PostgreSQL's number of the lock on the tables' form; any number that nobody else takes
DAY = 86_400  # seconds
SIDE = 28  # of a glyph
STEP = 1_000  # answers that a transaction adds or deletes: more would keep others waiting, or take longer than BUSY_SECONDS
PAUSE = 0.02  # seconds between two steps: SQLite's writers do not queue, they look now and then whether they may write
OLDEST_FIRST = select(KEPT.c.id).order_by(KEPT.c.created)
READS = "numeral_reads"  # the option of a transaction that only reads
LASTING = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}  # no table, or no database: not busy, nor full
GONE = "No answer is kept under this id: it never was, it was deleted, or it belongs to another client."


@dataclass(frozen=True)
class Sent:
    """A correction that was taken.

    answered: the text that it corrects; first: whether it is the answer's first; changed: whether it says something new.
    """

    answered: str
    first: bool
    changed: bool


@dataclass(frozen=True)
class Amounts:
    """What is there: answers, their bytes, and corrections by status."""

    answers: int
    bytes: int
    corrections: dict[str, int]


class Journal:
    """Kept answers and corrections. Safe to use from several threads and processes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(**{READS: True})  # the same connections
        self._is_uncleared = False  # whether deleted rows may still be in SQLite's log
        shared = engine.dialect.name == "postgresql"
        database: Any = postgresql if shared else sqlite
        self._insert: Any = database.insert
        places = database.dialect(paramstyle="format" if shared else "qmark")  # for rows that are tuples
        self._keep = str(self._insert(KEPT).on_conflict_do_nothing().compile(dialect=places))

    @classmethod
    def open(cls, settings: Settings) -> "Journal":
        """Opens the database that the settings name, brings it to the newest form, and deletes the salts of earlier days.

        Raises:
            StartupError: none is named, it cannot be opened, or a later release has written it.
        """
        journal = cls(_connect(settings))
        try:
            journal._migrate()
            journal._forget_salts(SALTS.c.day < _today())
        except RequestError as error:
            journal.close()
            raise StartupError(f"The database of corrections cannot be used: {error}") from error
        return journal

    def close(self) -> None:
        """Closes the connections."""
        self._engine.dispose()

    def add(self, entries: Iterable[Entry]) -> None:
        """Keeps answers; an entry whose id is there already stays as it is.

        Raises:
            Overloaded: the database cannot be written to.
        """
        rows = [_to_row(entry) for entry in entries]
        with self._transaction() as connection:
            connection.exec_driver_sql(self._keep, rows)  # SQLAlchemy's own way takes half as much again

    def correct(self, identity: str, truth: str, client: str, *, owned: bool, now: float | None = None) -> Sent:
        """Notes what an answer should have been; the last one counts, and one that changes it is to be reviewed anew.

        owned: whether only the client that got the answer may correct it.

        Raises:
            NotFound: nothing is kept under this id, or it is another client's.
            InvalidRequest: the answer is of one digit, and this is of several.
            Overloaded: the database cannot be written to.
        """
        with self._transaction() as connection:
            kept = self._find(connection, identity, client, owned=owned)
            if kept.single and len(truth) > 1:
                raise InvalidRequest("This answer is of one digit: say which one it should have been, or null for none.")
            before = connection.execute(select(CORRECTIONS).where(CORRECTIONS.c.id == identity)).one_or_none()
            if before is not None and before.truth == truth:
                return Sent(kept.text, first=False, changed=False)
            disputed = before is not None and (before.disputed or before.client != client)
            said = {"truth": truth, "client": client, "sent": now or epoch_seconds(), "status": "new", "disputed": disputed}
            statement = self._insert(CORRECTIONS).values(id=identity, **said)
            connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=said))
            return Sent(kept.text, first=before is None, changed=True)

    def forget(self, identity: str, client: str, *, owned: bool) -> None:
        """Deletes an answer and its correction.

        Raises:
            NotFound, Overloaded: as correct.
        """
        with self._transaction() as connection:
            self._find(connection, identity, client, owned=owned)
            connection.execute(delete(KEPT).where(KEPT.c.id == identity))
        self._clear()

    def forget_client(self, client: str) -> int:
        """Deletes all answers of a client, with their corrections, in steps; tells how many.

        Raises:
            Overloaded: as add; a part may be deleted then.
        """
        return self._delete(_answers_of(client))

    def forget_some(self, client: str) -> int:
        """Deletes STEP answers of a client, with their corrections, or all if there are fewer; tells how many.

        Raises:
            Overloaded: as add.
        """
        return self._take_step(_answers_of(client))

    def purge(self, *, before: float | None = None) -> int:
        """Deletes all answers, and all salts but today's, or the answers before a time, in steps; tells how many answers.

        before: seconds since 1970.

        Raises:
            Overloaded: as add; a part may be deleted then.
        """
        if before is not None:
            return self._delete(OLDEST_FIRST.where(KEPT.c.created < before))
        self._forget_salts(SALTS.c.day != _today())
        return self._delete(OLDEST_FIRST)

    def prune(self, days: float, most_bytes: int, now: float | None = None) -> int:
        """Deletes what is older than so many days, then the oldest until at most so many bytes are left; tells how many.

        At most STEP answers go at once: if so many did, there may be more. Salts of earlier days go, too.

        Raises:
            Overloaded: as add.
        """
        now = now or epoch_seconds()
        self._forget_salts(SALTS.c.day < int(now // DAY))
        with self._transaction() as connection:
            count = _delete_step(connection, OLDEST_FIRST.where(KEPT.c.created < now - days * DAY), STEP)
            size = connection.execute(select(func.coalesce(func.sum(KEPT.c.bytes), 0))).scalar_one()
            if size > most_bytes and count < STEP:
                beyond = self._find_age(connection, size - most_bytes, STEP - count)
                count += _delete_step(connection, OLDEST_FIRST.where(KEPT.c.created <= beyond), STEP - count)
        if count or self._is_uncleared:
            self._clear()
        return count

    def review(self, identity: str, truth: str, status: Status) -> bool:
        """Accepts or refuses a correction, if it still says what the reviewer saw; tells whether it did.

        Raises:
            Overloaded: as add.
        """
        seen = (CORRECTIONS.c.id == identity) & (CORRECTIONS.c.truth == truth)
        with self._transaction() as connection:
            return bool(connection.execute(update(CORRECTIONS).where(seen).values(status=status)).rowcount)

    def corrected(
        self, status: Status | None = None, most: int | None = None, *, oldest_first: bool = False, pictures: bool = False
    ) -> list[Corrected]:
        """Corrections with their entries: the most disputed first, then those whose answers were the least sure.

        pictures: whether the entries have them, too, where they were kept.

        Raises:
            Overloaded: the database cannot be read.
        """
        kept = [column if pictures or column.name != "picture" else null().label("picture") for column in KEPT.c]
        columns = [*kept, *(column.label(f"said_{column.name}") for column in CORRECTIONS.c)]
        doubt = (CORRECTIONS.c.disputed.desc(), KEPT.c.confidence, KEPT.c.id)
        query = (
            select(*columns).join_from(KEPT, CORRECTIONS).order_by(*((KEPT.c.created, KEPT.c.id) if oldest_first else doubt))
        )
        if status is not None:
            query = query.where(CORRECTIONS.c.status == status)
        with self._transaction(self._reading) as connection:
            return [_to_corrected(row) for row in connection.execute(query.limit(most))]

    def restore(self, corrected: Sequence[Corrected]) -> int:
        """Adds entries with their corrections, as an export has them, in steps; what is there stays. Tells how many came.

        Raises:
            Overloaded: as add; a part may be there then, which stays if the same are restored again.
        """
        count = 0
        for start in range(0, len(corrected), STEP):
            if start:
                time.sleep(PAUSE)
            count += self._restore_step(corrected[start : start + STEP])
        return count

    def amounts(self) -> Amounts:
        """What is there.

        Raises:
            Overloaded: as corrected.
        """
        with self._transaction(self._reading) as connection:
            answers, size = connection.execute(select(func.count(), func.coalesce(func.sum(KEPT.c.bytes), 0))).one()
            counts = select(CORRECTIONS.c.status, func.count()).group_by(CORRECTIONS.c.status)
            return Amounts(answers, size, {row[0]: row[1] for row in connection.execute(counts)})

    def salt(self, day: int) -> bytes:
        """The salt of a day since 1970, for all that share the database; those of other days are deleted.

        Raises:
            Overloaded: as add.
        """
        self._forget_salts(SALTS.c.day < day)
        with self._transaction() as connection:
            connection.execute(self._insert(SALTS).values(day=day, salt=secrets.token_bytes(32)).on_conflict_do_nothing())
            salt: bytes = connection.execute(select(SALTS.c.salt).where(SALTS.c.day == day)).scalar_one()
            return salt

    def _find_age(self, connection: Connection, size: int, most: int) -> float:
        """The time up to which the oldest entries take at least so many bytes, or the time of the oldest but so many."""
        for row in connection.execute(select(KEPT.c.created, KEPT.c.bytes).order_by(KEPT.c.created).limit(most)):
            size -= row.bytes
            if size <= 0:
                break
        return float(row.created)

    def _find(self, connection: Connection, identity: str, client: str, *, owned: bool) -> Any:
        """What a correction needs to know of an entry, which nobody else changes until the transaction ends."""
        query = select(KEPT.c.client, KEPT.c.text, KEPT.c.single).where(KEPT.c.id == identity).with_for_update()
        kept = connection.execute(query).one_or_none()
        if kept is None or (owned and kept.client != client):
            raise NotFound(GONE)
        return kept

    def _restore_step(self, corrected: Sequence[Corrected]) -> int:
        with self._transaction() as connection:
            wanted = [each.entry.id for each in corrected]
            there = set(connection.execute(select(KEPT.c.id).where(KEPT.c.id.in_(wanted))).scalars())
            new = {each.entry.id: each for each in corrected if each.entry.id not in there}.values()
            if new:
                connection.exec_driver_sql(self._keep, [_to_row(each.entry) for each in new])
                connection.execute(self._insert(CORRECTIONS), [asdict(each.correction) for each in new])
            return len(new)

    def _delete(self, which: Select[Any]) -> int:
        """Deletes the answers whose ids a query finds; tells how many."""
        total = 0
        while (count := self._take_step(which)) == STEP:
            total += count
            time.sleep(PAUSE)
        if self._is_uncleared:
            self._clear(BUSY_SECONDS)
        return total + count

    def _take_step(self, which: Select[Any]) -> int:
        with self._transaction() as connection:
            count = _delete_step(connection, which, STEP)
        self._clear()
        return count

    def _forget_salts(self, which: ColumnElement[bool]) -> None:
        with self._transaction() as connection:
            count = connection.execute(delete(SALTS).where(which)).rowcount
        if count:
            self._clear()

    def _clear(self, patience: float = 0) -> None:
        """Gives the file's free pages back, and empties its log, where deleted rows still are; PostgreSQL does so by itself.

        patience: seconds that it waits for others who read the log; if they go on, the next time will do.
        """
        if self._engine.dialect.name == "sqlite":
            self._is_uncleared = True
            with self._engine.connect() as connection, suppress(sqlite3.Error):
                driver: Any = connection.connection.driver_connection
                driver.executescript("PRAGMA incremental_vacuum")  # execute would free one page
                with _waiting(driver, patience):
                    busy, *_ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                self._is_uncleared = bool(busy)

    @contextmanager
    def _transaction(self, engine: Engine | None = None) -> Iterator[Connection]:
        """A transaction. engine: the one that reads, where nothing is written.

        Raises:
            Overloaded: the database cannot be reached, or cannot be written to.
            InternalError: it is damaged, and another try would fail too.
        """
        try:
            with (engine or self._engine).begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            if _is_lasting(error):
                raise InternalError(f"The database of corrections cannot be used: {_reason(error)}.") from error
            raise Overloaded(f"What is kept cannot be reached or written to ({_reason(error)}); try again later.") from error

    def _migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        logging.getLogger("alembic").setLevel(logging.WARNING)
        try:
            with self._engine.begin() as connection:
                if self._engine.dialect.name == "postgresql":  # SQLite's transactions take turns by themselves
                    connection.execute(select(func.pg_advisory_xact_lock(MIGRATING)))
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except (SQLAlchemyError, CommandError) as error:
            self.close()
            raise StartupError(f"The database of corrections cannot be used: {_reason(error)}") from error


def _today() -> int:
    """The day, since 1970."""
    return int(epoch_seconds() // DAY)


def _answers_of(client: str) -> Select[Any]:
    return select(KEPT.c.id).where(KEPT.c.client == client)


def _delete_step(connection: Connection, which: Select[Any], most: int) -> int:
    """Deletes so many at most of the answers whose ids a query finds; tells how many it found.

    They are locked in the query's order, so that two deletions of the oldest answers cannot deadlock.
    """
    found = connection.execute(which.limit(most).with_for_update()).scalars().all()
    if found:
        connection.execute(delete(KEPT).where(KEPT.c.id.in_(found)))
    return len(found)


def digest(address: str, salt: bytes) -> str:
    """The name of a client that has none."""
    return f"anonymous {blake2b(address.encode(), key=salt, digest_size=8).hexdigest()}"


def _connect(settings: Settings) -> Engine:
    if settings.database_url:
        try:
            engine = create_engine(settings.database_url, pool_pre_ping=True, connect_args=_patience(settings.database_url))
        except (ArgumentError, ImportError) as error:
            raise StartupError(f"NUMERAL_DATABASE_URL cannot be used: {error}") from error
        if engine.dialect.name not in ("postgresql", "sqlite"):
            raise StartupError(f"NUMERAL_DATABASE_URL names {engine.dialect.name}; PostgreSQL and SQLite can be used.")
    elif settings.data_dir:
        engine = create_engine(f"sqlite:///{_make_file(settings.data_dir)}", connect_args={"timeout": BUSY_SECONDS})
    else:
        raise StartupError("Corrections need NUMERAL_DATA_DIR, a folder that lasts, or NUMERAL_DATABASE_URL.")
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _tune_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _patience(url: str) -> dict[str, Any]:
    if not url.startswith("postgresql"):
        return {}
    return {"connect_timeout": BUSY_SECONDS, "options": f"-c statement_timeout={1000 * BUSY_SECONDS}"}


def _make_file(folder: Path) -> Path:
    """The database's file, which nobody but this user may read."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).touch(mode=0o600)
    except OSError as error:
        raise StartupError(f"NUMERAL_DATA_DIR, {folder}, cannot be written to: {error}") from error
    return (folder / FILE).resolve()


def _tune_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # pysqlite begins no transactions of its own: those of _begin_sqlite count
    for name, value in (
        ("auto_vacuum", "INCREMENTAL"),
        ("journal_mode", "WAL"),
        ("synchronous", "NORMAL"),
        ("secure_delete", "ON"),  # what is deleted is overwritten
        ("foreign_keys", "ON"),
    ):
        connection.execute(f"PRAGMA {name} = {value}")


@contextmanager
def _waiting(driver: Any, seconds: float) -> Iterator[None]:
    """Has one of SQLite's connections wait for so long, and afterwards for as long as before."""
    (before,) = driver.execute("PRAGMA busy_timeout").fetchone()
    driver.execute(f"PRAGMA busy_timeout = {round(1000 * seconds)}")
    try:
        yield
    finally:
        driver.execute(f"PRAGMA busy_timeout = {before}")


def _begin_sqlite(connection: Connection) -> None:
    """Writers take turns from their first statement on, so none of them fails in the middle. Readers hold up nobody."""
    reads = connection.get_execution_options().get(READS)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _is_lasting(error: SQLAlchemyError) -> bool:
    """Whether another try would fail, too: a table is missing, or the file is damaged."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0)
    return isinstance(error, ProgrammingError) or code & 0xFF in LASTING  # the rest of SQLite's code says more


def _reason(error: Exception) -> str:
    """What went wrong, in one line, without the statement and its values."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return str(cause).strip().partition("\n")[0] or type(cause).__name__


def _to_row(entry: Entry) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    return (
        entry.id,
        entry.created,
        entry.client,
        entry.model,
        entry.text,
        entry.single,
        entry.confidence,
        entry.accepted,
        str([[box.x, box.y, box.width, box.height] for box in entry.boxes]),  # JSON, as they are integers
        entry.glyphs.tobytes(),
        entry.picture,
        entry.size,
    )


def _to_corrected(row: Row[Any]) -> Corrected:
    entry = Entry(
        id=row.id,
        created=row.created,
        client=row.client,
        model=row.model,
        text=row.text,
        single=row.single,
        confidence=row.confidence,
        accepted=row.accepted,
        boxes=tuple(Box(*box) for box in json.loads(row.boxes)),
        glyphs=np.frombuffer(row.glyphs, np.uint8).reshape(-1, SIDE, SIDE),
        picture=row.picture,
    )
    said = Correction(row.id, row.said_truth, row.said_client, row.said_sent, row.said_status, row.said_disputed)
    return Corrected(entry, said)
