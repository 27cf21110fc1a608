"""Load shedding: what is refused for overload is refused on its connection, before a request is made of it.

What a refusal costs is taken from good answers, and making an ASGI call of it costs several times as much as all the rest. What
somebody wraps around the application never sees such a request.
"""

from collections.abc import Sequence
from time import perf_counter

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import Overloaded
from app.runtime.queue import Batcher
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.web.endpoints import PATHS, body_length, brings_work
from app.web.headers import RAW_HEADERS
from app.web.problems import RAW_HEADER, answer, make_id
from app.web.scope import header_of, path_of

PLACE = b"0" * 32  # where a request's id will stand


class LoadShedder:
    """Gives the bytes of a refusal, the same ones that AdmissionMiddleware's answer ends in."""

    def __init__(self, batcher: Batcher, metrics: Metrics, settings: Settings, parts: Sequence[bytes]) -> None:
        """parts: of the answer behind its default headers, between its request ids."""
        self._batcher, self._metrics, self._settings, self._parts = batcher, metrics, settings, parts

    @classmethod
    async def make(cls, batcher: Batcher, metrics: Metrics, settings: Settings) -> "LoadShedder":
        """With the answer that the one handler gives."""
        scope = {"type": "http", "path": "/predict", "headers": [], "state": {"request_id": PLACE.decode()}}
        response = await answer(Request(scope), batcher.refusal())
        headers = [*response.raw_headers, (RAW_HEADER, PLACE), *RAW_HEADERS]
        head = b"".join(b"%s: %s\r\n" % header for header in headers)
        return cls(batcher, metrics, settings, (head + b"\r\n" + bytes(response.body)).split(PLACE))

    def refuse(self, url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bytes | None:
        """The answer to a POST behind its status line and default headers, or None where the application is to judge it.

        That is where there is a place for it, on other paths, and where the client brings an id of its own.
        """
        began, path = perf_counter(), PATHS.get(url.partition(b"?")[0])
        if path is None:
            return None
        scope = {"path": path, "headers": headers}
        if header_of(scope, RAW_HEADER) is not None or not self._batcher.is_full(body_length(scope, self._settings)):
            return None
        self._metrics.count_refusal(Overloaded.code)
        self._metrics.count_request(path, "POST", Overloaded.status, perf_counter() - began)
        return make_id().encode("ascii").join(self._parts)


class AdmissionMiddleware:
    """Holds a place in the batcher's bounds for each request that brings something to read, from its headers to its answer."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes an ASGI call on, or answers it with 503 overloaded."""
        batcher: Batcher | None = None
        if scope["type"] == "http" and brings_work(path_of(scope)):
            batcher = getattr(scope["app"].state, "batcher", None)
        if batcher is None:
            await self.app(scope, receive, send)
            return
        try:
            place = batcher.admit(body_length(scope, self._settings))
        except Overloaded as refusal:
            await (await answer(Request(scope), refusal))(scope, receive, send)
            return
        with place:
            await self.app(scope, receive, send)
