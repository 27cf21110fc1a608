"""uvicorn's HTTP connection within bounds: nobody makes it hold a head, or requests behind one another, without end."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 64 * 1024  # bytes of a request's line and headers; beyond it, what one read from the socket brings
MAX_PIPELINED = 32  # requests that a client sends before it has the first one's answer; uvicorn would take any number


class TooMuch(Exception):
    """A client sends more than it may; the parser makes a 400 of it."""


class BoundedConnection(HttpToolsProtocol):
    """Refuses a head that is too long, and too many requests at once, with 400, and closes the connection."""

    _head: int | None = None  # bytes that came of a head, or of trailers; None between requests
    _body_came = False

    def data_received(self, data: bytes) -> None:
        """Counts what comes while a head, or the trailers, are incomplete."""
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
        """It ends.

        Raises:
            TooMuch: too many requests wait for their turn.
        """
        self._head = 0  # of trailers, which come behind the last chunk of a body
        if len(self.pipeline) >= MAX_PIPELINED:
            raise TooMuch
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """What came was no trailer, or not it alone."""
        self._body_came = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Nothing more belongs to it."""
        self._head = None
        super().on_message_complete()
