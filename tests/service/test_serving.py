"""A real server under load, with slow and impatient clients, and at shutdown."""

import asyncio
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.types import Message

from app.reading.reader import Reader
from app.reading.requests import PictureOutcome, PictureRequest
from app.runtime.process import COLLECTIONS
from app.settings import Settings
from app.web.application import create_app
from app.web.connection import TimedConnection
from app.web.endpoints import TABLE
from app.web.scope import path_of
from benchmarks.pictures import canvas, encode
from tests import plain_http
from tests.servers import DRAWING, free_port, halted, receive, serving, wait_for, wait_until_in_progress


def test_the_answer_says_where_the_time_went(client: TestClient) -> None:
    timing = client.post("/predict", content=DRAWING).headers["server-timing"]

    stages = dict(stage.split(";dur=") for stage in timing.split(", "))
    assert set(stages) == {"queue", "decode", "find", "infer"}
    assert all(0 <= float(milliseconds) < 10_000 for milliseconds in stages.values())


@pytest.mark.parametrize("path", ["/predict", "/health/live", "/health/ready", "/model", "/v2/models/digits/ready"])
def test_requests_do_not_wait_for_the_frameworks_thread_pool(
    path: str, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a dependency or an endpoint in plain `def` costs a change of threads, half a millisecond")

    monkeypatch.setattr("anyio.to_thread.run_sync", refuse)

    answer = client.post(path, content=DRAWING) if path == "/predict" else client.get(path)

    assert answer.status_code == HTTPStatus.OK


def test_overload_is_refused_before_the_body_is_read_and_health_still_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with halted(monkeypatch) as go_on, serving(Settings(max_waiting=2, worker_threads=1)) as port:
        url = f"http://127.0.0.1:{port}"
        with ThreadPoolExecutor(2) as pool:
            waiting = [pool.submit(plain_http.post, f"{url}/predict", content=DRAWING, timeout=30) for _ in range(2)]
            wait_until_in_progress(url, 2)
            with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
                connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\nExpect: 100-continue\r\n\r\n")
                head, body = receive(connection)
            healthy = plain_http.get(f"{url}/health/ready").status_code
            go_on.set()
            answered = [each.result().json()["digit"] for each in waiting]

    assert head.startswith(b"HTTP/1.1 503 ")  # and not 100, which would ask for the body
    assert b"retry-after: 1" in head.lower()
    assert json.loads(body)["code"] == "overloaded"
    assert healthy == 200
    assert answered == [3, 3]


def test_a_client_that_sends_too_slowly_is_cut_off() -> None:
    with serving(Settings(deadline_seconds=0.3)) as port, socket.create_connection(("127.0.0.1", port), timeout=20) as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\nhalf of it")
        head, body = receive(slow)

    assert head.startswith(b"HTTP/1.1 408 ")
    assert json.loads(body)["code"] == "request-timeout"


def test_an_answer_past_its_deadline_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    with halted(monkeypatch) as go_on, serving(Settings(deadline_seconds=0.3)) as port:
        response = plain_http.post(f"http://127.0.0.1:{port}/predict", content=DRAWING, timeout=20)
        go_on.set()

    assert (response.status_code, response.json()["code"]) == (504, "deadline-exceeded")


def test_the_picture_of_a_client_that_hung_up_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    with halted(monkeypatch) as go_on:
        original = Reader.read_together

        def note(self: Reader, requests: list[PictureRequest], *others: Any, **options: Any) -> list[PictureOutcome]:
            taken.append(len(requests))
            return original(self, requests, *others, **options)

        monkeypatch.setattr(Reader, "read_together", note)
        with serving(Settings(worker_threads=1, batch_size=1)) as port, ThreadPoolExecutor(1) as pool:
            url = f"http://127.0.0.1:{port}"
            first = pool.submit(plain_http.post, f"{url}/predict", content=DRAWING, timeout=30)
            wait_until_in_progress(url, 1)
            with socket.create_connection(("127.0.0.1", port)) as gone:
                gone.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(DRAWING) + DRAWING)
                wait_until_in_progress(url, 2)
            wait_until_in_progress(url, 1)
            go_on.set()
            behind = plain_http.post(f"{url}/predict", content=DRAWING, timeout=30)  # takes its turn after who hung up
            digits = [first.result().json()["digit"], behind.json()["digit"]]

    assert digits == [3, 3]
    assert sum(taken) == 2


def test_requests_leave_nothing_to_the_collector_of_cycles() -> None:
    """Looking for cycles stops all threads; and until it comes, an error that is part of one would hold the picture's bytes."""
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + DRAWING
    sent: dict[str, tuple[int, str, bytes]] = {
        "a drawing": (200, "image/png", DRAWING),
        "no picture": (415, "image/png", b"no picture at all"),
        "no digit": (422, "image/png", encode(canvas(3, ink=(255, 255, 255)))),
        "half a form": (422, "multipart/form-data; boundary=x", form),
        "words before a form": (422, "multipart/form-data; boundary=x", b"words" + form),
    }
    left: dict[str, int] = {}

    async def ask(app: FastAPI, kind: str, body: bytes) -> int:
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        answered: list[Message] = []

        async def receive() -> Message:
            if not messages:
                await asyncio.Event().wait()
            return messages.pop()

        async def send(message: Message) -> None:
            answered.append(message)

        headers = [(b"content-type", kind.encode())]
        scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"", "headers": headers, "state": {}}
        await app(scope, receive, send)
        return int(answered[0]["status"])

    async def ask_often() -> None:
        app = create_app(Settings(log_level="error"))
        async with app.router.lifespan_context(app):
            for name, (status, kind, body) in sent.items():
                await ask(app, kind, body)
                gc.collect()
                gc.disable()
                assert {await ask(app, kind, body) for _ in range(20)} == {status}
                left[name] = gc.collect()
                gc.enable()

    thread = threading.Thread(target=asyncio.run, args=(ask_often(),))  # so that the process remains the tests'
    thread.start()
    thread.join()

    assert left.keys() == sent.keys()
    assert max(left.values()) < 20


def test_the_garbage_collector_skips_what_the_server_started_with() -> None:
    program = (
        "import asyncio, gc; from app.main import create_app\n"
        "async def main():\n"
        "    app = create_app()\n"
        "    async with app.router.lifespan_context(app): print(gc.get_freeze_count(), *gc.get_threshold())\n"
        "asyncio.run(main())"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    frozen, *thresholds = map(int, done.stdout.split())
    assert frozen > 10_000
    assert tuple(thresholds) == COLLECTIONS


def test_opencv_starts_no_threads() -> None:
    import cv2  # noqa: PLC0415

    with TestClient(create_app()):
        assert cv2.getNumThreads() == 1


HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(DRAWING)


def send_and_read_to_the_end(port: int, data: bytes) -> bytes:
    """All that comes back until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(data)
        return b"".join(iter(lambda: client.recv(2**16), b""))


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_turns_ready_to_503_answers_what_comes_and_ends(workers: int, tmp_path: Path) -> None:
    port = free_port()
    environment = {**os.environ, "NUMERAL_DRAIN_SECONDS": "1.5"}
    command = [sys.executable, "-m", "app", "serve", "--port", str(port), "--workers", str(workers)]
    log = (tmp_path / "log").open("wb")
    with subprocess.Popen(command, env=environment, stdout=log, stderr=log) as server:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/health/ready", 200)

        server.send_signal(signal.SIGTERM)
        wait_for(f"{url}/health/ready", 503)
        refused = plain_http.get(f"{url}/health/ready").json()["code"]
        answer = plain_http.post(f"{url}/predict", content=DRAWING)
        in_a_row = send_and_read_to_the_end(port, 3 * (HEAD + DRAWING))

        assert server.wait(20) in (0, -signal.SIGTERM)
    log.close()
    assert refused == "shutting-down"
    assert answer.json()["digit"] == 3
    assert answer.headers["connection"] == "close"
    assert in_a_row.count(b"HTTP/1.1 200 OK") == 3
    assert in_a_row.lower().count(b"connection: close") == 1
    with pytest.raises(httpx2.ConnectError):
        plain_http.get(f"{url}/health/live")


def test_an_upload_that_would_go_on_for_long_does_not_keep_the_service_from_its_end(tmp_path: Path) -> None:
    port = free_port()
    environment = {**os.environ, "NUMERAL_DRAIN_SECONDS": "0", "NUMERAL_DEADLINE_SECONDS": "0.5"}
    command = [sys.executable, "-m", "app", "serve", "--port", str(port)]
    log = (tmp_path / "log").open("wb")
    with log, subprocess.Popen(command, env=environment, stdout=log, stderr=log) as server:
        wait_for(f"http://127.0.0.1:{port}/health/ready", 200)
        with socket.create_connection(("127.0.0.1", port), timeout=0.05) as slow:
            slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n")
            wait_until_in_progress(f"http://127.0.0.1:{port}", 1)
            server.send_signal(signal.SIGTERM)
            answer = b""
            for _ in range(1_250):  # 80,000 bytes a second
                with suppress(BrokenPipeError, ConnectionResetError):  # all of the answer has been sent
                    slow.send(bytes(4_000))
                with suppress(TimeoutError, ConnectionResetError):
                    answer += slow.recv(9_000)
                if b"shutting-down" in answer:
                    break

            assert server.wait(20) in (0, -signal.SIGTERM)
    told = (tmp_path / "log").read_text(encoding="utf-8")
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b'"code":"shutting-down"' in answer
    assert told.count("timeout graceful shutdown exceeded") == 1
    assert "Traceback" not in told


def test_a_request_that_has_arrived_when_the_server_ends_is_answered_although_its_connection_counts_as_idle() -> None:
    request = HEAD + DRAWING
    with socket.socket() as client:

        class Asked(TimedConnection):
            """Is asked when the server has just decided to end, and has read nothing since."""

            def shutdown(self) -> None:
                client.sendall(request)
                super().shutdown()

        client.settimeout(60)
        with serving(Settings(), http=Asked) as port:
            client.connect(("127.0.0.1", port))
            client.sendall(request)
            first = receive(client)
        second = receive(client)
        assert client.recv(1) == b""  # closed

    for head, body in (first, second):
        assert head.startswith(b"HTTP/1.1 200 ")
        assert json.loads(body)["digit"] == 3


@pytest.mark.parametrize("root", ["", "/numeral"])
def test_a_body_counts_as_declared_and_one_of_unknown_length_as_it_comes(root: str) -> None:
    settings = Settings()

    def length(path: str, *headers: tuple[bytes, bytes]) -> int:
        scope = {"type": "http", "path": root + path, "root_path": root, "headers": headers}
        return TABLE.find(path_of(scope)).length(scope, settings)

    assert length("/predict") == length("/predict/batch") == 0
    assert length("/predict/batch", (b"content-length", b"7")) == 7
    assert length("/predict", (b"content-length", b"9" * 20)) == settings.max_batch_bytes


@pytest.mark.parametrize("root", ["", "/numeral"])
def test_pictures_are_let_in_or_refused_wherever_the_application_is_mounted(root: str) -> None:
    with TestClient(create_app(Settings(max_waiting=1)), root_path=root) as client:
        with client.app.state.batcher.admit(1):  # type: ignore[attr-defined]
            refused = client.post(f"{root}/predict", content=DRAWING)
        answered = client.post(f"{root}/predict", content=DRAWING)

    assert (refused.status_code, answered.status_code) == (503, 200)
