"""The same database as PostgreSQL: a real server, on a socket in a folder of its own."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("psycopg")

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from app.corrections.entry import Corrected
from app.corrections.journal import STEP, Journal
from app.corrections.tables import METADATA
from app.errors import NotFound, StartupError
from app.settings import Settings
from tests.app.corrections.entries import entry, said

pytestmark = pytest.mark.postgres

TOOLS = [*map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"))), *os.environ.get("PATH", "").split(os.pathsep)]
FORBIDDEN = 0  # the user that PostgreSQL refuses to run as


def tool(name: str) -> str:
    found = shutil.which(name, path=os.pathsep.join(TOOLS))
    if found is None:
        pytest.skip("PostgreSQL is not installed")
    return found


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server's URL."""
    user = "postgres" if os.getuid() == FORBIDDEN else None
    if user and user not in {each.pw_name for each in pwd.getpwall()}:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    with TemporaryDirectory(prefix="pg-") as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, user)

        def call(*arguments: str) -> None:
            subprocess.run(arguments, check=True, capture_output=True, user=user, cwd=folder)

        call(tool("initdb"), "-D", f"{folder}/data", "-A", "trust", "-U", "numeral", "--no-sync")
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        call(tool("pg_ctl"), "-D", f"{folder}/data", "-w", "-l", f"{folder}/log", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://numeral@/postgres?host={folder}"
        finally:
            call(tool("pg_ctl"), "-D", f"{folder}/data", "-m", "immediate", "stop")


@pytest.fixture
def journal(url: str) -> Iterator[Journal]:
    opened = Journal.open(Settings(database_url=url))
    opened.purge()
    yield opened
    opened.close()


def test_replicas_share_what_is_kept(journal: Journal, url: str) -> None:
    other = Journal.open(Settings(database_url=url))
    journal.add([entry(1), entry(2)])
    other.add([entry(2), entry(3)])

    first = other.correct(entry(1).id, "1", "key phone", owned=True)
    again = journal.correct(entry(1).id, "1", "key phone", owned=True)
    with pytest.raises(NotFound):
        other.correct(entry(1).id, "1", "key web", owned=True)

    assert (first.first, again.changed) == (True, False)
    assert journal.amounts().answers == 3
    assert journal.salt(7) == other.salt(7)
    assert journal.review(entry(1).id, "1", "accepted")
    (found,) = other.corrected("accepted")
    assert found.entry.boxes == entry(1).boxes
    assert found.entry.glyphs.tobytes() == entry(1).glyphs.tobytes()
    other.close()


def test_rows_go_by_age_size_and_client(journal: Journal) -> None:
    journal.restore([Corrected(entry(n, client=f"key {n % 2}"), said(entry(n), "1")) for n in range(6)])

    assert journal.forget_client("key 1") == 3
    assert journal.prune(1, 2**30, 1_000_002 + 86_400) == 1
    assert journal.prune(1, 784, 1_000_003) == 1
    assert (journal.amounts().answers, journal.amounts().corrections) == (1, {"accepted": 1})


def test_many_are_added_and_deleted_in_steps(journal: Journal, url: str) -> None:
    corrected = [Corrected(each, said(each, "1")) for each in map(entry, range(2 * STEP + 100))]
    other = Journal.open(Settings(database_url=url))

    assert [journal.restore(corrected[:50]), journal.restore(corrected)] == [50, 2 * STEP + 50]
    assert journal.prune(1, 2**30, 1_000_000 + 3 * 86_400) == STEP
    with ThreadPoolExecutor(2) as together:
        deleted = sum(together.map(lambda each: each.purge(), (journal, other)))
    assert deleted == STEP + 100
    assert journal.amounts().answers == 0
    other.close()


def test_salts_go_with_their_day(journal: Journal) -> None:
    salt = journal.salt(5)
    journal.prune(30, 2**30, 6 * 86_400 - 1)
    same = journal.salt(5)
    journal.prune(30, 2**30, 6 * 86_400)

    assert same == salt != journal.salt(5)


def test_one_correction_of_many_at_once_is_the_first(journal: Journal) -> None:
    journal.add([entry()])
    taken: list[bool] = []

    def correct() -> None:
        taken.append(journal.correct(entry().id, "1", "key phone", owned=True).first)

    threads = [Thread(target=correct) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(taken) == [False] * 7 + [True]


def test_the_tables_are_made_once_and_are_what_the_code_says(journal: Journal, url: str) -> None:
    Journal.open(Settings(database_url=url)).close()
    engine = create_engine(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()
    assert journal.amounts().answers == 0


def test_a_server_that_is_away_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="cannot be used"):
        Journal.open(Settings(database_url=f"postgresql+psycopg://numeral@/postgres?host={tmp_path}"))
