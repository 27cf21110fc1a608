"""The shortest way to the endpoints that are asked thousands of times a second."""

from collections.abc import Sequence

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.problems import ANSWERED, answer
from app.scopes import path_of


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
