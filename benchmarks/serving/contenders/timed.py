"""The service with a clock: how long a refusal takes in the server, from the headers of the request to the answer.

A clock in the client would also count the time in the client itself and in the kernel's queues under overload.
"""

import json
from time import perf_counter
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.settings import Settings
from app.web.application import create_app
from app.web.connection import RefusedCycle, TimedConnection

HEADERS_AT = "numeral.headers_at"
TIMES = "/times"  # GET gives the seconds of each refusal since the last GET


class TimedProtocol(TimedConnection):
    """Notes when a request's headers are read, and how long it took where the connection itself refuses it."""

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        began = perf_counter()
        self.scope["extensions"] = {HEADERS_AT: {"seconds": began}}
        super().on_headers_complete()
        if isinstance(self.cycle, RefusedCycle) and isinstance(self.app, Timed):
            self.app.note(perf_counter() - began)


class Timed:
    """Notes, for each answer of 503, the time since the headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._seconds: list[float] = []

    def note(self, seconds: float) -> None:
        """Takes down what a refusal took."""
        self._seconds.append(seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes an ASGI call on."""
        if scope.get("path") == TIMES:
            await self._tell(send)
            return

        async def timed_send(message: Message) -> None:
            await send(message)
            if message.get("status") == 503:
                self.note(perf_counter() - scope["extensions"][HEADERS_AT]["seconds"])

        await self.app(scope, receive, timed_send)

    async def _tell(self, send: Send) -> None:
        body = json.dumps(self._seconds).encode()
        self._seconds.clear()
        headers: list[Any] = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def create() -> Timed:
    """For uvicorn --factory."""
    return Timed(create_app(Settings()))
