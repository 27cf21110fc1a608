"""Who may call, and how often: keys, roles and each client's limit, judged by the headers before anything else is read."""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from fastapi import Request

from app.errors import Forbidden, Unauthorized
from app.web.access.keys import ApiKey, Keyring
from app.web.access.rate_limit import name_address
from app.web.endpoints import Endpoint
from app.web.service import Service

LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}
PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


@dataclass(frozen=True)
class Client:
    """Who sent a request: a key's name, or an address."""

    name: str


def by_address(request: Request) -> Client:
    """A client without a key."""
    client = request.scope.get("client")
    return _unkeyed(client[0] if client else "unknown")


@lru_cache(maxsize=1024)
def _unkeyed(host: str) -> Client:
    return Client(name_address(host))


class Access:
    """Judges who may call, by what the table says of the endpoint."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def judges(self, endpoint: Endpoint) -> bool:
        """Whether it matters who calls an endpoint: there are keys or limits, or it is an administrator's."""
        guarded = self._service.keyring or self._service.limiter_of(endpoint) or endpoint.access == "admin"
        return bool(guarded) and endpoint.access != "open"

    async def judge(self, request: Request, endpoint: Endpoint) -> Client:
        """Who sent the request, which may go on.

        Raises:
            RequestError: it may not: Unauthorized, Forbidden or RateLimited.
        """
        keyring, limiter = self._service.keyring, self._service.limiter_of(endpoint)
        key = _find_key(request, keyring) if keyring else None
        client = Client(f"key {key.name}") if key else by_address(request)
        if limiter:
            await limiter.admit(client.name)
        if keyring and not key:
            raise Unauthorized("Send a key that is known here as X-API-Key, or as Authorization: Bearer.")
        if endpoint.access == "admin":
            self._judge_admin(request, key)
        return client

    def _judge_admin(self, request: Request, key: ApiKey | None) -> None:
        if key and key.role != "admin":
            raise Forbidden(f"The key {key.name} has the role {key.role}; this takes the role admin.")
        if not key and not (self._service.settings.loopback_only and comes_from_here(request)):
            raise Forbidden(
                "The service has no API keys: this works only from its own machine, while it listens on loopback alone."
            )


def _find_key(request: Request, keyring: Keyring) -> ApiKey | None:
    presented = presented_key(request)
    return keyring.find(presented) if presented else None


def presented_key(request: Request) -> bytes | None:
    """The key in X-API-Key, or else in Authorization: Bearer."""
    key = request.headers.get("x-api-key")
    if key is None:
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        key = credentials if scheme.lower() == "bearer" else ""
    return key.strip().encode("latin-1") or None


def comes_from_here(request: Request) -> bool:
    """Whether a program of this machine asks: not a proxy for others, nor another site's page under any name for this host."""
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
