"""``numeral serve``: runs the service over HTTP."""

import logging.config
from typing import Annotated

import typer

from app.cli.common import ModelVersion, ProviderOption, load, read_settings, start
from app.telemetry.log import log_config


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; 127.0.0.1 by default.")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port to listen on; 8000 by default.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that serve; 1 by default, 0 for one per CPU.")] = None,
    model_version: ModelVersion = None,
    provider: ProviderOption = None,
) -> None:
    """Serves the model over HTTP. Every setting can also be given in the environment as NUMERAL_<NAME>."""
    from app.web.server import run  # noqa: PLC0415  the other commands start faster without the web packages

    flags: dict[str, object] = {
        "host": host,
        "port": port,
        "workers": workers,
        "model_version": model_version,
        "provider": provider,
    }
    settings = read_settings(**flags)
    logging.config.dictConfig(log_config(settings))
    reader = load(settings)  # a wrong model or wrong keys stop the start here, before anything listens
    start(lambda: run(settings, reader, flags))
