"""Runs the application by uvicorn, in one process or several."""

import logging
import os
import sys
from asyncio import Protocol
from collections.abc import Mapping
from contextlib import nullcontext
from importlib.util import find_spec
from math import ceil
from typing import Any, Literal

import uvicorn

from app.errors import StartupError
from app.reading.reader import Reader
from app.runtime.shared_state import Shared, open_runtime_folder
from app.settings import PREFIX, Settings, warn_of_unknown_variables
from app.telemetry.log import log_config
from app.web.application import create_app
from app.web.supervisor import Supervisor

STARTING_SECONDS = 30  # until a worker must answer its supervisor; on a busy machine, imports alone take uvicorn's 5

logger = logging.getLogger(__name__)


def run(settings: Settings, reader: Reader, flags: Mapping[str, object]) -> None:
    """Serves until the process is told to end.

    reader: for one process; several load one each. flags: the settings that did not come from the environment.

    Raises:
        StartupError: the API keys cannot be read, there is no folder for the processes to share, or no process can start.
    """
    shares = settings.workers > 1 or settings.runtime_dir
    with open_runtime_folder(settings.runtime_dir) if shares else nullcontext() as folder:
        # Made here even for several workers, so that wrong keys are found before anything listens.
        application = create_app(settings, lambda _: reader)
        warn_of_open_doors(settings)
        if settings.workers == 1:
            warn_of_unknown_variables(os.environ)  # several processes do so themselves, in from_environment
            uvicorn.run(application, **uvicorn_options(settings))
            return
        Shared(folder).close()  # makes the database, so that the processes need not do so all at once
        settled = {**flags, "runtime_dir": folder}  # each process makes its application from the environment
        os.environ |= {f"{PREFIX}{name.upper()}": str(value) for name, value in settled.items() if value is not None}
        config = uvicorn.Config("app.main:create_app", factory=True, workers=settings.workers, **uvicorn_options(settings))
        supervisor = Supervisor(config, [config.bind_socket()])
        supervisor.run()
        if supervisor.failed:
            raise StartupError("No worker process can start; the log says why.")


def uvicorn_options(settings: Settings) -> dict[str, Any]:
    """Uvicorn's options; only trusted proxies are believed about X-Forwarded-For."""
    return {
        "host": settings.host,
        "port": settings.port,
        "log_level": settings.log_level,
        "log_config": log_config(settings),
        "access_log": False,
        "timeout_keep_alive": settings.keep_alive_seconds,
        "timeout_graceful_shutdown": ceil(2 * settings.deadline_seconds),  # for a picture to arrive, and for its answer
        "proxy_headers": bool(settings.trusted_proxies),
        "forwarded_allow_ips": settings.trusted_proxies,
        "http": _connection(),
        "ws": "none",
        "timeout_worker_healthcheck": STARTING_SECONDS,
    }


def _connection() -> type[Protocol] | Literal["auto"]:
    """Our connections; they need httptools and Unix's sockets, which Windows does not have."""
    if sys.platform == "win32" or find_spec("httptools") is None:
        return "auto"
    from app.web.connection import TimedConnection  # noqa: PLC0415  needs httptools

    return TimedConnection


def warn_of_open_doors(settings: Settings) -> None:
    """Warns where anybody may call."""
    if not settings.loopback_only and not settings.api_keys and settings.api_keys_file is None:
        logger.warning(
            "The service listens on %s, beyond this machine, and has no API keys: anybody who reaches the port may call.",
            settings.host,
        )
