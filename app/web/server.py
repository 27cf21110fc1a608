"""Runs the application by uvicorn, in one process or several."""

import logging
import os
from asyncio import Protocol
from collections.abc import Mapping
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import uvicorn

from app.reading.reader import Reader
from app.runtime.shared_state import Shared, open_runtime_folder
from app.settings import Settings
from app.telemetry.log import log_config
from app.web.application import create_app

STARTING_SECONDS = 30  # until a worker must answer its supervisor; on a busy machine, imports alone take uvicorn's 5

logger = logging.getLogger(__name__)


def run(settings: Settings, reader: Reader, flags: Mapping[str, object]) -> None:
    """Serves until the process is told to end.

    reader: for one process; several load one each. flags: the settings that did not come from the environment.

    Raises:
        StartupError: the API keys cannot be read, or there is no folder for the processes to share.
    """
    application = create_app(
        settings, lambda _: reader
    )  # made here even for several workers, so that wrong keys are found before anything listens
    warn_of_open_doors(settings)
    if settings.workers == 1:
        with open_runtime_folder(settings.runtime_dir) if settings.runtime_dir else nullcontext():
            uvicorn.run(application, **uvicorn_options(settings))
        return
    with open_runtime_folder(settings.runtime_dir) as folder:  # each process makes its application from the environment
        Shared(Path(folder)).close()  # makes the database, so that the processes need not do so all at once
        settled = {**flags, "runtime_dir": folder}
        os.environ |= {f"NUMERAL_{name.upper()}": str(value) for name, value in settled.items() if value is not None}
        uvicorn.run("app.main:create_app", factory=True, workers=settings.workers, **uvicorn_options(settings))


def uvicorn_options(settings: Settings) -> dict[str, Any]:
    """Uvicorn's options; only trusted proxies are believed about X-Forwarded-For."""
    return {
        "host": settings.host,
        "port": settings.port,
        "log_level": settings.log_level,
        "log_config": log_config(settings),
        "access_log": False,
        "timeout_keep_alive": settings.keep_alive_seconds,
        "proxy_headers": bool(settings.trusted_proxies),
        "forwarded_allow_ips": settings.trusted_proxies,
        "http": _connection(),
        "timeout_worker_healthcheck": STARTING_SECONDS,
    }


def _connection() -> type[Protocol] | Literal["auto"]:
    """Our connections; they need httptools, which Windows does not have."""
    if find_spec("httptools") is None:
        return "auto"
    from app.web.connection import PatientConnection  # noqa: PLC0415  needs httptools

    return PatientConnection


def warn_of_open_doors(settings: Settings) -> None:
    """Warns where anybody may call."""
    if not settings.loopback_only and not settings.api_keys and settings.api_keys_file is None:
        logger.warning(
            "The service listens on %s, beyond this machine, and has no API keys: anybody who reaches the port may call.",
            settings.host,
        )
