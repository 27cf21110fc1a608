"""Who may call, and how often: keys, roles and each client's limit, judged by the headers before anything else is read."""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import Forbidden, RequestError, Unauthorized
from app.settings import Settings
from app.web.access.keys import ApiKey, Keyring
from app.web.access.rate_limit import RateLimiter, name_address
from app.web.endpoints import ADMIN_BELOW, is_open
from app.web.problems import answer, problem_responses
from app.web.scope import path_of

LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}
PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


@dataclass(frozen=True)
class Client:
    """Who sent a request: a key's name, or an address."""

    name: str


class AccessMiddleware:
    """Lets a request in, with its client in scope["state"], or answers 401, 403 or 429. Health and the page are open."""

    def __init__(self, app: ASGIApp, settings: Settings, keyring: Keyring | None) -> None:
        self.app = app
        self._settings = settings
        self._keyring = keyring

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes an ASGI call on, or refuses it."""
        if scope["type"] == "http" and self._is_judged(scope, path_of(scope)):
            request = Request(scope)
            try:
                request.state.client = self._judge(request)
            except RequestError as refusal:
                await (await answer(request, refusal))(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _is_judged(self, scope: Scope, path: str) -> bool:
        """Whether it matters who asks for a path: there are keys or limits, or it is an administrator's."""
        guarded = self._keyring or getattr(scope["app"].state, "limiter", None) or path.startswith(ADMIN_BELOW)
        return bool(guarded) and not is_open(path)

    def _judge(self, request: Request) -> Client:
        """Who sent the request, which may go on.

        Raises:
            RequestError: it may not: Unauthorized, Forbidden or RateLimited.
        """
        key = _find_key(request, self._keyring) if self._keyring else None
        client = Client(f"key {key.name}" if key else name_address(request.client.host if request.client else "unknown"))
        limiter: RateLimiter | None = getattr(request.app.state, "limiter", None)
        if limiter:
            limiter.check(client.name)
        if self._keyring and not key:
            raise Unauthorized("Send a key that is known here as X-API-Key, or as Authorization: Bearer.")
        if path_of(request.scope).startswith(ADMIN_BELOW):
            self._judge_admin(request, key)
        return client

    def _judge_admin(self, request: Request, key: ApiKey | None) -> None:
        if key and key.role != "admin":
            raise Forbidden(f"The key {key.name} has the role {key.role}; this takes the role admin.")
        if not key and not (self._settings.loopback_only and comes_from_here(request)):
            raise Forbidden("Without keys, this is for programs on the machine itself, while it listens on no other address.")


def _find_key(request: Request, keyring: Keyring) -> ApiKey | None:
    presented = presented_key(request)
    return keyring.find(presented) if presented else None


def describe_keys(app: FastAPI) -> None:
    """Has OpenAPI say which calls ask for a key, and what they answer without one."""
    plain = app.openapi

    def with_keys() -> dict[str, Any]:
        if app.openapi_schema is None:
            _add_keys(plain())
        return plain()

    app.openapi = with_keys  # type: ignore[method-assign]  # FastAPI's documented way


def _add_keys(schema: dict[str, Any]) -> None:
    schema["components"]["securitySchemes"] = {
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "bearer": {"type": "http", "scheme": "bearer"},
    }
    for path, operations in schema["paths"].items():
        for operation in operations.values() if not is_open(path) else ():
            operation["security"] = [{"key": []}, {"bearer": []}]
            operation["responses"] |= {str(status): told for status, told in problem_responses(401, 403, 429).items()}


def presented_key(request: Request) -> bytes | None:
    """The key in X-API-Key, or else in Authorization: Bearer."""
    key = request.headers.get("x-api-key")
    if key is None:
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        key = credentials if scheme.lower() == "bearer" else ""
    return key.strip().encode("latin-1") or None


def comes_from_here(request: Request) -> bool:
    """Whether a program of this machine asks: no proxy for others, and no other site's page, by whatever name it calls us."""
    headers = request.headers
    origin = headers.get("origin")
    names = [_host(f"//{headers.get('host', '')}"), *([_host(origin)] if origin is not None else [])]
    return _is_loopback(request) and set(names) <= LOCAL_NAMES and not any(name in headers for name in PROXY_HEADERS)


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _is_loopback(request: Request) -> bool:
    try:
        return ip_address(request.client.host if request.client else "").is_loopback
    except ValueError:
        return False
