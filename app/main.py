"""The names by which servers find the application: ``uvicorn app.main:app``, ``fastapi run app/main.py``, and Docker's factory.

``app`` is made when it is asked for, so that nothing happens at import.
"""

from typing import Any

from app.web.from_environment import create_app

__all__ = ["app", "create_app"]  # noqa: F822  see __getattr__


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault("app", create_app())


def __dir__() -> list[str]:  # the command `fastapi` looks here for the name
    return sorted({*globals(), "app"})
