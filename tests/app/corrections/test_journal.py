"""The database of kept answers: all or nothing, one correction an answer, and no more than is allowed."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sqlalchemy")

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, NullPool, Row, create_engine, event, text

from app.corrections import journal as journals
from app.corrections.entry import Corrected, epoch_seconds, is_text, reason_of, to_pairs
from app.corrections.journal import DAY, FILE, STEP, Journal, digest
from app.corrections.tables import METADATA
from app.errors import InternalError, InvalidRequest, NotFound, Overloaded, StartupError
from app.settings import MIB, Settings
from tests.app.corrections.entries import BOX, entry, glyph, said

PHONE, WEB = "key phone", "key web"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal.open(Settings(data_dir=tmp_path))
    yield opened
    opened.close()


def test_what_is_kept_comes_back_as_it_was(journal: Journal) -> None:
    kept = entry(text="05\n18", single=False, boxes=(BOX,) * 4, glyphs=np.stack([glyph(n) for n in range(4)]), picture=b"file")
    journal.add([kept])
    journal.correct(kept.id, "05\n19", PHONE, owned=True, now=2_000_000.0)

    (found,) = journal.corrected(pictures=True)

    assert journal.corrected()[0].entry.picture is None
    np.testing.assert_array_equal(found.entry.glyphs, kept.glyphs)
    assert found.entry._replace(glyphs=kept.glyphs) == kept
    assert found.correction == said(kept, "05\n19", "new", sent=2_000_000.0)


def test_the_same_answer_twice_is_kept_once(journal: Journal) -> None:
    journal.add([entry()])
    journal.add([entry(), entry(2)])

    assert journal.amounts().answers == 2


def test_the_last_correction_counts_and_the_same_again_changes_nothing(journal: Journal) -> None:
    journal.add([entry()])

    taken = [journal.correct(entry().id, truth, PHONE, owned=True) for truth in ("1", "1", "", "")]

    assert [(each.first, each.changed) for each in taken] == [(True, True), (False, False), (False, True), (False, False)]
    assert [each.correction.truth for each in journal.corrected()] == [""]
    assert not journal.corrected()[0].correction.disputed


def test_a_correction_that_changes_is_reviewed_anew(journal: Journal) -> None:
    journal.add([entry()])
    journal.correct(entry().id, "1", PHONE, owned=True)
    assert journal.review(entry().id, "1", "accepted")

    journal.correct(entry().id, "1", PHONE, owned=True)
    same = journal.corrected()[0].correction.status
    journal.correct(entry().id, "2", PHONE, owned=True)

    assert (same, journal.corrected()[0].correction.status) == ("accepted", "new")


def test_a_review_counts_only_for_what_the_reviewer_saw(journal: Journal) -> None:
    journal.add([entry()])
    journal.correct(entry().id, "1", PHONE, owned=True)
    journal.correct(entry().id, "2", PHONE, owned=True)

    assert not journal.review(entry().id, "1", "accepted")
    assert journal.corrected()[0].correction.status == "new"


def test_another_clients_answer_is_as_unknown_as_none(journal: Journal) -> None:
    journal.add([entry()])

    for identity in (entry().id, "f" * 32):
        with pytest.raises(NotFound, match="No answer is kept under this id") as refused:
            journal.correct(identity, "1", WEB, owned=True)
        with pytest.raises(NotFound) as not_deleted:
            journal.forget(identity, WEB, owned=True)
        assert refused.value.detail == not_deleted.value.detail
    assert journal.amounts().answers == 1


def test_without_keys_the_id_is_enough_and_two_opinions_are_a_dispute(journal: Journal) -> None:
    journal.add([entry(client="anonymous 1")])
    journal.correct(entry().id, "1", "anonymous 1", owned=False)
    journal.correct(entry().id, "4", "anonymous 2", owned=False)

    assert journal.corrected()[0].correction.disputed


def test_one_digit_is_not_corrected_by_several(journal: Journal) -> None:
    journal.add([entry(), entry(2, single=False)])

    with pytest.raises(InvalidRequest, match="one digit"):
        journal.correct(entry().id, "12", PHONE, owned=True)
    assert journal.correct(entry(2).id, "12", PHONE, owned=True).changed


def test_the_disputed_and_the_doubtful_come_first(journal: Journal) -> None:
    sure, unsure, disputed = entry(1, confidence=0.99), entry(2, confidence=0.4), entry(3, confidence=0.999)
    corrected = [Corrected(sure, said(sure, "1")), Corrected(unsure, said(unsure, "1"))]
    journal.restore([*corrected, Corrected(disputed, said(disputed, "1", disputed=True))])

    assert [each.entry.id for each in journal.corrected()] == [each.id for each in (disputed, unsure, sure)]
    assert [each.entry.id for each in journal.corrected(oldest_first=True)] == [each.id for each in (sure, unsure, disputed)]
    assert len(journal.corrected(most=2)) == 2
    assert journal.corrected("refused") == []


def test_deleting_takes_the_correction_too(journal: Journal) -> None:
    journal.add([entry(1), entry(2), entry(3, client=WEB), entry(4)])
    for number in (1, 2, 4):
        journal.correct(entry(number).id, "1", PHONE, owned=True)

    journal.forget(entry(1).id, PHONE, owned=True)
    assert (journal.amounts().answers, journal.amounts().corrections) == (3, {"new": 2})
    assert journal.forget_client(PHONE) == 2
    assert (journal.amounts().answers, journal.amounts().corrections) == (1, {})
    assert journal.purge() == 1


@pytest.mark.parametrize("way", ["forget", "forget_client", "purge", "prune"])
def test_what_is_deleted_is_in_no_file_any_more(journal: Journal, tmp_path: Path, way: str) -> None:
    other = Journal.open(Settings(data_dir=tmp_path))  # another worker's
    secret = entry(picture=b"secret" * 1_000)
    journal.add([secret, entry(2, client=WEB)])
    other.correct(secret.id, "1", PHONE, owned=True)
    delete: dict[str, Callable[[], object]] = {
        "forget": lambda: journal.forget(secret.id, PHONE, owned=True),
        "forget_client": lambda: journal.forget_client(PHONE),
        "purge": lambda: journal.purge(before=1_000_002.0),
        "prune": lambda: journal.prune(1, MIB, now=1_000_002.0 + DAY),
    }

    before = [b"secret" in file.read_bytes() for file in tmp_path.iterdir()]
    delete[way]()
    after = [b"secret" in file.read_bytes() for file in tmp_path.iterdir()]
    other.close()

    assert any(before)
    assert not any(after)
    assert journal.corrected() == []


@pytest.mark.parametrize("way", ["forget", "forget_some", "prune", "salt"])
def test_a_deletion_does_not_wait_for_who_reads_and_is_in_no_file_soon_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(journals, "BUSY_SECONDS", 600)
    secret, today = entry(picture=b"secret" * 1_000), epoch_seconds()
    journal = Journal.open(Settings(data_dir=tmp_path))
    journal.salt(int(today // DAY) - 1)
    journal.add([secret])
    delete: dict[str, Callable[[], object]] = {
        "forget": lambda: journal.forget(secret.id, PHONE, owned=True),
        "forget_some": lambda: journal.forget_some(PHONE),
        "prune": lambda: journal.prune(1, MIB, now=secret.created + 2 * DAY),
        "salt": lambda: journal.salt(int(today // DAY)),
    }

    with ThreadPoolExecutor(1) as pool, closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM kept").fetchone()
        pool.submit(delete[way]).result(60)
        other.rollback()
    uncleared = (tmp_path / f"{FILE}-wal").stat().st_size
    journal.prune(30 if way == "salt" else 1e9, 100 * MIB, now=today)

    assert uncleared > 0
    assert (tmp_path / f"{FILE}-wal").stat().st_size == 0
    with journal._engine.connect() as connection:  # noqa: SLF001  the time is the connection's
        assert connection.connection.driver_connection.execute("PRAGMA busy_timeout").fetchone() == (600_000,)  # type: ignore[union-attr]
    journal.close()


def test_who_reads_holds_up_no_writer(journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, to_corrected = Journal.open(Settings(data_dir=tmp_path)), journals._to_corrected  # noqa: SLF001  a row that takes long
    journal.restore([Corrected(entry(number), said(entry(number), "1")) for number in range(2)])
    written: list[str] = []

    def write(row: Row[Any]) -> Corrected:
        other.add([entry(number := 10 + len(written))])
        written.append(entry(number).id)
        return to_corrected(row)

    with monkeypatch.context() as patch:
        patch.setattr(journals, "_to_corrected", write)
        found = journal.corrected(pictures=True)
    other.close()

    assert [each.entry.id for each in found] == [entry(0).id, entry(1).id]
    assert journal.amounts().answers == 4


def test_who_writes_holds_up_no_reader(journal: Journal, tmp_path: Path) -> None:
    journal.restore([Corrected(entry(), said(entry(), "1"))])

    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        found, amounts = journal.corrected(), journal.amounts()

    assert (len(found), amounts.answers) == (1, 1)


def test_a_restored_correction_is_not_counted_twice(journal: Journal) -> None:
    corrected = [Corrected(entry(n), said(entry(n), "1")) for n in (1, 2)]

    assert [journal.restore(corrected), journal.restore([*corrected, *corrected]), journal.restore([])] == [2, 0, 0]
    assert journal.amounts().corrections == {"accepted": 2}


def test_more_are_restored_than_a_statement_may_name(journal: Journal) -> None:
    corrected = [Corrected(each, said(each, "1")) for each in map(entry, range(STEP + 200))]
    with journal._engine.connect() as connection:  # noqa: SLF001  the limit is the connection's
        connection.connection.driver_connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, STEP)  # type: ignore[union-attr]

    assert [journal.restore(corrected[100:]), journal.restore([*corrected, *corrected])] == [STEP + 100, 100]
    assert journal.amounts().corrections == {"accepted": STEP + 200}


@pytest.mark.parametrize("way", ["purge", "purge before", "forget_client"])
def test_many_are_deleted_in_steps_between_which_others_write(journal: Journal, way: str) -> None:
    journal.add([entry(1, client=WEB, created=2.0e9), *map(entry, range(2, 2 * STEP + 102))])
    delete: dict[str, Callable[[], int]] = {
        "purge": journal.purge,
        "purge before": lambda: journal.purge(before=1.0e9),
        "forget_client": lambda: journal.forget_client(PHONE),
    }
    steps: list[int] = []

    @event.listens_for(journal._engine, "commit")  # noqa: SLF001  a transaction is seen nowhere else
    def count(connection: Connection) -> None:
        steps.append(connection.exec_driver_sql("SELECT count(*) FROM kept").scalar_one())

    count_deleted = delete[way]()

    left = 0 if way == "purge" else 1
    assert count_deleted == 2 * STEP + 101 - left
    assert all(before - after <= STEP for before, after in pairwise([2 * STEP + 101, *steps]))
    assert journal.amounts().answers == left


def test_pruning_takes_a_step_at_a_time_the_oldest_first(journal: Journal) -> None:
    journal.add([*map(entry, range(2 * STEP + 100))])
    now = 1_000_000 + 3 * DAY

    by_age = journal.prune(1, 2**30, now)
    oldest = journal.purge(before=1_000_000.0 + STEP)
    by_size = [journal.prune(30, 784 * 50, now) for _ in range(3)]

    assert (by_age, oldest, by_size) == (STEP, 0, [STEP, 50, 0])


def test_the_oldest_go_first_by_age_and_by_size(journal: Journal) -> None:
    now = 10 * DAY
    journal.add([entry(n, created=float(now - n * DAY), picture=b"0" * MIB) for n in range(6)])

    assert journal.prune(4.5, 100 * MIB, now) == 1
    assert journal.prune(4.5, 3 * MIB, now) == 3
    assert journal.amounts().answers == 2
    assert journal.amounts().bytes == 2 * (MIB + 784)
    assert journal.prune(4.5, 3 * MIB, now) == 0


def test_the_file_shrinks_when_answers_go(journal: Journal, tmp_path: Path) -> None:
    journal.add([entry(n, picture=bytes(MIB)) for n in range(4)])
    journal.purge(before=0)  # nothing: only the log is written back
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = (tmp_path / FILE).stat().st_size

    journal.purge()

    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert before > 4 * MIB
    assert (tmp_path / FILE).stat().st_size < MIB


def test_a_clients_digest_is_another_one_each_day_and_cannot_be_made_again(journal: Journal) -> None:
    first, again, tomorrow = (digest("203.0.113.9", journal.salt(day)) for day in (5, 5, 6))

    assert first == again != tomorrow
    assert digest("203.0.113.9", journal.salt(5)) != first  # yesterday's salt was deleted, so this is a new one
    assert "203.0.113.9" not in first


def salts(folder: Path) -> list[int]:
    """The days whose salts are there."""
    with sqlite3.connect(folder / FILE) as database:
        return [day for (day,) in database.execute("SELECT day FROM salts ORDER BY day")]


def test_a_days_salt_goes_with_the_first_pruning_after_it_and_is_in_no_file(journal: Journal, tmp_path: Path) -> None:
    salt = journal.salt(5)
    journal.prune(30, MIB, now=6 * DAY - 1)
    assert salts(tmp_path) == [5]
    assert any(salt in file.read_bytes() for file in tmp_path.iterdir())

    journal.prune(30, MIB, now=6 * DAY)

    assert salts(tmp_path) == []
    assert not any(salt in file.read_bytes() for file in tmp_path.iterdir())


def test_salts_of_earlier_days_go_when_the_database_is_opened(journal: Journal, tmp_path: Path) -> None:
    today = int(epoch_seconds() // DAY)
    salt = journal.salt(today - 1)
    journal.close()

    Journal.open(Settings(data_dir=tmp_path)).close()

    assert salts(tmp_path) == []
    assert not any(salt in file.read_bytes() for file in tmp_path.iterdir())


def test_only_todays_salt_stays_when_all_is_deleted(journal: Journal, tmp_path: Path) -> None:
    today = int(epoch_seconds() // DAY)
    journal.salt(today)
    journal.salt(today - 1)  # as for an answer of midnight that is written late

    journal.purge(before=0)
    before = salts(tmp_path)
    journal.purge()
    after = salts(tmp_path)
    journal.salt(today + 1)  # as if the clock were wrong
    journal.purge()

    assert (before, after, salts(tmp_path)) == ([today - 1, today], [today], [])


def test_two_processes_have_one_salt(journal: Journal, tmp_path: Path) -> None:
    other = Journal.open(Settings(data_dir=tmp_path))

    assert journal.salt(7) == other.salt(7)
    other.close()


@pytest.mark.usefixtures("journal")
def test_nobody_else_may_read_the_file(tmp_path: Path) -> None:
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0


@pytest.mark.usefixtures("journal")
def test_the_migrations_make_what_the_tables_say(tmp_path: Path) -> None:
    with create_engine(f"sqlite:///{tmp_path / FILE}", poolclass=NullPool).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


@pytest.mark.usefixtures("journal")
def test_a_database_of_a_later_release_stops_the_start(tmp_path: Path) -> None:
    with create_engine(f"sqlite:///{tmp_path / FILE}", poolclass=NullPool).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(StartupError, match="9999"):
        Journal.open(Settings(data_dir=tmp_path))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql+pymysql://a/b", "NUMERAL_DATABASE_URL"),
        ("nonsense", "NUMERAL_DATABASE_URL cannot be used"),
        ("sqlite:////nowhere/at/all.sqlite", "cannot be used"),
    ],
)
def test_a_database_that_cannot_be_used_stops_the_start(url: str, message: str) -> None:
    with pytest.raises(StartupError, match=message):
        Journal.open(Settings(database_url=url))


def test_a_folder_that_cannot_be_written_to_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StartupError, match="NUMERAL_DATA_DIR"):
        Journal.open(Settings(data_dir=tmp_path / "file"))


def test_a_full_disk_is_a_refusal_and_not_a_fault(journal: Journal, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as database:
        pages = database.execute("PRAGMA page_count").fetchone()[0]
    with journal._engine.connect() as connection:  # noqa: SLF001  the limit is the connection's
        connection.connection.driver_connection.execute(f"PRAGMA max_page_count = {pages}")  # type: ignore[union-attr]

    with pytest.raises(Overloaded, match="full"):
        journal.add([entry(n, picture=bytes(MIB)) for n in range(4)])
    assert journal.amounts().answers == 0


def drop(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database:
        database.execute("DROP TABLE corrections")
        database.execute("DROP TABLE kept")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [(drop, "no such table"), (lambda file: file.write_bytes(b"nonsense" * 1_000), "not a database")],
    ids=["no table", "no database"],
)
def test_a_damaged_database_is_a_fault_and_not_a_refusal(
    journal: Journal, tmp_path: Path, spoil: Callable[[Path], object], told: str
) -> None:
    journal.close()  # it opens the file anew
    spoil(tmp_path / FILE)

    for use in (lambda: journal.add([entry()]), journal.amounts, lambda: journal.forget(entry().id, PHONE, owned=True)):
        with pytest.raises(InternalError, match=told):
            use()


WRITER = """
import sys
from pathlib import Path
from app.corrections.journal import Journal
from app.settings import Settings
from tests.app.corrections.entries import entry
journal = Journal.open(Settings(data_dir=Path(sys.argv[1])))
number = 0
while True:
    journal.add([entry(number + place, picture=bytes(20_000)) for place in range(8)])
    journal.correct(entry(number).id, "1", "key phone", owned=True)
    number += 8
    print(number, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is Unix's")
def test_a_writer_that_is_killed_leaves_nothing_half_written(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        for _ in range(5):
            written = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)

    journal = Journal.open(Settings(data_dir=tmp_path))
    amounts, found = journal.amounts(), journal.corrected()
    with sqlite3.connect(tmp_path / FILE) as database:
        sound = database.execute("PRAGMA integrity_check").fetchone()[0]
    journal.close()

    assert sound == "ok"
    assert amounts.answers >= written
    assert amounts.answers % 8 == 0
    assert amounts.bytes == amounts.answers * (20_000 + 784)
    assert all(each.entry.glyphs.shape == (1, 28, 28) for each in found)


def test_an_old_copy_of_the_folder_is_opened_as_it_is(journal: Journal, tmp_path: Path) -> None:
    journal.add([entry()])
    journal.close()
    shutil.copytree(tmp_path, tmp_path / "copy")

    other = Journal.open(Settings(data_dir=tmp_path / "copy"))
    assert other.amounts().answers == 1
    other.close()


@pytest.mark.parametrize(
    ("truth", "possible"),
    [
        ("", True),
        ("7", True),
        ("05\n18", True),
        ("\n", False),
        ("1\n", False),
        ("a", False),
        ("٣", False),
        ("1" * 2_001, False),
    ],
)
def test_a_truth_is_digits_and_line_breaks(truth: str, possible: bool) -> None:
    assert is_text(truth) == possible


def test_glyphs_have_the_digits_that_a_correction_says() -> None:
    three = entry(text="123", single=False, glyphs=np.stack([glyph(n) for n in range(3)]))

    def labels(truth: str) -> list[int | None]:
        return [label for _, label in to_pairs(Corrected(three, said(three, truth)))]

    assert labels("1\n43") == [1, 4, 3]
    assert labels("") == [None] * 3
    assert labels("12") == []
    told = {truth: reason_of("1\n2", truth) for truth in ("1\n2", "1\n3", "12", "")}
    assert told == {"1\n2": "confirmed", "1\n3": "wrong-digit", "12": "wrong-lines", "": "no-digit"}
