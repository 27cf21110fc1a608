"""Every request, seen from outside: a line in the log and its place in the metrics, whatever became of it."""

import logging
from collections.abc import Sequence
from re import Pattern
from time import perf_counter
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import BaseRoute, compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from app.errors import Overloaded, RateLimited, RequestError
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import enter
from app.web.problems import ANSWERED, answer
from app.web.scope import path_of

UNMATCHED = "unmatched"  # the route of paths that nothing is served at
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
OTHER = "OTHER"  # methods, which a client may invent, become one
NO_ANSWER = 500  # where the application failed before it answered
QUIET = {Overloaded.code, RateLimited.code}  # under overload, a line a refusal would be a load of its own


class ObserveMiddleware:
    """Outermost, so that refusals at the door are seen too."""

    def __init__(self, app: ASGIApp, metrics: Metrics, log: FilteringBoundLogger, *, traced: bool) -> None:
        self.app = app
        self._metrics = metrics
        self._log = log
        self._traced = traced
        self._routes: Sequence[tuple[Pattern[str], str]] = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes an ASGI call on, and notes what became of it."""
        if scope["type"] != "http":
            self._routes = self._routes or _templates(scope["app"])  # 30 ms, which no refusal is to wait for
            await self.app(scope, receive, send)
            return
        began, root = perf_counter(), scope.get("root_path", "")
        trace = enter(scope["query_string"]) if self._traced else None
        status, received, sent = NO_ANSWER, 0, 0

        async def count_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def count_send(message: Message) -> None:
            nonlocal status, sent
            status = message.get("status", status)
            sent += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, count_receive, count_send)
        finally:
            more = {"received": received, "sent": sent} | ({"trace_id": trace} if trace else {})
            self._note(scope, self._route(scope, root), status, perf_counter() - began, more)

    def _note(self, scope: Scope, route: str, status: int, seconds: float, more: dict[str, Any]) -> None:
        method = scope["method"] if scope["method"] in METHODS else OTHER
        self._metrics.count_request(route, method, status, seconds)
        state = scope.get("state", {})
        problem: RequestError | None = state.get("problem")
        if problem:
            self._metrics.count_refusal(problem.code)
        level = logging.DEBUG if problem and problem.code in QUIET else logging.INFO
        if not self._log.is_enabled_for(level):
            return
        fields = {"request_id": state.get("request_id"), "method": method, "route": route, "status": status}
        fields |= {"ms": round(1000 * seconds, 2), **more}
        if problem:
            fields |= {"code": problem.code, "detail": problem.detail}
        if "model" in state:
            fields["model"] = state["model"]
        self._log.log(level, "request", **fields)

    def _route(self, scope: Scope, root: str) -> str:
        """The template of the route, never the path that was asked for: anybody can invent paths."""
        if "route" in scope:
            route: str = scope["route"].path
            return route
        mounted: str = scope.get("root_path", root).removeprefix(root)
        self._routes = self._routes or _templates(scope["app"])
        path = mounted or path_of(scope)
        template = next((template for pattern, template in self._routes if pattern.match(path)), UNMATCHED)
        return f"{template}/*" if mounted and template != UNMATCHED else template


def _templates(app: FastAPI) -> Sequence[tuple[Pattern[str], str]]:
    """The routes' patterns and templates, for requests that ended before they were routed."""
    paths = dict.fromkeys(context.path for context in iter_route_contexts(app.routes) if context.path)
    return [(compile_path(path)[0], path) for path in paths]


class DirectMiddleware:
    """Calls the endpoints of some routes itself: coroutines that take the request alone and give the response.

    FastAPI describes the routes and could answer them just so; but finding a route, solving the dependencies that it has not,
    and the layers between take longer than all the rest of an answer. What is no request for one of them goes that way.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self.app = app
        self._routes = {
            (method, route.path): route for route in routes if isinstance(route, APIRoute) for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers an ASGI call, or passes it on."""
        route = self._routes.get((scope["method"], path_of(scope))) if scope["type"] == "http" else None
        if route is None:
            await self.app(scope, receive, send)
            return
        scope["route"] = route
        request = Request(scope, receive, send)
        try:
            response: Response = await route.endpoint(request)
        except ANSWERED as error:
            response = await answer(request, error)
        await response(scope, receive, send)
