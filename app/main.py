"""The web application: nothing happens at import; the lifespan loads the model."""

import asyncio
import signal
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from types import FrameType

import cv2
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi_offline import FastAPIOffline

from app.admission import AdmissionMiddleware
from app.batcher import Batcher
from app.classifier import CudaOptions, DigitClassifier
from app.predict import Reader
from app.problems import HEADER, RequestIdMiddleware, add_handlers
from app.routes import router
from app.settings import Settings
from app.store import find_model

SWITCH_SECONDS = 0.0005  # of Python's default of 5 ms: so long may a worker keep the event loop from answering


def load_reader(settings: Settings) -> Reader:
    """The model that the settings name, proven and ready to read.

    Raises:
        StartupError: it cannot be served; the message names it and the reason.
    """
    model = find_model(settings.model_store, settings.model_name, settings.model_version)
    cuda = CudaOptions(tuple(settings.cuda_batch_sizes), settings.cuda_precision)
    return Reader(DigitClassifier.load(model, settings.provider, settings.intra_op_threads, cuda), settings)


def create_app(settings: Settings | None = None, load: Callable[[Settings], Reader] = load_reader) -> FastAPI:
    """The service, for any ASGI server: ``uvicorn --factory app.main:create_app``.

    Settings come from the environment unless given; load is called once, when the server starts.
    """
    chosen = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        sys.setswitchinterval(SWITCH_SECONDS)
        cv2.setNumThreads(1)  # a worker a picture; more threads cost more CPU and win nothing under load
        app.state.reader = load(chosen)
        app.state.batcher = Batcher(app.state.reader, chosen)
        app.state.draining = False
        _drain_before_the_end(app, chosen.drain_seconds)
        yield
        app.state.batcher.stop()
        del app.state.reader

    app = FastAPIOffline(
        title="Numeral",
        summary="Reads the handwritten digit in a photo or a drawing.",
        version=version("numeral"),
        lifespan=lifespan,
    )
    app.include_router(router)
    add_handlers(app)
    app.add_middleware(AdmissionMiddleware, settings=chosen)
    app.add_middleware(RequestIdMiddleware)
    if chosen.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=chosen.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Content-Type", HEADER],
            expose_headers=[HEADER],
        )
    return app


def _drain_before_the_end(app: FastAPI, seconds: float) -> None:
    """Lets SIGTERM first turn /health/ready to 503, and end the server so much later: proxies send nothing new until then.

    A second SIGTERM, like SIGINT, ends it at once. Where another thread runs the server, signals are not its business.
    """
    if threading.current_thread() is not threading.main_thread():
        return
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
