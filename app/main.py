"""The web application: nothing happens at import; the lifespan loads the model."""

import asyncio
import gc
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
from types import FrameType
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi_offline import FastAPIOffline

from app import admin, inference_protocol, tracing
from app.access import AccessMiddleware, describe_keys
from app.admission import AdmissionMiddleware
from app.batcher import Batcher
from app.classifier import CudaOptions, DigitClassifier
from app.connection import SHEDDER
from app.direct import DirectMiddleware
from app.keys import read_keyring
from app.logs import open_log
from app.metrics import Metrics
from app.observe import ObserveMiddleware
from app.orphans import watch_parent
from app.page import add_page
from app.predict import Reader
from app.problems import HEADER, RequestIdMiddleware, add_handlers
from app.rate_limit import RateLimiter
from app.routes import direct, router
from app.security import SecurityHeadersMiddleware
from app.settings import Settings
from app.shared import Shared
from app.shedding import LoadShedder
from app.store import find_model
from app.switch import ModelSwitch

COLLECTIONS = (2_000, 1_000, 100)  # gc.set_threshold's: what answers leave behind dies by itself, problems make no cycles
SWITCH_SECONDS = 0.0005  # of Python's default of 5 ms: so long may a worker keep the event loop from answering


def load_reader(settings: Settings) -> Reader:
    """The model that the settings name, proven and ready to read.

    Raises:
        StartupError: it cannot be served; the message names it and the reason.
    """
    return Reader(load_classifier(settings), settings)


def load_classifier(settings: Settings) -> DigitClassifier:
    """The model that the settings name, opened and proven.

    Raises:
        StartupError: it cannot be served; the message names it and the reason.
    """
    model = find_model(settings.model_store, settings.model_name, settings.model_version)
    cuda = CudaOptions(tuple(settings.cuda_batch_sizes), settings.cuda_precision)
    return DigitClassifier.load(model, settings.provider, settings.intra_op_threads, cuda)


def create_app(settings: Settings | None = None, load: Callable[[Settings], Reader] = load_reader) -> FastAPI:
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
        sys.setswitchinterval(SWITCH_SECONDS)
        warnings.filterwarnings("ignore", module="PIL")  # whoever sends damaged files would fill the log, and memory, by them
        shared = Shared(chosen.runtime_dir)
        app.state.limiter = RateLimiter(chosen.rate_limit, shared) if chosen.rate_limit else None
        app.state.switch = ModelSwitch(chosen, shared, load_classifier, partial(_serve, app))
        app.state.switch.start(load)
        app.state.batcher = Batcher(app.state.reader, chosen, metrics)
        app.state.draining = False
        if threading.current_thread() is threading.main_thread():  # elsewhere, as in a test, the process is another's
            _drain_before_the_end(app, chosen.drain_seconds)
            _spare_collections()
            watch_parent(partial(os.kill, os.getpid(), signal.SIGTERM))  # of one worker among several
        following = asyncio.create_task(app.state.switch.follow())
        # Refusals are all alike where nobody is to be told apart, and nothing to be written of each.
        yield {SHEDDER: await LoadShedder.make(app.state.batcher, metrics, chosen)} if alike else None
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
        telemetry=tracing.configure(),
    )
    app.state.metrics = metrics
    app.include_router(direct)
    app.include_router(router)
    app.include_router(admin.router)
    app.include_router(inference_protocol.router)
    add_page(app)
    add_handlers(app)
    if keyring:
        describe_keys(app)
    if not traced:  # FastAPI names its spans by the routes that it finds
        app.add_middleware(DirectMiddleware, routes=direct.routes)
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


def _serve(app: FastAPI, reader: Reader) -> None:
    """Puts a reader in the place of the one before; what is being read is read to its end by that one."""
    app.state.reader = reader
    app.state.metrics.serve(reader.classifier)
    if hasattr(app.state, "batcher"):
        app.state.batcher.reader = reader


def _drain_before_the_end(app: FastAPI, seconds: float) -> None:
    """Lets SIGTERM first turn /health/ready to 503, and end the server so much later: proxies send nothing new until then.

    A second SIGTERM, like SIGINT, ends it at once.
    """
    before, loop = signal.getsignal(signal.SIGTERM), asyncio.get_running_loop()
    if not callable(before):
        return
    end: Callable[[int, FrameType | None], object] = before

    def drain(number: int, frame: FrameType | None) -> None:
        if app.state.draining:
            end(number, frame)
        else:
            app.state.draining = True
            loop.call_soon_threadsafe(lambda: loop.call_later(seconds, end, number, frame))

    signal.signal(signal.SIGTERM, drain)


def _spare_collections() -> None:
    """Keeps the collector of cycles off what lives as long as the process: looking through it stops all threads for 0.1 s."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTIONS)
