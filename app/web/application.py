"""The web application: nothing happens at import; the lifespan loads the model."""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from app import __version__
from app.reading.reader import Reader
from app.runtime.loading import load_reader
from app.runtime.process import open_files
from app.settings import Settings
from app.telemetry import tracing
from app.telemetry.log import open_log, turn_off_access_log
from app.telemetry.metrics import Metrics
from app.web.access.keys import read_keyring
from app.web.endpoints import TABLE, Table, is_probe, operation_path
from app.web.middleware import Notes, RequestMiddleware
from app.web.open_inference.routes import router as open_inference
from app.web.openapi import CORRECTIONS, SERVERS, TAGS, describe_service
from app.web.overload import BOUNDS, SHEDDER, Bounds, LoadShedder
from app.web.page.pages import add_page
from app.web.problems import add_handlers
from app.web.routes import corrections, health, models, predict, read
from app.web.service import Service


def create_app(
    settings: Settings | None = None, load: Callable[[Settings], Reader] = load_reader, table: Table = TABLE
) -> FastAPI:
    """The service, for any ASGI server that passes a lifespan's state on: ``uvicorn --factory app.main:create_app``.

    Settings come from the environment unless given; load is called once, when the server starts; the table needs a row for
    each route that is added to the application.

    Raises:
        StartupError: the API keys cannot be read, or the workers' folder cannot be written to.
    """
    chosen = settings or Settings()
    keyring = read_keyring(chosen)
    metrics = Metrics(chosen.runtime_dir / "metrics" if chosen.runtime_dir else None)
    log = open_log(chosen, metrics.count_lost_line)
    traced = tracing.is_on()
    service = Service(chosen, keyring, metrics)
    alike = not (keyring or chosen.rate_limit or chosen.cors_origins or traced or log.is_enabled_for(logging.DEBUG))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[dict[str, Any]]:
        turn_off_access_log()
        async with service.run(load):
            # A connection can refuse only where all refusals are alike: no client told apart, no line written for each.
            shedder = {SHEDDER: await LoadShedder.make(service, table)} if alike else {}
            yield {BOUNDS: Bounds(chosen.stall_seconds, open_files() // 2, chosen.min_bytes_per_second), **shedder}

    app = FastAPIOffline(
        docs_url=None,  # the page's own, under its content security policy
        redoc_url=None,
        openapi_url=operation_path("openapi"),
        static_url=operation_path("docsFiles"),
        title="Numeral",
        summary="Reads handwritten digits in photos and drawings.",
        version=__version__,
        openapi_tags=TAGS if chosen.keep == "off" else [*TAGS, CORRECTIONS],
        servers=SERVERS,
        lifespan=lifespan,
        redirect_slashes=False,  # to the host and scheme that the service sees, which behind a proxy are not the client's
        telemetry=tracing.configure(partial(is_probe, table=table)),
    )
    app.state = service  # type: ignore[assignment]  # typed, in place of Starlette's bag
    for router in (predict.router, read.router, health.probes, models.served, health.router, models.router, open_inference):
        app.include_router(router)
    if chosen.keep != "off":
        app.include_router(corrections.router)
    add_page(app, chosen.keep)
    add_handlers(app)
    describe_service(app, table, locked=keyring is not None)
    app.add_middleware(RequestMiddleware, service=service, table=table, notes=Notes(metrics, log), traced=traced)
    return app
