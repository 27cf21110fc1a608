"""uvicorn's HTTP connection, within bounds: it refuses what is too much by itself, and no client can keep it waiting."""

from asyncio import TimerHandle, Transport
from collections.abc import Sequence
from typing import Any, Protocol, Self

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

SHEDDER = "shedder"  # its place in the state that the application's lifespan gives
OVERLOADED = 503
MAX_HEAD = 64 * 1024  # bytes of a request's line and headers; one read from the socket may go beyond it
MAX_PIPELINED = 32  # requests that a client may send before the first is answered; uvicorn would take any number


class TooMuch(Exception):
    """A client sends more than it may; the parser answers 400."""


class BoundedConnection(HttpToolsProtocol):
    """Answers 400 to a head that is too long, or too many requests at once, and closes the connection."""

    _head: int | None = None  # bytes so far of a head or of trailers; None between requests
    _body_came = False

    def data_received(self, data: bytes) -> None:
        """Counts bytes while a head, or trailers, are incomplete."""
        self._body_came = False
        super().data_received(data)
        if self._head is None or self.transport.is_closing():
            return
        self._head = 0 if self._body_came else self._head + len(data)
        if self._head > MAX_HEAD:
            self.send_400_response("The request's header is too large.")

    def on_message_begin(self) -> None:
        """A head begins."""
        self._head = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head ends.

        Raises:
            TooMuch: too many requests wait for their turn.
        """
        self._head = 0  # from now on of trailers, which follow the last chunk of a body
        if len(self.pipeline) >= MAX_PIPELINED:
            raise TooMuch
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """The bytes that came were not all a trailer's."""
        self._body_came = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request ends."""
        self._head = None
        super().on_message_complete()


class Shedder(Protocol):
    """Decides which requests are refused for overload; app.web.overload has the one that is used."""

    def refuse(self, url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bytes | None:
        """The answer to a POST, without its status line and default headers, or None where it is not refused."""


class Refused:
    """Stands in for uvicorn's cycle of a request and its answer: the answer is sent, and the body is ignored."""

    response_complete = True

    @property
    def message_event(self) -> Self:
        """The event that uvicorn sets when something happens."""
        return self

    def set(self) -> None:
        """Nobody waits for it."""


class SheddingConnection(BoundedConnection):
    """Refuses for overload by itself, where uvicorn would make a cycle, a task and an ASGI call."""

    def on_headers_complete(self) -> None:
        """Refuses the request, or lets uvicorn have it answered."""
        refusal = self._refuse() if self._is_plain() else None
        if refusal is None:
            self._unset_keepalive_if_required()  # a refusal that came before in the same read has set it
            super().on_headers_complete()
            return
        self._head = 0  # as BoundedConnection counts
        defaults = [b"%s: %s\r\n" % header for header in self.server_state.default_headers]
        self.transport.write(b"".join((STATUS_LINE[OVERLOADED], *defaults, refusal)))
        refused: Any = Refused()
        self.cycle = refused
        self.on_response_complete()

    def _refuse(self) -> bytes | None:
        shedder: Shedder | None = self.app_state.get(SHEDDER)
        return shedder.refuse(self.url, self.headers) if shedder else None

    def _is_plain(self) -> bool:
        """Whether it is a POST on a connection that stays open, and all that came before is answered and read."""
        parser = self.parser
        return (
            (self.cycle is None or self.cycle.response_complete)
            and not self.flow.write_paused
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not (self.expect_100_continue or parser.should_upgrade())
        )


class PatientConnection(SheddingConnection):
    """Closes a connection that is silent, whose headers are slow, or whose answers are not read, for timeout_keep_alive.

    A place in the queue is held until all of an answer is sent, so one that nobody reads would never be free.
    """

    _overdue: TimerHandle | None = None
    _unread: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Expects a request."""
        super().connection_made(transport)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        """Expects another request once the one before is answered."""
        if self._overdue is None and self.cycle is not None and self.cycle.response_complete:
            self._expect_headers()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """The headers have come."""
        self._stop_expecting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the timers."""
        self._stop_expecting()
        _cancel(self._unread)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Too much of the answers lies here unread."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.timeout_keep_alive, self.transport.abort)

    def resume_writing(self) -> None:
        """Most of it has been read."""
        _cancel(self._unread)
        super().resume_writing()

    def _expect_headers(self) -> None:
        self._overdue = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _stop_expecting(self) -> None:
        _cancel(self._overdue)
        self._overdue = None


def _cancel(timer: TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
