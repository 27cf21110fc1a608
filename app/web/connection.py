"""uvicorn's HTTP connection, within bounds: it refuses what is too much by itself, and no client can keep it waiting."""

import sys
from asyncio import TimerHandle, Transport
from collections.abc import Sequence
from contextlib import suppress
from fcntl import ioctl
from termios import TIOCOUTQ
from typing import Any, Protocol, Self

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.web.overload import BOUNDS, SHEDDER, Bounds

OVERLOADED = 503
MAX_HEAD = 64 * 1024  # bytes of a request's line and headers; one read from the socket may go beyond it
LAST_LOOK = 0.05  # seconds between the server's end and that of its idle connections
LEAST_READ = 8192  # bytes a second that a client must read of an answer: the least, by default, that it must send of a body
LINGER_SECONDS = 30.0  # that the rest of a refused body may come: many clients read no answer before they have sent all of it
MAX_PIPELINED = 32  # requests that a client may send before the first is answered; uvicorn would take any number


class TooManyPipelined(Exception):
    """A client sends more than it may; the parser answers 400."""


class UnclearHost(Exception):
    """A request of HTTP/1.1 does not name its host once (RFC 9112, 3.2); the parser answers 400."""


class UpgradeIgnoringParser:
    """Parses requests for a connection, and goes on where one asks for another protocol, which no server need take up.

    httptools ends there and drops the body: Java's HttpClient asks for HTTP/2 with each request, and so may curl. The head is
    given to a new parser without its Upgrade, and what follows behind it.
    """

    def __init__(self, connection: "BoundedConnection") -> None:
        self._connection = connection
        self._renew()

    def _renew(self) -> None:
        self._parser = httptools.HttpRequestParser(self._connection)
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does

    def feed_data(self, data: bytes) -> None:
        """Parses what came.

        Raises:
            httptools.HttpParserError: it is not HTTP, or the connection refuses it.
            httptools.HttpParserUpgrade: it asks for a tunnel.
        """
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                head = self._connection.take_head(self._parser)
                if head is None:
                    raise
                data = head + data[upgrade.args[0] :]
                self._renew()
            else:
                return

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)


class RefusedCycle:
    """Stands in for uvicorn's cycle of a request and its answer: the answer is sent, and the body is ignored."""

    response_complete = True

    @property
    def message_event(self) -> Self:
        """The event that uvicorn sets when something happens."""
        return self

    def set(self) -> None:
        """Nobody waits for it."""


class LateRefusal(RefusedCycle):
    """Stands in for the cycle of a request that cannot be understood, until all that came before it is answered."""

    response_complete = False

    def __init__(self, connection: "BoundedConnection", msg: str) -> None:
        self._connection, self._msg = connection, msg

    async def run_asgi(self, _app: object) -> None:
        """Its turn has come."""
        self.response_complete = True
        if not self._connection.transport.is_closing():
            self._connection.send_400_response(self._msg)


class DeafParser:
    """Takes the parser's place once a request cannot be understood: nothing that follows can be."""

    def feed_data(self, data: bytes) -> None:
        """Ignores it."""


class BoundedConnection(HttpToolsProtocol):
    """Answers 400 to a head that is too long or unclear, or too many requests at once, and closes the connection.

    There are three classes, one for each concern: what a client may send, which requests are refused for overload, and how
    long anything may take. Only the last is served; tests that need no timers use the first.
    """

    _head: int | None = None  # bytes so far of a head or of trailers; None between requests
    _body_came = False
    _upgrades = False  # the request asks for another protocol, and is parsed again without that

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        parser: Any = UpgradeIgnoringParser(self)
        self.parser = parser

    def data_received(self, data: bytes) -> None:
        """Counts bytes while a head, or trailers, are incomplete."""
        self._body_came = False
        super().data_received(data)
        if self._head is None or self.transport.is_closing():
            return
        self._head = 0 if self._body_came else self._head + len(data)
        if self._head > MAX_HEAD:
            self.send_400_response("The request's header is too large.")

    def send_400_response(self, msg: str) -> None:
        """Refuses the request that came last, behind the answers to those before it, and ends the connection."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or (cycle.more_body and not self.pipeline):
            super().send_400_response(msg)
            return
        if cycle.more_body:  # it is this one, which waits for its turn
            self.pipeline.popleft()
        cycle.scope["state"]["followed"] = True  # its answer must not close the connection
        late: Any = LateRefusal(self, msg)
        deaf: Any = DeafParser()
        self.cycle, self.parser, self._head = late, deaf, None
        self.pipeline.appendleft((late, self.app))
        self.flow.pause_reading()

    def on_message_begin(self) -> None:
        """A head begins."""
        self._head = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head ends.

        Raises:
            UnclearHost: it does not say, or not clearly, for which host the request is.
            TooManyPipelined: too many requests wait for their turn.
        """
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._upgrades = True
            return
        self._head = 0  # from now on of trailers, which follow the last chunk of a body
        if self.parser.get_http_version() == "1.1" and [name for name, _ in self.headers].count(b"host") != 1:
            raise UnclearHost
        self.take_request()

    def take_request(self) -> None:
        """Has the request answered.

        Raises:
            TooManyPipelined: too many wait for their turn.
        """
        if len(self.pipeline) >= MAX_PIPELINED:
            raise TooManyPipelined
        if self.cycle and not self.cycle.response_complete:
            self.cycle.scope["state"]["followed"] = True  # its answer must not close the connection
        super().on_headers_complete()

    def take_head(self, parser: "httptools.HttpRequestParser") -> bytes | None:
        """The head of a request that asks for another protocol, without that; None where none does."""
        if not self._upgrades:
            return None
        self._upgrades = False
        first = b"%s %s HTTP/%s\r\n" % (parser.get_method(), self.url, parser.get_http_version().encode("ascii"))
        lines = [b"%s: %s\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        return first + b"".join(lines) + b"\r\n"

    def on_body(self, body: bytes) -> None:
        """The bytes that came were not all a trailer's."""
        self._body_came = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request ends."""
        if self._upgrades:
            return
        self._head = None
        super().on_message_complete()


class Shedder(Protocol):
    """Decides which requests are refused for overload; app.web.overload has the one that is used."""

    def refuse(self, url: bytes, headers: Sequence[tuple[bytes, bytes]], host: str | None) -> bytes | None:
        """The answer to a POST, without its status line and default headers, or None where it is not refused."""


class SheddingConnection(BoundedConnection):
    """Refuses for overload by itself, where uvicorn would make a cycle, a task and an ASGI call."""

    def take_request(self) -> None:
        """Refuses the request, or lets uvicorn have it answered."""
        refusal = self._refuse() if self._is_plain() else None
        if refusal is None:
            self._unset_keepalive_if_required()  # a refusal that came before in the same read has set it
            super().take_request()
            return
        defaults = [b"%s: %s\r\n" % header for header in self.server_state.default_headers]
        self.transport.write(b"".join((STATUS_LINE[OVERLOADED], *defaults, refusal)))
        refused: Any = RefusedCycle()
        self.cycle = refused
        self.on_response_complete()

    def _refuse(self) -> bytes | None:
        shedder: Shedder | None = self.app_state.get(SHEDDER)
        return shedder.refuse(self.url, self.headers, self.client[0] if self.client else None) if shedder else None

    def _is_plain(self) -> bool:
        """Whether it is a POST on a connection that stays open, and all that came before is answered and read."""
        parser = self.parser
        return (
            (self.cycle is None or self.cycle.response_complete)
            and not self.flow.write_paused
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not self.expect_100_continue
        )


class TimedConnection(SheddingConnection):
    """Closes a connection whose headers are slow or whose answers are not read, for stall_seconds, or that is idle too long.

    A place in the queue is held until all of an answer is sent, so one that nobody reads would never be free; and closing a
    connection waits for what is left of its answers. While some of that lies here, and not in the socket's buffer, a client
    must read LEAST_READ on average over stall_seconds. Between two requests a connection is kept for timeout_keep_alive;
    beyond most_idle of them, the one that was idle longest is closed. What still comes of a body that was refused is ignored
    for LINGER_SECONDS, if it comes as fast as a body must.
    """

    _overdue: TimerHandle | None = None
    _unread: TimerHandle | None = None
    _answered = False  # whether there are more answers to read than at the last look
    _lingering: TimerHandle | None = None
    _came = 0  # bytes of a refused body since the last look at it

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._bounds: Bounds = self.app_state.get(BOUNDS) or Bounds()

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Expects a request."""
        super().connection_made(transport)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        """Expects another request once the one before is answered, or the rest of one that was refused."""
        self._leave_idle()
        if self._overdue is None and self.cycle is not None and self.cycle.response_complete:
            if self._head is None:
                self._expect_headers()
            else:
                self._linger(len(data))
        super().data_received(data)
        if self._lingering is not None and self._head is None:
            self._stop_lingering()
            if self.cycle.response_complete and self.timeout_keep_alive_task is None and not self.transport.is_closing():
                self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
                self._become_idle()

    def on_headers_complete(self) -> None:
        """The headers have come."""
        self._stop_expecting()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """The connection is idle until the next request."""
        super().on_response_complete()
        self._answered = True
        self._watch_what_is_left()
        if self.cycle is not None and self.cycle.response_complete and not self.transport.is_closing():
            self._become_idle()

    def _become_idle(self) -> None:
        idle = self._bounds.idle
        idle[self] = None
        if len(idle) > self._bounds.most_idle:
            longest = next(iter(idle))
            longest._leave_idle()  # noqa: SLF001  another of this class
            longest.timeout_keep_alive_handler()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the timers."""
        self._stop_expecting()
        self._stop_lingering()
        self._stop_watching()
        self._leave_idle()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server ends: what has been asked is still answered, even if it has arrived but is not read yet."""
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(LAST_LOOK, super().shutdown)
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        """Too much of the answers lies here unread."""
        super().pause_writing()
        self._stop_watching()
        self._watch_what_is_left()

    def resume_writing(self) -> None:
        """Most of it has been read."""
        self._stop_watching()
        super().resume_writing()
        self._watch_what_is_left()

    def send_400_response(self, msg: str) -> None:
        """As before; the client has to read that, too."""
        super().send_400_response(msg)
        self._watch_what_is_left()

    def _watch_what_is_left(self) -> None:
        """Sees to it that a client reads what the socket's buffer has not taken, if there is any."""
        if self._unread is None and (left := self.transport.get_write_buffer_size()):
            self._watch(self._count_unread(left))

    def _watch(self, unread: int) -> None:
        self._answered = False
        self._unread = self.loop.call_later(self._bounds.stall_seconds, self._look_again, unread)

    def _look_again(self, before: int) -> None:
        """Cuts off a client that reads too little. before: how many bytes lay unread stall_seconds ago.

        If there have been more answers since, nobody knows how many of those bytes it has read: it is looked at again.
        """
        self._unread = None
        if not (left := self.transport.get_write_buffer_size()):
            return
        unread = self._count_unread(left)
        if self._answered or before - unread >= LEAST_READ * self._bounds.stall_seconds:
            self._watch(unread)
        else:
            self.transport.abort()

    def _count_unread(self, left: int) -> int:
        """Bytes that the client has not received yet: those that are left here, and those in the socket's buffer.

        Linux takes new bytes only once a third of that buffer, often a megabyte, is free. Until then ours does not shrink,
        however steadily the client reads.
        """
        with suppress(OSError):  # not every system tells the rest
            left += int.from_bytes(ioctl(self.transport.get_extra_info("socket"), TIOCOUTQ, bytes(4)), sys.byteorder)
        return left

    def _stop_watching(self) -> None:
        _cancel(self._unread)
        self._unread = None

    def _linger(self, length: int) -> None:
        """Takes note of some more bytes of a refused body."""
        if self._lingering is None:
            self._look_later(self.loop.time() + LINGER_SECONDS)
        self._came += length

    def _look_later(self, until: float) -> None:
        self._came = 0
        self._lingering = self.loop.call_later(self._bounds.stall_seconds, self._look_at_the_rest, until)

    def _look_at_the_rest(self, until: float) -> None:
        """Ends the connection if a refused body comes too slowly or for too long. until: by the loop's clock."""
        self._lingering = None
        if not self.cycle.response_complete:  # it is over, and another request has come since
            return
        if self._came < self._bounds.least_sent * self._bounds.stall_seconds or self.loop.time() >= until:
            self.timeout_keep_alive_handler()
        else:
            self._look_later(until)

    def _stop_lingering(self) -> None:
        _cancel(self._lingering)
        self._lingering = None

    def _expect_headers(self) -> None:
        self._overdue = self.loop.call_later(self._bounds.stall_seconds, self.timeout_keep_alive_handler)

    def _stop_expecting(self) -> None:
        _cancel(self._overdue)
        self._overdue = None

    def _leave_idle(self) -> None:
        self._bounds.idle.pop(self, None)


def _cancel(timer: TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
