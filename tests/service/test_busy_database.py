"""Another process holds the workers' database: whoever does not ask for it is answered as ever."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.runtime.shared_state import BUSY_SECONDS, FILE
from app.settings import Settings
from tests import plain_http
from tests.servers import DRAWING, serving
from tests.versions import SHIPPED

HELD_SECONDS = 3  # longer than the 2 seconds that SQLite waits for a lock
LIMIT = 40
HOLD = (
    "import sqlite3, sys; database = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None);"
    "database.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()"
)


@contextmanager
def held(database: Path) -> Iterator[None]:
    """Another process has the database to itself."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdin
        assert holder.stdout.readline() == "held\n"
        yield
        holder.stdin.close()


def ask(url: str) -> tuple[float, int]:
    """Seconds that an answer took, and its status."""
    begun = time.monotonic()
    if url.endswith("/predict"):
        status: int = plain_http.post(url, content=DRAWING, timeout=30).status_code
    else:
        status = plain_http.get(url, timeout=30).status_code
    return time.monotonic() - begun, status


def test_while_another_process_holds_the_database_requests_are_answered_as_ever(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(model_version=SHIPPED, runtime_dir=tmp_path, rate_limit="100000/day")
    paths = ("/health/live", "/health/ready", "/predict", "/model", "/metrics")
    with serving(settings) as port, ThreadPoolExecutor(len(paths)) as pool:
        urls = [f"http://127.0.0.1:{port}{path}" for path in paths]
        with held(tmp_path / FILE):
            until, answers = time.monotonic() + HELD_SECONDS, list[tuple[float, int]]()
            while time.monotonic() < until:
                answers += pool.map(ask, urls)
                time.sleep(0.05)
        after = [status for _, status in pool.map(ask, urls)]

    assert len(answers) > 10 * len(paths)
    assert {status for _, status in answers} == {200}
    assert max(seconds for seconds, _ in answers) < BUSY_SECONDS  # nobody waited for the database
    assert after == [200] * len(paths)
    assert "this one counts alone" in caplog.text


def test_a_clients_limit_is_then_counted_by_each_worker_alone(tmp_path: Path) -> None:
    settings = Settings(model_version=SHIPPED, runtime_dir=tmp_path, rate_limit=f"{LIMIT}/day")
    with serving(settings) as port:
        url = f"http://127.0.0.1:{port}/model"
        before = [ask(url)[1] for _ in range(LIMIT // 2)]
        with held(tmp_path / FILE):
            alone = [ask(url)[1] for _ in range(LIMIT + 5)]
            healthy = ask(f"http://127.0.0.1:{port}/health/live")[1]
        until = time.monotonic() + 30
        while ask(url)[1] != 200 and time.monotonic() < until:  # once they count together again, half is left
            time.sleep(0.1)
        together = [ask(url)[1] for _ in range(LIMIT)]

    assert before == [200] * (LIMIT // 2)
    assert alone == [200] * LIMIT + [429] * 5
    assert healthy == 200
    assert 0 < together.count(200) < LIMIT // 2
