"""The door: pictures are let in before anything of them is read, or refused at little cost when too many are here."""

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.batcher import Batcher
from app.errors import Overloaded
from app.problems import answer, in_protocol
from app.scopes import path_of
from app.settings import Settings
from app.uploads import body_length


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


def brings_work(path: str) -> bool:
    """Whether pictures are sent to this path, or tensors."""
    return path.startswith("/predict") or (in_protocol(path) and path.endswith("/infer"))
