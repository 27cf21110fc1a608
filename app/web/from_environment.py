"""The service as other servers than ours start it: settings and log from the environment, and what is wrong in a line each."""

import logging.config
import os
import sys

from fastapi import FastAPI
from pydantic import ValidationError

from app.errors import StartupError
from app.settings import Settings, describe_faults, warn_of_unknown_variables
from app.telemetry.log import log_config
from app.web import application


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
