"""A connection whose client reads slowly, or still sends what was refused, with transports and clocks that do as they are told."""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from app.web.connection import LEAST_READ, LINGER_SECONDS, TimedConnection
from app.web.overload import BOUNDS, Bounds

Result = TypeVar("Result")

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
def connected(
    sizes: Iterable[int], begin: Callable[[TimedConnection], None] = TimedConnection.pause_writing
) -> Iterator[tuple[TimedConnection, Told]]:
    """A connection of whose answer too much lies unread. begin: what the transport, or the application, tells it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        transport = Told(ours, iter(sizes))
        connection = TimedConnection(Config(app), ServerState(), {BOUNDS: Bounds(STALL)})
        connection.connection_made(transport)
        begin(connection)
        yield connection, transport
        connection.connection_lost(None)


async def app(_scope: Any, _receive: Any, _send: Any) -> None:
    """Is asked nothing here."""


async def looks_until_the_end(sizes: list[int], begin: Callable[[TimedConnection], None]) -> int:
    with connected(sizes, begin) as (_, transport):
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
    assert asyncio.run(looks_until_the_end(sizes, TimedConnection.pause_writing)) == looks


def finish(connection: TimedConnection) -> None:
    connection.on_response_complete()


def finish_twice(connection: TimedConnection) -> None:
    connection.on_response_complete()
    connection.on_response_complete()


def read_most(connection: TimedConnection) -> None:
    connection.pause_writing()
    connection.resume_writing()


@pytest.mark.parametrize(
    ("begin", "sizes", "looks"),
    [
        pytest.param(finish, [900, 900], 2, id="a short answer"),
        pytest.param(finish_twice, [900, 900, 900], 3, id="two, of which the first may have been read"),
        pytest.param(read_most, [90_000, 900, 900], 3, id="the rest of a long one"),
    ],
)
def test_a_connection_ends_once_its_client_leaves_any_answer_unread(
    begin: Callable[[TimedConnection], None], sizes: list[int], looks: int
) -> None:
    assert asyncio.run(looks_until_the_end(sizes, begin)) == looks


def test_a_connection_whose_answers_have_been_read_is_watched_no_more() -> None:
    async def looks_once_it_is_read() -> int:
        with connected([900, 0]) as (connection, transport):
            connection.resume_writing()
            await asyncio.sleep(5 * STALL)
            return transport.looks

    assert asyncio.run(looks_once_it_is_read()) == 2


class HandSet(asyncio.SelectorEventLoop):
    """An event loop whose clock the test sets."""

    now = 0.0

    def time(self) -> float:
        return self.now

    async def let_pass(self, seconds: float) -> None:
        self.now += seconds
        for _ in range(5):
            await asyncio.sleep(0)


def run(what: Callable[[HandSet], Coroutine[Any, Any, Result]]) -> Result:
    loop = HandSet()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(what(loop))


class Open(asyncio.Transport):
    """Takes all answers until it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.answers, self.closed = b"", False

    def write(self, data: Any) -> None:
        self.answers += data

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


async def refuse(_scope: Any, _receive: Any, send: Any) -> None:
    """Answers before the body is there."""
    await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


STEP = 5  # seconds between two looks
ENOUGH = 1_000 * STEP  # bytes in that time
LENGTH = 20 * ENOUGH
KEPT = 100  # seconds that an idle connection is kept


async def refused(loop: HandSet) -> tuple[TimedConnection, Open]:
    """A connection whose client goes on sending what was refused."""
    connection = TimedConnection(
        Config(refuse, timeout_keep_alive=KEPT), ServerState(), {BOUNDS: Bounds(STEP, least_sent=1_000)}
    )
    connection.connection_made(transport := Open())
    connection.data_received(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % LENGTH)
    await loop.let_pass(0)
    assert transport.answers.startswith(b"HTTP/1.1 413 ")
    return connection, transport


async def send_until_closed(loop: HandSet, size: int) -> float:
    """When the connection of a client that sends so many bytes in each STEP was closed, or when all was sent."""
    connection, transport = await refused(loop)
    for _ in range(LENGTH // size):
        connection.data_received(bytes(size))
        await loop.let_pass(STEP)
        if transport.closed:
            break
    return loop.now


@pytest.mark.parametrize(
    ("size", "seconds"),
    [
        pytest.param(ENOUGH - 1, STEP, id="too slowly"),
        pytest.param(ENOUGH, LINGER_SECONDS, id="for too long"),
        pytest.param(LENGTH // 4, 4 * STEP, id="soon"),
    ],
)
def test_the_rest_of_a_refused_body_may_come_at_the_least_rate_for_some_time(size: int, seconds: float) -> None:
    assert run(partial(send_until_closed, size=size)) == seconds


def test_a_connection_is_kept_as_any_other_once_all_of_a_refused_body_has_come() -> None:
    async def look(loop: HandSet) -> tuple[bool, bool, bool]:
        """Whether it is closed, whether it is known as idle, and whether it is closed at last."""
        connection, transport = await refused(loop)
        for _ in range(4):
            connection.data_received(bytes(LENGTH // 4))
            await loop.let_pass(1)
        await loop.let_pass(10 * STEP)
        before, is_idle = transport.closed, connection in connection.app_state[BOUNDS].idle
        await loop.let_pass(KEPT)
        return before, is_idle, transport.closed

    assert run(look) == (False, True, True)
