"""What an ASGI scope tells, looked up without a request made of it."""

from starlette.types import Scope


def path_of(scope: Scope) -> str:
    """The path without the root_path that a proxy, a server or an outer application put before it, as Starlette routes it.

    A root that ends in a slash may stand before the path as it is, or without the slash.
    """
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    before = next((each for each in (root, root.rstrip("/")) if each and path.startswith(f"{each}/")), "")
    return path[len(before) :]


def header_of(scope: Scope, name: bytes) -> bytes | None:
    """The first header of this name, which is in small letters, as ASGI's are."""
    return next((value for each, value in scope["headers"] if each == name), None)
