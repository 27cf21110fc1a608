"""The one way in: every request is named, judged, admitted, routed, answered and noted here, by its row of the table.

    name it ─► may its client call? ─► is there a place for it? ─► answer it ─► count it, write its line
                     │ 401, 403, 429          │ 503                  │ an error
                     └────────────────────────┴──────────────────────┴─► app.web.problems answers

An endpoint that takes the request alone is called from here. FastAPI describes those too, and could answer them just so; but
finding a route, solving dependencies that there are not, and the layers between cost more than all the rest of an answer.
"""

import inspect
import logging
import sys
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Iterator, Sequence
from time import perf_counter
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from app.errors import Overloaded, RateLimited, RequestError, ShuttingDown, StartupError, UnsupportedEncoding, UploadTooLarge
from app.runtime.places import Place
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import enter, identify
from app.web.access.policy import Access, by_address
from app.web.endpoints import TAIL, Endpoint, Table
from app.web.headers import CACHE_CONTROL, NO_STORE, RAW_HEADERS
from app.web.problems import HEADER, RAW_HEADER, answer, identify_request, name_some
from app.web.scope import declared_length, header_of, path_of
from app.web.service import Service

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
OTHER = "OTHER"  # methods, which a client may invent, become one
NO_ANSWER = 500  # where the application failed before it answered
CLOSE = (b"connection", b"close")  # of an answer while the service drains: what the client sends next might be lost
HTTP_1 = {"1.0", "1.1"}
ENDED = "The service has ended before all of the request was here; send it again."
QUIET = {Overloaded.code, RateLimited.code}  # under overload, a line a refusal would be a load of its own

Handler = Callable[..., Awaitable[Response]]


class RequestMiddleware:
    """The only middleware of the service; CORS, where there are origins, is Starlette's, just inside of it."""

    def __init__(self, app: ASGIApp, service: Service, table: Table, notes: "Notes", *, traced: bool) -> None:
        self.app = app
        self._service = service
        self._table = table
        self._notes = notes
        self._traced = traced  # then FastAPI routes everything: it names its spans by the routes that it finds
        self._access = Access(service)
        self._enter = with_cors(self._answer, service.settings)
        self._handlers: dict[tuple[str, str], Handler] | None = None  # by method and template

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers an ASGI call and notes what became of it."""
        if self._handlers is None:
            self._handlers = self._find_handlers(scope["app"])
        if scope["type"] != "http":
            await self.app(scope, receive, with_startup_error(send))
            return
        began = perf_counter()
        endpoint = self._name(scope)
        trace = self._trace(scope) if self._traced else None
        exchange = Exchange(scope, receive, send, endpoint, self._service)
        try:
            await self._enter(scope, exchange.receive, exchange.send)
        finally:
            more = {"received": exchange.received, "sent": exchange.sent} | ({"trace_id": trace} if trace else {})
            self._notes.take(scope["method"], scope["state"], perf_counter() - began, more)

    def _name(self, scope: Scope) -> Endpoint:
        """The row of a request, kept with its id and what stands in the gaps of its path in the scope's state."""
        path = path_of(scope)
        endpoint, gaps = self._table.match(path)
        scope.setdefault("state", {}).update(endpoint=endpoint, gaps=gaps, request_id=identify_request(scope))
        if endpoint.lacks_slash_of(path):
            scope["state"]["had_slash"] = True
            scope["path"] = scope["path"][:-1]
        return endpoint

    def _trace(self, scope: Scope) -> str | None:
        identify(scope["state"]["request_id"])
        return enter(scope["query_string"])

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        try:
            await self._admit(request, send)
        except Exception as error:
            if "status" in scope["state"]:  # the answer has begun
                raise
            response = await answer(request, error)
            await response(scope, receive, send)
        except CancelledError:
            if not self._service.draining:
                raise
            if "status" not in scope["state"]:  # otherwise the server ends the connection
                response = await answer(request, ShuttingDown(ENDED))
                await response(scope, receive, send)

    async def _admit(self, request: Request, send: Send) -> None:
        """Judges and admits a request, and holds its place until all of its answer is sent.

        Raises:
            RequestError: it is refused.
        """
        endpoint: Endpoint = request.state.endpoint
        if self._access.judges(endpoint):
            request.scope["state"]["client"] = await self._access.judge(request, endpoint)
        elif endpoint.works:
            request.scope["state"]["client"] = by_address(request)
        if not endpoint.works:
            await self._route(request, send, endpoint)
            return
        length, state = endpoint.length(request.scope, self._service.settings), request.scope["state"]
        with self._service.admit(length, state["client"].name) as state["place"]:
            await self._route(request, send, endpoint)

    async def _route(self, request: Request, send: Send, endpoint: Endpoint) -> None:
        scope = request.scope
        method = scope["method"]
        if "had_slash" in scope["state"] and method in ("GET", "HEAD"):
            response = redirect_without_slash(scope)
            await response(scope, request.receive, send)
            return
        if method == "HEAD" and "GET" in endpoint.methods:  # answered as a GET; the server sends no body
            method = "GET"
        handler = self._handlers.get((method, endpoint.path)) if self._handlers else None
        if handler is None:
            await self.app(scope if method == scope["method"] else {**scope, "method": method}, request.receive, send)
            return
        response = await handler(request, **scope["state"]["gaps"])
        await response(scope, request.receive, send)

    def _find_handlers(self, app: FastAPI) -> dict[tuple[str, str], Handler]:
        """The endpoints that are called from here.

        Raises:
            StartupError: a route has no row in the table.
        """
        self._table.check(iter_routes(app))
        return {} if self._traced else dict(direct_endpoints(app))


class Exchange:
    """A request and its answer as they pass: holds the body to its limit, counts bytes, and adds headers."""

    __slots__ = ("_endpoint", "_is_whole", "_receive", "_scope", "_send", "_service", "_settings", "received", "sent")

    def __init__(self, scope: Scope, receive: Receive, send: Send, endpoint: Endpoint, service: Service) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._endpoint, self._service, self._settings = endpoint, service, service.settings
        self._is_whole = False  # whether all of the body has come
        self.received = self.sent = 0

    async def receive(self) -> Message:
        """The next piece of the body.

        Raises:
            UnsupportedEncoding: it is compressed.
            UploadTooLarge: it has more bytes than the endpoint takes, or, before the first piece, will have by its header.
            Overloaded: there is no room for it.
        """
        if not self.received:
            check_encoding(self._scope)
            self._check(declared_length(self._scope) or 0)
        message = await self._receive()
        place: Place | None = self._scope["state"].get("place")
        if body := message.get("body"):
            self.received += len(body)
            self._check(self.received)
            if place:
                place.grow(len(body))
        if not message.get("more_body"):
            self._is_whole = True
            if place:
                place.complete()
        return message

    def _check(self, length: int) -> None:
        if length <= self._endpoint.most(self._settings):  # nearly always; a form's limit need not be found out
            return
        limit = self._endpoint.limit(self._scope, self._settings)
        if length > limit:
            raise UploadTooLarge(f"The body is larger than the limit of {limit:,} bytes.")

    async def send(self, message: Message) -> None:
        """Passes on a piece of the answer."""
        if message["type"] == "http.response.start":
            state = self._scope["state"]
            state["status"] = message["status"]
            if "place" in state:
                state["place"].keep()
            identity = (RAW_HEADER, state["request_id"].encode("ascii"))
            headers = [*message.get("headers", ()), identity, *RAW_HEADERS]
            if self._service.draining and self._may_close():
                headers.append(CLOSE)
            message["headers"] = headers
            for name, _ in headers:
                if name == CACHE_CONTROL:
                    break
            else:
                headers.append(NO_STORE)
        elif self._scope["method"] == "HEAD":
            message["body"] = b""
        else:
            self.sent += len(message.get("body", b""))
        await self._send(message)

    def _may_close(self) -> bool:
        """Whether the connection may end with this answer.

        While bytes of the body are on their way it may not: they would meet a closed connection, and the client might lose the
        answer. Nor may it where other requests wait behind this one. HTTP/2 has no such header.
        """
        is_last = not self._scope["state"].get("followed")
        return is_last and self._scope["http_version"] in HTTP_1 and (self._is_whole or not has_body(self._scope))


def redirect_without_slash(scope: Scope) -> Response:
    """Leads a reader from a path with a slash behind it to the same without, from which the links of a page lead on.

    The place is relative: behind a proxy, the service knows neither the scheme nor the host nor the path before its own. What
    brings a body is answered where it is, for many clients repeat no body.
    """
    name, query = quote(scope["path"].rpartition("/")[2], safe=""), scope["query_string"].decode("latin-1")
    return RedirectResponse(f"../{name}?{query}" if query else f"../{name}")


def has_body(scope: Scope) -> bool:
    """Whether a body comes with a request, by its headers."""
    return bool(declared_length(scope)) or header_of(scope, b"transfer-encoding") is not None


def check_encoding(scope: Scope) -> None:
    """Refuses a compressed body.

    Raises:
        UnsupportedEncoding: it is one.
    """
    encoding = header_of(scope, b"content-encoding")
    if encoding and encoding.strip().lower() != b"identity":
        name = name_some([encoding.decode("latin-1")])
        raise UnsupportedEncoding(f"The body's Content-Encoding is {name}; send it uncompressed, without that header.")


class Notes:
    """What the operator sees of requests: their series, and a line each in the log."""

    def __init__(self, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self._metrics = metrics
        self._log = log

    def take(self, method: str, state: dict[str, Any], seconds: float, more: dict[str, Any]) -> None:
        """Counts a request by what its scope's state tells, and writes its line; more: further fields of that."""
        method = method if method in METHODS else OTHER
        route, status = state["endpoint"].name, state.get("status", NO_ANSWER)
        self._metrics.count_request(route, method, status, seconds)
        problem: RequestError | None = state.get("problem")
        if problem:
            self._metrics.count_refusal(problem.code)
        level = logging.DEBUG if problem and problem.code in QUIET else logging.INFO
        if not self._log.is_enabled_for(level):
            return
        fields = {"request_id": state["request_id"], "method": method, "route": route, "status": status}
        fields |= {"ms": round(1000 * seconds, 2), **more}
        if problem:
            fields |= {"code": problem.code, "detail": problem.detail}
        if "model" in state:
            fields["model"] = state["model"]
        self._log.log(level, "request", **fields)


def with_startup_error(send: Send) -> Send:
    """Tells the server why the service cannot start in the one line of the StartupError, in place of Starlette's traceback."""

    async def explain(message: Message) -> None:
        error = sys.exception()  # Starlette sends while it handles what the lifespan raised
        if message["type"] == "lifespan.startup.failed" and isinstance(error, StartupError):
            message["message"] = f"cannot start: {error}"
        await send(message)

    return explain


def with_cors(app: ASGIApp, settings: Settings) -> ASGIApp:
    """The application as the pages of other origins may call it, where the settings name any."""
    if not settings.cors_origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=settings.cors_origins,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["*"],  # tracing, caches and libraries add their own, and none means anything here
        allow_credentials=settings.cors_credentials,
        allow_private_network=settings.cors_private_network,
        expose_headers=[HEADER, "Retry-After", "Server-Timing"],
    )


def iter_routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Method and template, as the table has it, of each route; a folder of files answers GET."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, Mount):
            yield "GET", f"{route.path}/{TAIL}"
        elif isinstance(route, Route | APIRoute) and context.path:
            yield from ((method, context.path) for method in route.methods or ())


def direct_endpoints(app: FastAPI) -> Iterator[tuple[tuple[str, str], Handler]]:
    """Endpoints that the middleware calls, by method and template."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, APIRoute) and context.path and (handler := _direct(route)):
            yield from (((method, context.path), handler) for method in route.methods or ())


def _direct(route: APIRoute) -> Handler | None:
    """The endpoint, with what FastAPI would give it of the query, if it is one that the middleware can call."""
    takes = [*inspect.signature(route.endpoint).parameters.values()]
    if not _is_plain(route, takes):
        return None
    queried = [each.name for each in takes if each.name not in route.param_convertors][1:]
    return _with_query(route.endpoint, queried) if queried else route.endpoint


def _is_plain(route: APIRoute, takes: Sequence[inspect.Parameter]) -> bool:
    """Whether an endpoint is a coroutine that gives a response, and takes the request and strings as they come.

    These are the gaps of its path, and optional ones of the query.
    """
    strings = (
        each.annotation in (str, str | None) and (each.name in route.param_convertors or each.default is None)
        for each in takes[1:]
    )
    return (
        inspect.iscoroutinefunction(route.endpoint)
        and inspect.signature(route.endpoint).return_annotation is Response
        and not route.dependencies
        and bool(takes)
        and takes[0].annotation is Request
        and all(strings)
    )


def _with_query(endpoint: Handler, names: Sequence[str]) -> Handler:
    def call(request: Request, **gaps: str) -> Awaitable[Response]:
        return endpoint(request, **gaps, **{name: request.query_params.get(name) for name in names})

    return call
