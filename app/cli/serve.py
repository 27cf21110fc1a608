"""``numeral serve``: runs the service over HTTP."""

import asyncio
import logging.config
from collections.abc import Mapping
from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL
from socket import AF_INET, AF_INET6, AF_UNSPEC, AddressFamily, gaierror
from typing import Annotated

import typer

from app.cli.common import ModelVersion, ProviderOption, load, parse_settings, start
from app.errors import StartupError
from app.reading.reader import Reader
from app.settings import Settings
from app.telemetry.log import log_config

OTHER_HOST = (
    "Give the name or an address of this machine, such as 127.0.0.1, or 0.0.0.0 for every interface: --host or NUMERAL_HOST."
)
OTHER_PORT = "--port or NUMERAL_PORT."


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; 127.0.0.1 by default.")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port to listen on; 8000 by default.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that serve; 1 by default, 0 for one per CPU.")] = None,
    model_version: ModelVersion = None,
    provider: ProviderOption = None,
) -> None:
    """Serves the model over HTTP. Every setting can also be given in the environment as NUMERAL_<NAME>."""
    flags: dict[str, object] = {
        "host": host,
        "port": port,
        "workers": workers,
        "model_version": model_version,
        "provider": provider,
    }
    settings = parse_settings(**flags)  # variables that set nothing are named in its log
    logging.config.dictConfig(log_config(settings))
    start(lambda: check_address(settings))  # at once, and not after the seconds that loading takes
    reader = load(settings)  # a wrong model or wrong keys stop the start here, before anything listens
    start(lambda: _run(settings, reader, flags))


def check_address(settings: Settings) -> None:
    """Binds the address that the service is to listen on, and lets it go again.

    Raises:
        StartupError: the host or the port cannot be had.
    """
    family = AF_UNSPEC if settings.workers == 1 else AF_INET6 if ":" in settings.host else AF_INET  # as uvicorn takes them
    try:
        asyncio.run(_bind(settings.host, settings.port, family))
    except (OSError, UnicodeError) as error:
        raise StartupError(_explain(error, settings.host, settings.port)) from error


async def _bind(host: str, port: int, family: AddressFamily) -> None:
    loop = asyncio.get_running_loop()
    (await loop.create_server(asyncio.Protocol, host, port, family=family, start_serving=False)).close()


def _explain(error: OSError | UnicodeError, host: str, port: int) -> str:
    """What is wrong with an address, and what to do. A UnicodeError is of a name that cannot be one of a host."""
    if isinstance(error, (gaierror, UnicodeError)):
        return f"The host {host} has no address that can be found. {OTHER_HOST}"
    if error.errno == EADDRNOTAVAIL:
        return f"{host} is not an address of this machine. {OTHER_HOST}"
    if error.errno == EADDRINUSE:
        return f"Port {port} of {host} is in use. End the process that listens there, or give another port: {OTHER_PORT}"
    if error.errno == EACCES:
        return f"This user may not listen on port {port} of {host}. Give a port above 1023: {OTHER_PORT}"
    return f"The service cannot listen on port {port} of {host}: {error}."


def _run(settings: Settings, reader: Reader, flags: Mapping[str, object]) -> None:
    """Serves until the process is told to end. Exits with 1 if uvicorn cannot start; the log then says why.

    Raises:
        StartupError: as app.web.server.run, or the address was taken while the model was loaded.
    """
    from uvicorn.config import STARTUP_FAILURE  # noqa: PLC0415  the other commands start faster without the web packages

    from app.web.server import run  # noqa: PLC0415  as above

    try:
        run(settings, reader, flags)
    except SystemExit as error:
        if error.code != STARTUP_FAILURE:
            raise
        check_address(settings)
        raise typer.Exit(1) from error
