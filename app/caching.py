"""Conditional requests: what a client already holds is not sent again."""

from fastapi import Request


def is_known(request: Request, tag: str) -> bool:
    """Whether If-None-Match names an entity tag, given without its quotes, weakly or not (RFC 9110, 13.1.2)."""
    tags = request.headers.get("if-none-match", "").split(",")
    return any(known.strip().removeprefix("W/") in (f'"{tag}"', "*") for known in tags)
