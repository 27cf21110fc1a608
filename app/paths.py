"""Which path of ours is asked for, wherever the application is mounted."""

from starlette.types import Scope


def path_of(scope: Scope) -> str:
    """The path of an ASGI scope without the root_path that a proxy, a server or an outer application put before it."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path
