"""Faults around the service: a killed worker, a damaged model, a full disk under the log, a clock that jumps."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import pytest
from typer.testing import CliRunner

from app.cli.app import cli
from app.settings import Settings
from benchmarks.pictures import canvas, encode
from tests import plain_http
from tests.servers import wait_for, workers_of
from tests.versions import SHIPPED, change_record

DRAWING = encode(canvas(3))
SERVE = [sys.executable, "-m", "app", "serve"]


@contextmanager
def service(
    *arguments: str, stderr: int | None = subprocess.DEVNULL, **environment: str
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """``numeral serve`` in a process of its own: its address, once it is ready, and the process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*SERVE, "--port", str(port), "--model-version", SHIPPED, *arguments]
    variables, null = {**os.environ, **environment}, subprocess.DEVNULL
    with subprocess.Popen(command, env=variables, stdout=null, stderr=stderr, start_new_session=True) as process:
        try:
            wait_for(f"http://127.0.0.1:{port}/health/ready", 200)
            yield f"http://127.0.0.1:{port}", process
        finally:
            with suppress(ProcessLookupError):  # the test has ended them
                os.killpg(process.pid, signal.SIGKILL)  # its workers too


def workers(process: subprocess.Popen[bytes]) -> set[int]:
    """The processes that a service's supervisor has started to serve."""
    return set(workers_of(process.pid))


def eventually(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not true():
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="workers are found in Linux's /proc")
def test_a_killed_worker_is_replaced_while_the_others_serve_on() -> None:
    statuses: list[int] = []
    broken: list[str] = []
    over = threading.Event()

    def ask(url: str) -> None:
        while not over.is_set():
            try:
                statuses.append(plain_http.post(f"{url}/predict", content=DRAWING, timeout=60).status_code)
            except httpx2.TransportError as error:  # what the killed worker was answering
                broken.append(type(error).__name__)

    with service("--workers", "2", NUMERAL_LOG_LEVEL="error") as (url, process):
        clients = [threading.Thread(target=ask, args=(url,)) for _ in range(4)]
        for client in clients:
            client.start()
        eventually(lambda: len(statuses) > 10)
        before = workers(process)
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        answered = len(statuses)
        eventually(lambda: victim not in workers(process) and len(workers(process)) == 2 and len(statuses) > answered + 10)
        after = workers(process)
        over.set()
        for client in clients:
            client.join()

    assert len(before) == len(after) == 2
    assert victim not in after
    assert set(statuses) == {200}
    assert len(broken) <= len(clients)  # a request each, at most, was in the killed worker's hands


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="workers are found in Linux's /proc")
def test_workers_end_after_a_killed_supervisor() -> None:
    with service("--workers", "2", NUMERAL_DRAIN_SECONDS="0") as (_, process):
        orphans = workers(process)
        process.kill()
        process.wait()
        eventually(lambda: not any(Path(f"/proc/{worker}").exists() for worker in orphans))

    assert len(orphans) == 2


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The shipped model's folder, in a copy of the whole store."""
    shutil.copytree(Settings().model_store, tmp_path / "store", ignore=shutil.ignore_patterns("*.pth"))
    return tmp_path / "store" / "digits" / SHIPPED


def start(folder: Path) -> str:
    """What ``numeral serve`` says when it cannot start with the store that a model's folder lies in."""
    done = CliRunner().invoke(cli, ["serve", "--port", "0"], env={"NUMERAL_MODEL_STORE": str(folder.parent.parent)})
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit)  # and not what would be a traceback
    return done.stderr


def test_a_missing_model_stops_the_start_by_name(store: Path) -> None:
    (store / "model.onnx").unlink()

    assert f"Model digits/{SHIPPED}: model.onnx cannot be read" in start(store)


def test_a_truncated_model_stops_the_start(store: Path) -> None:
    os.truncate(store / "model.onnx", 1_000)

    assert "is not the file that was published" in start(store)


def test_another_model_in_its_place_stops_the_start_before_onnxruntime_sees_it(store: Path) -> None:
    shutil.copy(store.parent.with_name("digits_uint8") / SHIPPED / "model.uint8.onnx", store / "model.onnx")

    assert "is not the file that was published" in start(store)


def test_a_store_without_a_pointer_stops_the_start(store: Path) -> None:
    (store.parent / "served").unlink()

    said = start(store)

    assert "nothing says which version is served" in said
    assert f"It has the versions {SHIPPED}." in said


def test_a_version_of_the_reader_before_stops_the_start_by_name_and_reason(store: Path) -> None:
    change_record(store, reader=1)

    assert f"Model digits/{SHIPPED}: it was made for reader 1, which found digits by rules; this is reader 2" in start(store)


def test_another_finder_in_its_place_stops_the_start(store: Path) -> None:
    shutil.copy(store / "model.onnx", store.parent.with_name("digits_finder") / SHIPPED)

    assert "is not the file that was published" in start(store)


def test_a_record_that_is_no_json_stops_the_start(store: Path) -> None:
    (store / "model.json").write_text("{", encoding="utf-8")

    assert "model.json cannot be read" in start(store)


def test_a_model_that_is_damaged_while_it_serves_changes_no_answer(store: Path) -> None:
    with service(NUMERAL_MODEL_STORE=str(store.parent.parent)) as (url, _):
        (store / "model.onnx").write_bytes(b"")

        assert plain_http.post(f"{url}/predict", content=DRAWING, timeout=60).json()["digit"] == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_for_the_log_costs_no_answer() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        with service(stderr=full) as (url, _):
            answers = [
                plain_http.post(f"{url}/predict", content=data, timeout=60).status_code for data in (DRAWING, b"text") * 5
            ]
    finally:
        os.close(full)

    assert answers == [200, 415] * 5


def test_a_log_that_nobody_reads_any_more_costs_no_answer() -> None:
    read, write = os.pipe()
    with service(stderr=write) as (url, _):
        os.close(write)
        os.close(read)
        answers = [plain_http.post(f"{url}/predict", content=data, timeout=60).status_code for data in (DRAWING, b"text") * 5]

    assert answers == [200, 415] * 5


JUMPING = """
import sys, time
real = time.time
time.time = lambda: real() + 1e6 * (1 if int(real() * 20) % 2 else -1)
sys.argv = ["numeral", *sys.argv[1:]]
from app.cli.app import main
main()
"""


def test_a_clock_that_jumps_costs_no_answer(tmp_path: Path) -> None:
    program = tmp_path / "jumping.py"
    program.write_text(JUMPING, encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(program), "serve", "--port", str(port), "--model-version", SHIPPED]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "NUMERAL_DEADLINE_SECONDS": "30"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(f"{url}/health/ready", 200)
            answers = [plain_http.post(f"{url}/predict", content=DRAWING, timeout=60).status_code for _ in range(20)]
        finally:
            process.kill()

    assert answers == [200] * 20


def test_no_deadline_is_told_by_the_clock_on_the_wall() -> None:
    app = Path(__file__).parents[2] / "app"
    asks = {
        module.relative_to(app).as_posix() for module in app.rglob("*.py") if "time.time(" in module.read_text(encoding="utf-8")
    }

    assert asks == {"corrections/entry.py"}  # which says to people when something was kept
