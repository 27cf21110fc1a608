"""The web application: nothing happens at import; the lifespan loads the model."""

import asyncio
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi_offline import FastAPIOffline

from app.reading.decode.picture import Decoder
from app.reading.reader import Reader
from app.runtime.loading import load_classifier, load_reader, open_decoder, start_decoder
from app.runtime.model_switch import ModelSwitch
from app.runtime.process import SWITCH_SECONDS, drain_before_the_end, give_memory_back, spare_collections, watch_parent
from app.runtime.queue import Batcher
from app.runtime.shared_state import Shared
from app.runtime.watchdog import Watchdog, Watched, end_process
from app.settings import Settings
from app.telemetry import tracing
from app.telemetry.log import open_log
from app.telemetry.metrics import Metrics
from app.web.access.keys import read_keyring
from app.web.access.policy import AccessMiddleware, describe_keys
from app.web.access.rate_limit import RateLimiter
from app.web.connection import SHEDDER
from app.web.endpoints import is_probe
from app.web.headers import SecurityHeadersMiddleware
from app.web.middleware import DirectMiddleware, ObserveMiddleware
from app.web.open_inference.routes import router as open_inference
from app.web.overload import AdmissionMiddleware, LoadShedder
from app.web.page.pages import add_page
from app.web.problems import HEADER, RequestIdMiddleware, add_handlers
from app.web.routes import health, models, predict


def create_app(  # noqa: PLR0915  the wiring of the whole
    settings: Settings | None = None, load: Callable[[Settings], Reader] = load_reader
) -> FastAPI:
    """The service, for any ASGI server that passes a lifespan's state on: ``uvicorn --factory app.main:create_app``.

    Settings come from the environment unless given; load is called once, when the server starts.

    Raises:
        StartupError: the API keys cannot be read, or the workers' folder cannot be written to.
    """
    chosen = settings or Settings()
    keyring = read_keyring(chosen)
    metrics = Metrics(chosen.runtime_dir / "metrics" if chosen.runtime_dir else None)
    log = open_log(chosen, metrics.count_lost_line)
    traced = tracing.is_on()
    alike = not (keyring or chosen.rate_limit or chosen.cors_origins or traced or log.is_enabled_for(logging.DEBUG))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[dict[str, Any] | None]:
        with open_decoder(chosen) as decoder:
            async with serving(app, decoder) as state:
                yield state

    @asynccontextmanager
    async def serving(app: FastAPI, decoder: Decoder) -> AsyncGenerator[dict[str, Any] | None]:
        sys.setswitchinterval(SWITCH_SECONDS)
        warnings.filterwarnings("ignore", module="PIL")  # whoever sends damaged files would fill the log, and memory, by them
        shared = Shared(chosen.runtime_dir)
        app.state.limiter = RateLimiter(chosen.rate_limit, shared) if chosen.rate_limit else None
        app.state.switch = ModelSwitch(chosen, shared, load_classifier, partial(_serve, app), decoder)
        app.state.switch.start(load)
        start_decoder(decoder)
        app.state.batcher = Batcher(app.state.reader, chosen, metrics)
        app.state.draining = False
        app.state.watchdog = watch(app.state.batcher, decoder, chosen)
        if threading.current_thread() is threading.main_thread():  # elsewhere, as in a test, the process is another's
            drain_before_the_end(partial(_begin_draining, app), chosen.drain_seconds)
            spare_collections()
            give_memory_back()
            watch_parent(partial(os.kill, os.getpid(), signal.SIGTERM))  # of one worker among several
        following = asyncio.create_task(app.state.switch.follow())
        # Refusals are all alike where nobody is to be told apart, and nothing to be written of each.
        yield {SHEDDER: await LoadShedder.make(app.state.batcher, metrics, chosen)} if alike else None
        app.state.watchdog.stop()
        following.cancel()
        await asyncio.wait({following})
        app.state.batcher.stop()
        app.state.switch.stop()
        shared.close()
        metrics.close()
        del app.state.reader

    app = FastAPIOffline(
        docs_url=None,  # the page's own, under its content security policy
        redoc_url=None,
        title="Numeral",
        summary="Reads the handwritten digit in a photo or a drawing.",
        version=version("numeral"),
        lifespan=lifespan,
        telemetry=tracing.configure(is_probe),
    )
    app.state.metrics, app.state.settings = metrics, chosen
    for router in (predict.direct, health.direct, models.served, health.router, models.router, open_inference):
        app.include_router(router)
    add_page(app)
    add_handlers(app)
    if keyring:
        describe_keys(app)
    if not traced:  # FastAPI names its spans by the routes that it finds
        app.add_middleware(DirectMiddleware, routes=[*predict.direct.routes, *health.direct.routes])
    app.add_middleware(AdmissionMiddleware, settings=chosen)
    app.add_middleware(AccessMiddleware, settings=chosen, keyring=keyring)
    app.add_middleware(RequestIdMiddleware, traced=traced)
    if chosen.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=chosen.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", HEADER],
            allow_credentials=chosen.cors_credentials,
            expose_headers=[HEADER],
        )
    app.add_middleware(SecurityHeadersMiddleware)
    app.add_middleware(ObserveMiddleware, metrics=metrics, log=log, traced=traced)
    return app


def watch(batcher: Batcher, decoder: Decoder, settings: Settings) -> Watchdog:
    """Watches what reads; ends the process where it is this application's own, and past recovery."""
    watched: dict[str, Watched] = {"worker threads": batcher}
    if isinstance(decoder, Watched):
        watched["decoder processes"] = decoder
    own = threading.current_thread() is threading.main_thread()
    last = settings.drain_seconds + settings.deadline_seconds
    return Watchdog(watched, partial(end_process, last) if own else lambda: None)


def _begin_draining(app: FastAPI) -> bool:
    """Whether draining begins now."""
    begins = not app.state.draining
    app.state.draining = True
    return begins


def _serve(app: FastAPI, reader: Reader) -> None:
    """Puts a reader in the place of the one before; what is being read is read to its end by that one."""
    app.state.reader = reader
    app.state.metrics.serve(reader.classifier)
    if hasattr(app.state, "batcher"):
        app.state.batcher.reader = reader
