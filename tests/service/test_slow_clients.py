"""Slow clients, on raw sockets: headers that never arrive, bodies that trickle, silent connections."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from app.settings import Settings
from app.web.server import uvicorn_options
from benchmarks.pictures import canvas, encode
from tests.servers import serving
from tests.versions import SHIPPED

DRAWING = encode(canvas(3))
REQUEST = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
PATIENCE = 1  # seconds


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    settings = Settings(model_version=SHIPPED, deadline_seconds=20, keep_alive_seconds=PATIENCE, stall_seconds=PATIENCE)
    with serving(settings, **uvicorn_options(settings)) as port:
        yield port


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        yield connection


def answer(connection: socket.socket) -> bytes:
    """A whole answer, or what came of one before the end."""
    received = b""
    while not is_whole(received):
        part = connection.recv(65_536)
        if not part:
            break
        received += part
    return received


def is_whole(received: bytes) -> bool:
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    return length is not None and len(body) >= int(length[1])


def test_a_silent_connection_is_closed(port: int) -> None:
    with connected(port) as silent:
        assert answer(silent) == b""


@pytest.mark.parametrize("before", [b"", REQUEST], ids=["at first", "on a kept connection"])
@pytest.mark.parametrize(
    "drip", [b"GET / HTTP/1.1\r\nX: " + b"y" * 60, b"\r\n" * 60], ids=["a header without end", "blank lines"]
)
def test_headers_that_arrive_a_byte_at_a_time_are_cut_off(port: int, before: bytes, drip: bytes) -> None:
    with connected(port) as slow:
        if before:
            slow.sendall(before)
            assert b" 200 " in answer(slow)
        slow.settimeout(0.1)

        assert sent_until_closed(slow, drip) < len(drip)


def sent_until_closed(slow: socket.socket, drip: bytes) -> int:
    """How many bytes, ten a second, were taken."""
    for count in range(len(drip)):
        try:
            slow.sendall(drip[count : count + 1])
            if slow.recv(1) == b"":
                return count
        except TimeoutError:
            continue
        except OSError:
            return count
    return len(drip)


def test_a_request_whose_headers_come_in_time_is_answered_however_long_its_body_takes(port: int) -> None:
    with connected(port) as client:
        client.sendall(HEAD % len(DRAWING))
        half = len(DRAWING) // 2
        client.sendall(DRAWING[:half])
        time.sleep(PATIENCE * 1.5)
        client.sendall(DRAWING[half:])

        assert b'"digit":3' in answer(client)


def test_idle_connections_are_kept_for_the_next_request(port: int) -> None:
    with connected(port) as client:
        for _ in range(6):
            client.sendall(REQUEST)
            assert b" 200 " in answer(client)
            time.sleep(PATIENCE / 4)


def test_a_body_that_comes_a_byte_a_second_is_cut_off_long_before_the_deadline(port: int) -> None:
    sent = 0
    with connected(port) as slow:
        slow.sendall(HEAD % 9000)
        slow.settimeout(1)
        while not (received := received_or_none(slow)):
            slow.sendall(b"x")
            sent += 1

    assert received.startswith(b"HTTP/1.1 408 ")
    assert b"8,192 bytes a second" in received
    assert sent < 10


def test_who_does_not_read_is_cut_off(port: int) -> None:
    ask = b"GET /model/file HTTP/1.1\r\nHost: x\r\n\r\n" * 30  # 13 MB, more than sockets hold
    with connected(port) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 200_000)
        deaf.sendall(ask)
        time.sleep(PATIENCE * 3)

        assert received_to_the_end(deaf) < 30 * 400_000


def received_to_the_end(connection: socket.socket) -> int:
    received = 0
    with suppress(ConnectionError):
        while part := connection.recv(1_000_000):
            received += len(part)
    return received


def test_a_client_that_reads_slowly_gets_the_whole_answer(port: int) -> None:
    ask = b"GET /model/file HTTP/1.1\r\nHost: x\r\n\r\n" * 30
    with connected(port) as slow:
        slow.sendall(ask)
        received = 0
        while received < 30 * 400_000:
            time.sleep(PATIENCE / 5)
            part = slow.recv(1_000_000)
            assert part  # the service did not close it before
            received += len(part)


def test_a_client_that_reads_steadily_but_never_all_that_lies_ready_gets_the_whole_answer(port: int) -> None:
    """At 300 kB/s the buffers here, of 4 MB, do not drain for longer than an answer may lie unread."""
    ask = b"GET /model/file HTTP/1.1\r\nHost: x\r\n\r\n" * 30
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
        slow.connect(("127.0.0.1", port))
        slow.settimeout(20)
        slow.sendall(ask)
        received, until = 0, time.monotonic() + 3 * PATIENCE
        while time.monotonic() < until:
            received += len(slow.recv(15_000))
            time.sleep(0.05)
        while received < 30 * 400_000:
            part = slow.recv(1_000_000)
            assert part  # the service did not close it before
            received += len(part)


def received_or_none(connection: socket.socket) -> bytes | None:
    try:
        return answer(connection)
    except TimeoutError:
        return None


def test_a_body_above_the_minimum_rate_is_accepted(port: int) -> None:
    body = encode(canvas(3), "BMP")
    part = 1 + len(body) // 6
    with connected(port) as client:
        client.sendall(HEAD % len(body))
        for place in range(0, len(body), part):
            client.sendall(body[place : place + part])
            time.sleep(0.5)

        assert b'"digit":3' in answer(client)


def send_steadily(connection: socket.socket, body: bytes, rate: int, step: float = 0.05) -> None:
    """At so many bytes a second."""
    piece, due = int(rate * step), time.monotonic()
    for place in range(0, len(body), piece):
        connection.sendall(body[place : place + piece])
        due += step
        time.sleep(max(0.0, due - time.monotonic()))


def test_a_slow_but_steady_upload_is_read_however_long_it_takes() -> None:
    """3.2 MB at 1 Mbit/s take 26 s; here all is ten times as fast, the deadline too."""
    settings = Settings(model_version=SHIPPED, deadline_seconds=1, min_bytes_per_second=81_920)
    body = encode(canvas(3), "BMP")
    body += bytes(3_200_000 - len(body))
    with serving(settings, **uvicorn_options(settings)) as port, connected(port) as client:
        client.sendall(HEAD % len(body))
        send_steadily(client, body, 1_250_000)

        assert b'"digit":3' in answer(client)


def test_an_upload_that_came_fast_and_then_stands_still_is_cut_off() -> None:
    settings = Settings(model_version=SHIPPED)
    with serving(settings, **uvicorn_options(settings)) as port, connected(port) as stalled:
        stalled.sendall(HEAD % 1_000_000 + bytes(900_000))
        began = time.monotonic()

        assert answer(stalled).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - began < 10


def test_stalled_uploads_give_their_places_to_others() -> None:
    """Four that may become 64 MiB each, in chunks, used to take all bytes; so many as there are places, all places."""
    settings = Settings(model_version=SHIPPED, max_waiting=4)
    chunked = b"POST /predict/batch HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serving(settings, **uvicorn_options(settings)) as port, ExitStack() as stack:
        stalled = [stack.enter_context(connected(port)) for _ in range(4)]
        for each in stalled:
            each.sendall(chunked + b"5\r\n--x\r\n\r\n")
        time.sleep(1.3)
        with connected(port) as client:
            client.sendall(HEAD % len(DRAWING) + DRAWING)
            assert b'"digit":3' in answer(client)

        assert answer(stalled[0]).startswith(b"HTTP/1.1 408 ")
