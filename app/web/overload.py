"""Load shedding: the connection itself refuses requests under overload, before a Request is built.

A refusal's cost is taken from good answers, and making an ASGI call of it costs several times as much as all the rest.
Middleware that is wrapped around the application never sees such a request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

from fastapi import Request

from app.errors import Overloaded
from app.runtime.places import refusal
from app.web.access.rate_limit import name_address
from app.web.endpoints import Endpoint, ErrorForm, Table
from app.web.headers import NO_STORE, RAW_HEADERS
from app.web.problems import RAW_HEADER, answer, make_id
from app.web.scope import header_of
from app.web.service import Service

if TYPE_CHECKING:
    from app.web.connection import TimedConnection  # needs httptools, which Windows does not have

SHEDDER, BOUNDS = "shedder", "bounds"  # places of what connections need, in the state that the lifespan gives
PLACE = b"0" * 32  # where a request's id will stand

Parts = Sequence[bytes]  # of an answer behind its default headers, between its request ids


@dataclass
class Bounds:
    """Of a server's connections.

    least_sent: bytes a second of a body; idle: those between two requests, the longest idle one first.
    """

    stall_seconds: float = 5.0
    most_idle: int = 500
    least_sent: int = 8192
    idle: "dict[TimedConnection, None]" = field(default_factory=dict)


class LoadShedder:
    """Gives the bytes of a refusal, the same ones that the middleware's answer ends in."""

    def __init__(self, service: Service, table: Table, parts: Mapping[ErrorForm, Parts]) -> None:
        """parts: of the refusals, in each form that errors have."""
        self._settings, self._metrics, self._batcher = service.settings, service.metrics, service.batcher
        self._table, self._parts = table, parts

    @classmethod
    async def make(cls, service: Service, table: Table) -> "LoadShedder":
        """With the answers that the one place gives."""
        rows = {row.errors: row for row in table if row.works}
        return cls(service, table, {form: await _refusal(row) for form, row in rows.items()})

    def refuse(self, url: bytes, headers: Sequence[tuple[bytes, bytes]], host: str | None = None) -> bytes | None:
        """The answer to a POST behind its status line and default headers, or None where the application is to judge it.

        That is where there is a place for it, where it brings no work, and where the client brings an id of its own.
        host: the client's address; behind proxies, the one that the application is told is another.
        """
        began, endpoint = perf_counter(), self._table.find(url.partition(b"?")[0].decode("latin-1"))
        if not endpoint.works or "POST" not in endpoint.methods:
            return None
        scope = {"headers": headers}
        client = name_address(host) if host and not self._settings.trusted_proxies else None
        if header_of(scope, RAW_HEADER) is not None or not self._batcher.is_full(
            endpoint.length(scope, self._settings), client
        ):
            return None
        self._metrics.count_refusal(Overloaded.code)
        self._metrics.count_request(endpoint.name, "POST", Overloaded.status, perf_counter() - began)
        return make_id().encode("ascii").join(self._parts[endpoint.errors])


async def _refusal(endpoint: Endpoint) -> Parts:
    state = {"request_id": PLACE.decode(), "endpoint": endpoint}
    response = await answer(Request({"type": "http", "headers": [], "state": state}), refusal())
    headers = [*response.raw_headers, (RAW_HEADER, PLACE), *RAW_HEADERS, NO_STORE]
    head = b"".join(b"%s: %s\r\n" % header for header in headers)
    return (head + b"\r\n" + bytes(response.body)).split(PLACE)
