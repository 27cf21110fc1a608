"""The names by which servers find the application: ``uvicorn app.main:app``, ``fastapi run app/main.py``, and Docker's factory.

``app`` is made when it is asked for, so that nothing happens at import.
"""

import logging.config
import os
import sys
from typing import Any

from fastapi import FastAPI
from pydantic import ValidationError

from app.errors import StartupError
from app.settings import Settings, describe_faults, warn_of_unknown_variables
from app.telemetry.log import log_config
from app.web import application

__all__ = ["app", "create_app"]  # noqa: F822  see __getattr__


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service. Without settings, a server asks: they come from the environment, and the log is the service's own.

    Raises:
        StartupError: the API keys cannot be read, or the workers' folder cannot be written to.
        SystemExit: without settings, the same, or a setting is wrong; standard error says why, as from ``numeral serve``.
    """
    if settings is not None:
        return application.create_app(settings)
    try:
        settings = Settings()
        logging.config.dictConfig(log_config(settings))
        warn_of_unknown_variables(os.environ)
        return application.create_app(settings)
    except ValidationError as error:
        faults, status = describe_faults(error), 2
    except StartupError as error:
        faults, status = [f"cannot start: {error}"], 1
    sys.stderr.writelines(f"numeral: {fault}\n" for fault in faults)
    raise SystemExit(status)


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault("app", create_app())


def __dir__() -> list[str]:  # the command `fastapi` looks here for the name
    return sorted({*globals(), "app"})
