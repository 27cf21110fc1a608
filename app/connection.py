"""uvicorn's HTTP connection, which gives a request's headers, and an answer's reader, as long as it gives a kept connection."""

from asyncio import TimerHandle, Transport

from app.bounds import BoundedConnection


class PatientConnection(BoundedConnection):
    """Closes a connection whose first byte, or whose request's last header, does not come within timeout_keep_alive.

    Likewise one whose answers are not read: a place that is held until all of an answer is sent would never be free.
    """

    _overdue: TimerHandle | None = None
    _unread: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Expects a request."""
        super().connection_made(transport)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        """Expects a request anew where the one before is answered."""
        if self._overdue is None and self.cycle is not None and self.cycle.response_complete:
            self._expect_headers()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """They have come."""
        self._stop_expecting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expects nothing more."""
        self._stop_expecting()
        _cancel(self._unread)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """More lies here unread than should."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.timeout_keep_alive, self.transport.abort)

    def resume_writing(self) -> None:
        """Most of it was read."""
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
