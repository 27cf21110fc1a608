"""What clients and proxies may do in HTTP: ask for another protocol, keep a connection, ask for the head alone."""

import http.client
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO

import pytest

from app.settings import Settings
from app.web import application
from app.web.server import uvicorn_options
from tests import plain_http
from tests.servers import DRAWING, receive, serving
from tests.versions import SHIPPED

H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
WEBSOCKET = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\nSec-WebSocket-Version: 13\r\n"
LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n%s\r\n"
POST = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\n%s%s\r\n"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    settings = Settings(model_version=SHIPPED)
    with serving(settings, **uvicorn_options(settings)) as port:
        yield port


def talk(port: int, *pieces: bytes, answers: int = 1) -> list[tuple[int, bytes]]:
    """Status and body of each answer on one connection; pieces are sent one after the other."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(0.02 if len(pieces) > 1 else 0)
        with connection.makefile("rb") as received:
            return [read_one(received) for _ in range(answers)]


def read_one(received: BinaryIO) -> tuple[int, bytes]:
    """Status and body of the next answer."""
    status = int(received.readline().split()[1])
    headers = http.client.parse_headers(received)
    return status, received.read(int(headers["Content-Length"]))


def post(path: bytes, kind: bytes, body: bytes, upgrade: bytes, *, chunked: bool = False) -> bytes:
    length = b"Transfer-Encoding: chunked\r\n" if chunked else b"Content-Length: %d\r\n" % len(body)
    sent = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body
    return POST % (path, kind, length, upgrade) + sent


def form(name: bytes) -> bytes:
    return b'--x\r\nContent-Disposition: form-data; name="%s"; filename="a.png"\r\n\r\n%s\r\n--x--\r\n' % (name, DRAWING)


TENSOR = json.dumps({"inputs": [{"name": "glyph", "datatype": "UINT8", "shape": [1, 28, 28], "data": [0] * 784}]}).encode()
DOORS = {
    "a picture": (b"/predict", b"image/png", DRAWING),
    "a form": (b"/predict", b"multipart/form-data; boundary=x", form(b"file")),
    "a batch": (b"/predict/batch", b"multipart/form-data; boundary=x", form(b"files")),
    "a tensor": (b"/v2/models/digits_uint8/infer", b"application/json", TENSOR),
}


@pytest.mark.parametrize("upgrade", [H2C, WEBSOCKET], ids=["h2c", "websocket"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS.keys())
def test_an_upgrade_is_ignored_on_every_door(
    port: int, door: tuple[bytes, bytes, bytes], chunked: bool, upgrade: bytes
) -> None:
    upgraded = talk(port, post(*door, upgrade, chunked=chunked) + LIVE % b"", answers=2)
    plain = talk(port, post(*door, b"", chunked=chunked))

    assert [status for status, _ in upgraded] == [200, 200]
    assert upgraded[0][1] == plain[0][1]


def test_an_upgrade_is_ignored_wherever_a_request_is_split_and_however_many_follow(port: int) -> None:
    one = post(b"/predict", b"image/png", DRAWING, H2C)
    for cut in (5, 40, one.index(b"Upgrade: h2c") + 3, one.index(b"\r\n\r\n") + 2, one.index(b"\r\n\r\n") + 4, len(one) - 9):
        assert talk(port, one[:cut], one[cut:])[0][0] == 200
    assert [status for status, _ in talk(port, (one + LIVE % H2C) * 5, answers=10)] == [200] * 10


def test_an_upgrade_hides_no_second_request(port: int) -> None:
    hidden = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    one = post(b"/predict", b"image/png", hidden, H2C)

    first, second = talk(port, one + LIVE % b"", answers=2)
    assert (first[0], second[0]) == (415, 200)


def test_http_of_1_1_names_its_host_once(port: int) -> None:
    assert talk(port, b"GET /health/live HTTP/1.1\r\n\r\n")[0][0] == 400
    assert talk(port, b"GET /health/live HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n")[0][0] == 400
    assert talk(port, post(b"/predict", b"image/png", DRAWING, H2C).replace(b"Host: x\r\n", b""))[0][0] == 400
    assert talk(port, b"GET /health/live HTTP/1.0\r\n\r\n")[0][0] == 200


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_that_asks_for_http_2_gets_its_answer(port: int) -> None:
    command = [
        "curl",
        "-sS",
        "--http2",
        "--data-binary",
        "@-",
        "-H",
        "Content-Type: image/png",
        f"http://127.0.0.1:{port}/predict",
    ]
    told = subprocess.run(command, input=DRAWING, capture_output=True, check=True, timeout=20)

    assert json.loads(told.stdout)["digit"] == 3


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready", "/metrics", "/model"])
def test_the_head_alone_may_be_asked_for(port: int, path: str) -> None:
    with plain_http.Client(base_url=f"http://127.0.0.1:{port}") as client:
        head, whole = client.head(path), client.get(path)

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]


def test_answers_are_not_to_be_stored_and_files_say_how_they_are(port: int) -> None:
    with plain_http.Client(base_url=f"http://127.0.0.1:{port}") as client:
        answers = [client.post("/predict", content=DRAWING), client.post("/predict"), client.get("/metrics"), client.get("/x")]
        file = client.get("/model/file")

    assert [answer.headers["cache-control"] for answer in answers] == ["no-store"] * 4
    assert file.headers["cache-control"] == "no-cache"


def test_idle_connections_outlive_the_time_for_headers_within_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "open_files", lambda: 6)
    settings = Settings(model_version=SHIPPED, stall_seconds=0.5, keep_alive_seconds=60)
    with serving(settings, **uvicorn_options(settings)) as port, ExitStack() as stack:
        connections = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20)) for _ in range(5)]
        for connection in connections:
            connection.sendall(LIVE % b"")
            assert receive(connection)[0].startswith(b"HTTP/1.1 200 ")
        time.sleep(1)
        still = []
        for connection in connections:
            try:
                connection.sendall(LIVE % b"")
                still.append(receive(connection)[0][9:12])
            except OSError:
                still.append(b"")

    assert [bool(re.match(rb"200", each)) for each in still] == [False, False, True, True, True]
