"""The real service with two processes: model changes under load, shared limits, and a killed worker that comes back."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.web.access.keys import make_key
from benchmarks.pictures import canvas, encode
from tests import plain_http
from tests.servers import wait_for
from tests.versions import add_version, onnx_file

DRAWING = encode(canvas(3))
LIMIT = 150
LONGEST = 0.3  # seconds that an answer takes: who asked before the switch may be answered after it
KEYS = {name: make_key(name, role) for name, role in (("admin", "admin"), ("caller", "predict"), ("greedy", "predict"))}  # type: ignore[arg-type]


@dataclass(frozen=True)
class Service:
    url: str
    runtime: Path

    def call(self, method: str, path: str, key: str, **arguments: Any) -> httpx2.Response:
        """On a connection of its own, so that either worker may get it."""
        headers = {"X-API-Key": KEYS[key][0]}
        return plain_http.request(method, self.url + path, headers=headers, timeout=60, **arguments)

    def workers(self) -> dict[int, int]:
        """What each process serves, by its pid."""
        with sqlite3.connect(self.runtime / "shared.sqlite", timeout=5) as database:
            return dict(database.execute("SELECT pid, serves FROM workers").fetchall())


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("two")
    store = folder / "store"
    for version, threshold in (("1", None), ("2", 0.25), ("3", 0.125)):
        add_version(store, version, threshold)
    shutil.copy(onnx_file(store, "1", "finder"), onnx_file(store, "3", "finder"))  # swapped for another
    (folder / "keys").write_text("\n".join(str(kept) for _, kept in KEYS.values()), encoding="utf-8")
    (folder / "run").mkdir()
    (folder / "run" / "shared.sqlite").write_bytes(b"left by an earlier service")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "MODEL_STORE": store,
        "API_KEYS_FILE": folder / "keys",
        "RUNTIME_DIR": folder / "run",
        "RATE_LIMIT": f"{LIMIT * 10}/day",
    }
    environment = {
        **os.environ,
        "NUMERAL_DRAIN_SECONDS": "0",
        **{f"NUMERAL_{name}": str(value) for name, value in settings.items()},
    }
    command = [sys.executable, "-m", "app", "serve", "--port", str(port), "--workers", "2", "--model-version", "2"]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, env=environment, stdout=log, stderr=log) as server:
        started = Service(f"http://127.0.0.1:{port}", folder / "run")
        wait_for(f"{started.url}/health/ready", 200)
        while len(started.workers()) < 2:
            time.sleep(0.05)
        yield started
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) in (0, -signal.SIGTERM)


@contextmanager
def load(service: Service, answers: list[tuple[float, int, str]]) -> Iterator[None]:
    """Four clients that post as fast as they are answered; begun, status and version of each answer."""
    over = threading.Event()

    def post() -> None:
        with plain_http.Client(headers={"X-API-Key": KEYS["caller"][0]}, timeout=60) as client:
            while not over.is_set():
                begun = time.monotonic()
                answer = client.post(f"{service.url}/predict", content=DRAWING)
                answers.append((begun, answer.status_code, answer.json().get("model", {}).get("version")))
                time.sleep(0.02)

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(post) for _ in range(4)]
        try:
            yield
        finally:
            over.set()
        for client in clients:
            client.result()


def test_under_load_no_request_fails_while_models_change(service: Service) -> None:
    answers: list[tuple[float, int, str]] = []
    with load(service, answers):
        time.sleep(0.5)
        assert service.call("POST", "/admin/models/1/activate", "admin").json()["active"] == "1"
        first = time.monotonic()
        time.sleep(0.5)
        bad = service.call("POST", "/admin/models/3/activate", "admin")
        service.call("POST", "/admin/models/2/shadow", "admin").raise_for_status()
        time.sleep(0.5)
        rolling = time.monotonic()
        back = service.call("POST", "/admin/models/rollback", "admin").json()
        second = time.monotonic()
        time.sleep(0.5)

    assert (bad.status_code, bad.json()["code"]) == (409, "model-rejected")
    assert (back["active"], back["previous"], back["shadow"]) == ("2", None, None)
    assert {status for _, status, _ in answers} == {200}
    assert {version for _, _, version in answers} == {"1", "2"}
    assert {version for begun, _, version in answers if begun > second} == {"2"}
    assert {version for begun, _, version in answers if first < begun < rolling - LONGEST} == {"1"}


def test_every_worker_reports_the_same_models(service: Service) -> None:
    service.call("POST", "/admin/models/1/shadow", "admin").raise_for_status()
    with ThreadPoolExecutor(8) as pool:
        paths = ("/predict", "/read") * 12
        posted = list(pool.map(lambda path: service.call("POST", path, "caller", content=DRAWING).status_code, paths))
        until = time.monotonic() + 20
        while service.call("GET", "/models", "caller").json()["shadow"]["compared"] < 24 and time.monotonic() < until:
            time.sleep(0.05)
        told = list(pool.map(lambda _: service.call("GET", "/models", "caller").text, range(24)))
    ended = service.call("DELETE", "/admin/models/shadow", "admin").json()

    assert set(posted) == {200}
    assert len(set(told)) == 1
    assert '"compared":24,"agreed":24,"dropped":0,"failed":0' in told[0]
    assert ended["shadow"] is None
    assert len(set(service.workers().values())) == 1


def test_a_killed_worker_comes_back_to_what_was_activated(service: Service) -> None:
    service.call("POST", "/admin/models/1/activate", "admin").raise_for_status()
    before = set(service.workers())
    killed = min(before)

    os.kill(killed, signal.SIGKILL)
    until = time.monotonic() + 60
    while (killed in (now := service.workers()) or len(now) < 2) and time.monotonic() < until:
        time.sleep(0.1)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: service.call("POST", "/predict", "caller", content=DRAWING).json(), range(24)))
    service.call("POST", "/admin/models/2/activate", "admin").raise_for_status()

    assert len(set(now) - before) == 1
    assert len(set(now.values())) == 1
    assert {answer["model"]["version"] for answer in answers} == {"1"}


def test_a_clients_limit_counts_once_over_all_workers(service: Service) -> None:
    def ask(_: int) -> list[int]:
        with plain_http.Client(headers={"X-API-Key": KEYS["greedy"][0]}, timeout=60) as client:
            return [client.get(f"{service.url}/model").status_code for _ in range(LIMIT)]

    with ThreadPoolExecutor(11) as pool:
        statuses = Counter(status for answers in pool.map(ask, range(11)) for status in answers)
    refused = service.call("GET", "/model", "greedy")

    assert statuses == {200: LIMIT * 10, 429: LIMIT}
    assert refused.json()["code"] == "rate-limited"
    assert int(refused.headers["retry-after"]) >= 1
    assert service.call("GET", "/model", "caller").status_code == 200
