"""Under overload a connection refuses by itself, with the same answer as the application, and continues."""

import json
import re
import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.settings import Settings
from app.web.application import create_app
from app.web.overload import SHEDDER, LoadShedder
from app.web.server import uvicorn_options
from tests import plain_http
from tests.servers import DRAWING, halted, receive, serving, wait_until_in_progress
from tests.versions import SHIPPED

# The deadline is longer than the tests that keep the workers waiting, however busy the machine.
SETTINGS = Settings(
    model_version=SHIPPED, max_waiting=1, worker_threads=1, keep_alive_seconds=1, stall_seconds=1, deadline_seconds=100
)
LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"


def post(*headers: bytes, path: bytes = b"/predict", body: bytes = DRAWING, version: bytes = b"1.1") -> bytes:
    lines = [b"POST %s HTTP/%s" % (path, version), b"Host: x", *headers]
    if not any(b"encoding" in header.lower() for header in headers):
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A service with one place, which is taken."""
    with pytest.MonkeyPatch.context() as patch, halted(patch) as go_on, serving(SETTINGS, **uvicorn_options(SETTINGS)) as port:
        url = f"http://127.0.0.1:{port}"
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(plain_http.post, f"{url}/predict", content=DRAWING, timeout=60)
            wait_until_in_progress(url, 1)
            yield port
            go_on.set()
            assert first.result().json()["digit"] == 3


@pytest.fixture
def shed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The paths that a connection refused by itself since the test began; each is here before its answer is sent."""
    paths, original = list[bytes](), LoadShedder.refuse

    def note(self: LoadShedder, url: bytes, headers: Sequence[tuple[bytes, bytes]], host: str | None = None) -> bytes | None:
        refusal = original(self, url, headers, host)
        if refusal is not None:
            paths.append(url)
        return refusal

    monkeypatch.setattr(LoadShedder, "refuse", note)
    return paths


def ask(port: int, *pieces: bytes, answers: int = 1) -> list[tuple[bytes, bytes]]:
    """Head and body of each answer to what is sent in pieces on one connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for piece in pieces:
            connection.sendall(piece)
        received = [receive(connection)]
        while len(received) < answers:
            head, body = received[-1]
            length = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
            received[-1] = head, body[:length]
            rest = body[length:]
            received.append(receive_behind(rest, connection))
        return received


def receive_behind(begun: bytes, connection: socket.socket) -> tuple[bytes, bytes]:
    """As receive, where the answer's beginning came with the one before."""

    class Resumed:
        def recv(self, size: int) -> bytes:
            nonlocal begun
            piece, begun = begun or connection.recv(size), b""
            return piece

    return receive(Resumed())


def parts(answer: tuple[bytes, bytes]) -> tuple[bytes, list[bytes], dict[str, Any]]:
    """Status line, headers and problem, without what differs between any two answers."""
    status, *headers = answer[0].split(b"\r\n")
    problem = json.loads(answer[1])
    identity = problem.pop("request_id").encode()
    assert b"x-request-id: " + identity in headers
    return status, sorted(each for each in headers if not each.startswith((b"date:", b"x-request-id:"))), problem


@pytest.mark.parametrize(
    "path", [b"/predict", b"/predict/canvas", b"/predict/strokes", b"/predict/batch", b"/predict?include=glyph"]
)
def test_the_connection_refuses_with_the_applications_answer(port: int, shed: list[bytes], path: bytes) -> None:
    (ours,) = ask(port, post(path=path))
    assert shed == [path]

    (applications,) = ask(port, post(b"X-Request-ID: " + b"a" * 32, path=path))
    assert shed == [path]

    assert ours[0].startswith(b"HTTP/1.1 503 ")
    assert parts(ours) == parts(applications)
    assert parts(ours)[2]["code"] == "overloaded"


def test_tensors_are_refused_by_the_connection_too_in_the_protocols_form(port: int, shed: list[bytes]) -> None:
    path = b"/v2/models/digits_uint8/infer"
    (ours,) = ask(port, post(path=path, body=b"{}"))
    assert shed == [path]

    (applications,) = ask(port, post(b"X-Request-ID: " + b"a" * 32, path=path, body=b"{}"))
    assert shed == [path]

    assert ours[0].startswith(b"HTTP/1.1 503 ")
    assert ours[1] == applications[1]
    assert json.loads(ours[1]).keys() == {"error"}
    assert headers_of(ours) == headers_of(applications)


def headers_of(answer: tuple[bytes, bytes]) -> list[bytes]:
    """Without those that differ between any two answers."""
    return sorted(each for each in answer[0].split(b"\r\n") if not each.startswith((b"date:", b"x-request-id:")))


CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(DRAWING), DRAWING)
FOLLOWED = {
    "a body": [post() + LIVE],
    "a body of a megabyte": [post(body=bytes(1_000_000)) + LIVE],
    "a body in chunks": [post(b"Transfer-Encoding: chunked", body=CHUNKED) + LIVE],
    "no body": [post(body=b"") + LIVE],
    "a body that comes later": [post()[: -len(DRAWING)], DRAWING[:50], DRAWING[50:] + LIVE],
    "a request in pieces": [post()[:9], post()[9:70], post()[70:] + LIVE[:20], LIVE[20:]],
}


@pytest.mark.parametrize("pieces", FOLLOWED.values(), ids=FOLLOWED.keys())
def test_the_connection_continues_after_a_refusal(port: int, shed: list[bytes], pieces: list[bytes]) -> None:
    refusal, alive = ask(port, *pieces, answers=2)

    assert len(shed) == 1
    assert refusal[0].startswith(b"HTTP/1.1 503 ")
    assert alive[0].startswith(b"HTTP/1.1 200 ")
    assert json.loads(alive[1])["status"] == "live"


def test_requests_sent_ahead_are_answered_in_their_order(port: int) -> None:
    answers = ask(port, LIVE + post() + LIVE + post() + post() + LIVE, answers=6)

    assert [int(head[9:12]) for head, _ in answers] == [200, 503, 200, 503, 503, 200]


LEFT = {
    "a connection that is to be closed": post(b"Connection: close"),
    "HTTP/1.0": post(version=b"1.0"),
    "an id of the client's": post(b"X-Request-ID: mine"),
    "a client that asks before it sends": post(b"Expect: 100-continue")[: -len(DRAWING)],
    "a path below": post(path=b"/predict/else"),
}


@pytest.mark.parametrize("request_", LEFT.values(), ids=LEFT.keys())
def test_unusual_requests_are_left_to_the_application(port: int, shed: list[bytes], request_: bytes) -> None:
    ((head, body),) = ask(port, request_)

    assert shed == []
    assert head.startswith(b"HTTP/1.1 503 ")
    assert json.loads(body)["code"] == "overloaded"


def refusals(port: int) -> tuple[float, float]:
    """How many problems, and how many answers to POSTs of pictures, were counted as refused for overload."""
    text = plain_http.get(f"http://127.0.0.1:{port}/metrics").text
    counted = re.search(r'numeral_refusals_total\{code="overloaded"\} (\S+)', text)
    answered = re.search(r'numeral_requests_total\{method="POST",route="/predict",status="503"\} (\S+)', text)
    return float(counted[1] if counted else 0), float(answered[1] if answered else 0)


def test_refusals_are_counted(port: int) -> None:
    before = refusals(port)

    for _ in range(3):
        ask(port, post())

    assert refusals(port) == (before[0] + 3, before[1] + 3)


def test_a_client_that_does_not_read_does_not_get_endless_refusals(port: int) -> None:
    before, many = refusals(port)[0], 100_000
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(3)
        deaf.connect(("127.0.0.1", port))
        with suppress(OSError):  # it is stopped, or cut off
            deaf.sendall(post(body=b"") * many)

        assert refusals(port)[0] - before < many / 2


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"rate_limit": "9/second"}, id="limits"),
        pytest.param({"cors_origins": ["https://draw.example"]}, id="CORS"),
        pytest.param({"log_level": "debug"}, id="a line a refusal"),
        pytest.param({"api_keys": "web:predict:" + "0" * 64}, id="keys"),
        pytest.param({}, id="nothing"),
    ],
)
def test_connections_refuse_only_if_all_refusals_are_alike(settings: dict[str, Any]) -> None:
    with TestClient(create_app(Settings(model_version=SHIPPED, **settings))) as client:
        assert (SHEDDER in client.app_state) is (not settings)


def test_a_client_admitted_after_a_refusal_gets_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a refusal the time begins for which an idle connection is kept, and ends where a request comes with it."""
    settings = SETTINGS.model_copy(update={"max_waiting": 2, "max_waiting_bytes": 2 * len(DRAWING)})
    with halted(monkeypatch) as go_on, serving(settings, **uvicorn_options(settings)) as port, ThreadPoolExecutor(2) as pool:
        url = f"http://127.0.0.1:{port}"
        first = pool.submit(plain_http.post, f"{url}/predict", content=DRAWING, timeout=60)
        wait_until_in_progress(url, 1)
        both = pool.submit(ask, port, post(body=bytes(2 * len(DRAWING))) + post(), answers=2)
        wait_until_in_progress(url, 2)
        time.sleep(settings.keep_alive_seconds + 0.5)
        go_on.set()

        assert [int(head[9:12]) for head, _ in both.result()] == [503, 200]
        assert first.result().json()["digit"] == 3
