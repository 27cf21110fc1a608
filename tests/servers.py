"""Real servers for tests, and helpers that wait for them, halt their workers and receive raw answers."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import httpx2
import pytest
import uvicorn

from app.reading.reader import Reader
from app.reading.requests import PictureOutcome
from app.settings import Settings
from app.web.application import create_app
from app.web.connection import BoundedConnection
from benchmarks.pictures import canvas, encode
from tests import plain_http

DRAWING = encode(canvas(3))
READ_TOGETHER = Reader.read_together


class Connection(Protocol):
    """What is received from: a socket."""

    def recv(self, size: int, /) -> bytes:
        """The next bytes."""


@contextmanager
def serving(settings: Settings, **uvicorns: Any) -> Iterator[int]:
    """A real server on a free port of 127.0.0.1."""
    chosen = {"http": BoundedConnection} | uvicorns | {"host": "127.0.0.1", "port": 0, "log_level": "error"}
    server = uvicorn.Server(uvicorn.Config(create_app(settings), **chosen))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def receive(connection: Connection) -> tuple[bytes, bytes]:
    """Head and body of an answer, however many pieces it comes in."""
    answer = b""
    while True:
        head, found, body = answer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        if found and len(body) >= (int(length[1]) if length else 0):
            return head, body
        piece = connection.recv(65_536)
        if not piece:
            return head, body
        answer += piece


@contextmanager
def halted(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The workers wait until the event is set."""
    go_on = threading.Event()

    def wait(self: Reader, *asked: Any, **options: Any) -> list[PictureOutcome]:
        go_on.wait(100)
        return READ_TOGETHER(self, *asked, **options)

    monkeypatch.setattr(Reader, "read_together", wait)
    try:
        yield go_on
    finally:
        go_on.set()


def wait_until_in_progress(url: str, requests: int) -> None:
    """Until so many requests with pictures are let in and not answered yet."""
    end = time.monotonic() + 20
    while f"numeral_requests_in_progress {requests}.0\n" not in plain_http.get(f"{url}/metrics").text:
        assert time.monotonic() < end
        time.sleep(0.02)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def wait_for(url: str, status: int) -> None:
    """Until the URL answers with this status."""
    until = time.monotonic() + 180  # a busy machine takes long to start a server
    while time.monotonic() < until:
        try:
            if plain_http.get(url).status_code == status:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.05)
    raise TimeoutError(url)


def decoders_of(pid: int) -> list[int]:
    """The decoder processes of a service that runs in this process. Linux only."""
    return [child for starter in _children(pid) for child in _children(starter)]


def workers_of(supervisor: int) -> list[int]:
    """The processes that a service's supervisor has started to serve. Linux only."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text(encoding="ascii").split()
    return [int(child) for child in children if b"spawn_main" in read_proc(f"{child}/cmdline")]


def read_proc(path: str) -> bytes:
    """A file below /proc; empty where the process has ended."""
    with suppress(OSError):
        return Path("/proc", path).read_bytes()
    return b""


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text(encoding="ascii").split()]
