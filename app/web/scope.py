"""Reads path and headers from an ASGI scope without building a Request."""

from starlette.types import Scope

FORM = "multipart/form-data"


def path_of(scope: Scope) -> str:
    """The path without the root_path that a proxy, a server or an outer application put before it, as Starlette routes it.

    A root that ends in a slash may stand before the path as it is, or without the slash.
    """
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if not root:
        return path
    before = next((each for each in (root, root.rstrip("/")) if each and path.startswith(f"{each}/")), "")
    return path[len(before) :]


def header_of(scope: Scope, name: bytes) -> bytes | None:
    """The first header of this name, which is in small letters, as ASGI's are."""
    for each, value in scope["headers"]:
        if each == name:
            found: bytes = value
            return found
    return None


def declared_length(scope: Scope) -> int | None:
    """The body's length by its header, in bytes, if there is one."""
    declared = header_of(scope, b"content-length")
    return int(declared) if declared and declared.isdigit() else None


def content_type(scope: Scope) -> tuple[str, str]:
    """The media type in small letters, and what follows it behind the first semicolon."""
    kind, _, options = (header_of(scope, b"content-type") or b"").decode("latin-1").partition(";")
    return kind.strip().lower(), options


def is_form(scope: Scope) -> bool:
    """Whether the body is a multipart form."""
    return content_type(scope)[0] == FORM
