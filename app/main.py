"""The names by which servers find the application: ``uvicorn app.main:app``, ``fastapi run app/main.py``, and Docker's factory.

``app`` is made when it is asked for, so that nothing happens at import.
"""

import logging.config
from typing import Any

from fastapi import FastAPI

from app.settings import Settings
from app.telemetry.log import log_config
from app.web import application

__all__ = ["app", "create_app"]  # noqa: F822  see __getattr__


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service. Without settings, a server asks: they come from the environment, and the log is the service's own.

    Raises:
        StartupError: the API keys cannot be read, or the workers' folder cannot be written to.
    """
    if settings is None:
        settings = Settings()
        logging.config.dictConfig(log_config(settings))
    return application.create_app(settings)


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault("app", create_app())


def __dir__() -> list[str]:  # the command `fastapi` looks here for the name
    return sorted({*globals(), "app"})
