"""A connection whose client reads slowly, with a transport that says how many bytes lie unread."""

import asyncio
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from app.web.connection import LEAST_READ, TimedConnection
from app.web.overload import BOUNDS, Bounds

STALL = 0.01  # seconds
LEAST = int(LEAST_READ * STALL)


class Told(asyncio.Transport):
    """Says of its buffer what it is told, once for each look, and when it is aborted."""

    def __init__(self, connected: socket.socket, sizes: Iterator[int]) -> None:
        super().__init__({"socket": connected})
        self._sizes = sizes
        self.looks = 0
        self.aborted = asyncio.Event()

    def get_write_buffer_size(self) -> int:
        self.looks += 1
        return next(self._sizes)

    def abort(self) -> None:
        self.aborted.set()

    def close(self) -> None:
        pass

    def is_closing(self) -> bool:
        return True  # so that the timer of the request, which never comes, leaves it alone


@contextmanager
def connected(sizes: Iterable[int]) -> Iterator[tuple[TimedConnection, Told]]:
    """A connection of whose answer too much lies unread."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        transport = Told(ours, iter(sizes))
        connection = TimedConnection(Config(app), ServerState(), {BOUNDS: Bounds(STALL)})
        connection.connection_made(transport)
        connection.pause_writing()
        yield connection, transport
        connection.connection_lost(None)


async def app(_scope: Any, _receive: Any, _send: Any) -> None:
    """Is asked nothing here."""


async def looks_until_the_end(sizes: list[int]) -> int:
    with connected(sizes) as (_, transport):
        await asyncio.wait_for(transport.aborted.wait(), 60)
        return transport.looks


@pytest.mark.parametrize(
    ("sizes", "looks"),
    [
        pytest.param([900, 900], 2, id="nothing is read"),
        pytest.param([900, 899], 2, id="a byte is read"),
        pytest.param([900, 901 - LEAST], 2, id="less than the least is read"),
        pytest.param([900, 900 - LEAST - 1, 700, 500, 500], 5, id="it is read steadily, and then no more"),
    ],
)
def test_a_connection_ends_once_its_client_reads_too_little_between_two_looks(sizes: list[int], looks: int) -> None:
    assert asyncio.run(looks_until_the_end(sizes)) == looks


def test_a_connection_whose_answers_have_been_read_is_watched_no_more() -> None:
    async def looks_once_it_is_read() -> int:
        with connected([900]) as (connection, transport):
            connection.resume_writing()
            await asyncio.sleep(5 * STALL)
            return transport.looks

    assert asyncio.run(looks_once_it_is_read()) == 1
