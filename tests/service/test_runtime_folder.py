"""The folder that workers share: it belongs to one service, may be full, and is found clean after a kill."""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from app.errors import Overloaded, StartupError
from app.runtime import shared_state
from app.runtime.shared_state import FILE, OWNER, Shared, open_runtime_folder
from app.settings import Settings
from tests import plain_http
from tests.servers import DRAWING, free_port, serving, wait_for
from tests.service.test_faults import eventually, workers
from tests.versions import add_version


@contextmanager
def started(folder: Path, workers: int = 2) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    port = free_port()
    command = [sys.executable, "-m", "app", "serve", "--port", str(port), "--workers", str(workers)]
    environment = {**os.environ, "NUMERAL_RUNTIME_DIR": str(folder), "NUMERAL_DRAIN_SECONDS": "0.2"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as service:
        try:
            wait_for(f"http://127.0.0.1:{port}/health/ready", 200)
            yield service, f"http://127.0.0.1:{port}"
        finally:
            service.terminate()


def test_a_folder_belongs_to_one_service_and_the_second_is_refused_by_name(tmp_path: Path) -> None:
    with started(tmp_path) as (service, url):
        second = subprocess.run(
            [sys.executable, "-m", "app", "serve", "--port", "0"],
            env={**os.environ, "NUMERAL_RUNTIME_DIR": str(tmp_path)}, check=False, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        answer = plain_http.post(f"{url}/predict", content=DRAWING).json()

    assert second.returncode == 1
    last = second.stderr.rstrip().splitlines()[-1]
    assert f"{tmp_path} belongs to another service, process {service.pid}" in last
    assert answer["digit"] == 3


def test_a_service_that_was_killed_leaves_nothing_that_the_next_one_stumbles_over(tmp_path: Path) -> None:
    with started(tmp_path) as (service, url):
        plain_http.post(f"{url}/predict", content=DRAWING)
        service.send_signal(signal.SIGKILL)
        service.wait()
        with started(tmp_path, 1) as (_, next_url):
            counted = plain_http.get(f"{next_url}/metrics").text

    assert 'numeral_predictions_total{digit="3"} 0.0' in counted


def test_what_a_killed_service_made_for_itself_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, strange = tmp_path / "numeral-left", tmp_path / "numeral-strange"
    for folder in (left, strange):
        folder.mkdir()
    (left / OWNER).write_text("1")

    with open_runtime_folder(None) as first:
        (first / FILE).touch()
        with open_runtime_folder(None) as second:
            assert first.exists()
            assert second != first
        assert not left.exists()
        assert strange.exists()
    assert not first.exists()


def test_a_folder_whose_workers_still_run_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_state, "LEAVING_SECONDS", 0.2)
    worker = Shared(tmp_path)
    with pytest.raises(StartupError, match="belongs to another service"), open_runtime_folder(tmp_path):
        pass
    worker.close()
    with open_runtime_folder(tmp_path) as opened:
        assert opened == tmp_path


def test_a_transaction_that_finds_no_room_is_undone_and_said_to(tmp_path: Path) -> None:
    shared = Shared(tmp_path)
    with shared.transaction() as database:
        database.execute("CREATE TABLE notes (text TEXT)")
        database.execute(f"PRAGMA max_page_count = {database.execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(Overloaded, match="make room"), shared.transaction() as database:
        database.execute("INSERT INTO notes VALUES (?)", ("x" * 100_000,))
    with shared.transaction() as database:
        assert database.execute("SELECT count(*) FROM notes").fetchone() == (0,)
    shared.close()


@pytest.mark.parametrize("small_disk", [8_192], indirect=True)
def test_a_full_folder_costs_no_answer_and_no_fault(small_disk: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    for number in ("1", "2"):
        add_version(store, number)
    settings = Settings(model_store=store, runtime_dir=small_disk, rate_limit="1000/hour")
    with serving(settings) as port, plain_http.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        assert client.post("/predict", content=DRAWING).status_code == 200
        ballast = fill(small_disk)
        pictures = [client.post("/predict", content=DRAWING).status_code for _ in range(50)]
        asked = [client.get(path).status_code for path in ("/metrics", "/models", "/model", "/health/ready")]
        switches = [
            client.post("/admin/models/2/activate"),
            client.post("/admin/models/2/shadow"),
            client.delete("/admin/models/shadow"),
        ]
        ballast.unlink()
        again = client.post("/admin/models/2/activate")

    assert pictures == [200] * 50
    assert asked == [200] * 4
    assert [answer.status_code for answer in switches] == [503, 503, 200]
    assert again.status_code == 200


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="workers are found in Linux's /proc")
@pytest.mark.parametrize("small_disk", [24_576], indirect=True)
def test_a_worker_that_cannot_start_in_a_full_folder_does_not_end_the_others_and_is_tried_again(small_disk: Path) -> None:
    with started(small_disk) as (service, url):
        eventually(lambda: len(joined(small_disk)) == 2)
        victim = min(joined(small_disk))
        ballast = fill(small_disk)
        os.kill(victim, signal.SIGKILL)
        tried: set[int] = set()

        def is_tried_again() -> bool:
            tried.update(workers(service) - {victim} - joined(small_disk))
            assert plain_http.post(f"{url}/predict", content=DRAWING).status_code == 200
            return len(tried) > 1  # the first one that took its place has ended, and there is another

        eventually(is_tried_again)
        ballast.unlink()
        eventually(lambda: len(joined(small_disk) - {victim}) == 2)
        answer = plain_http.post(f"{url}/predict", content=DRAWING).json()

    assert answer["digit"] == 3


def joined(folder: Path) -> set[int]:
    """The workers that serve, as they themselves have noted."""
    with sqlite3.connect(folder / FILE, timeout=5) as database:
        return {pid for (pid,) in database.execute("SELECT pid FROM workers")}


def fill(folder: Path) -> Path:
    """A file that leaves no room in a folder."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return ballast
