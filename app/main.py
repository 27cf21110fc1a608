"""The web application: nothing happens at import; the lifespan loads the model."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

from anyio import CapacityLimiter
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi_offline import FastAPIOffline

from app.classifier import DigitClassifier
from app.predict import Reader
from app.problems import HEADER, RequestIdMiddleware, add_handlers
from app.routes import router
from app.settings import Settings
from app.store import find_model


def load_reader(settings: Settings) -> Reader:
    """The model that the settings name, proven and ready to read.

    Raises:
        StartupError: it cannot be served; the message names it and the reason.
    """
    model = find_model(settings.model_store, settings.model_name, settings.model_version)
    return Reader(DigitClassifier.load(model, settings.provider, settings.intra_op_threads), settings)


def create_app(settings: Settings | None = None, load: Callable[[Settings], Reader] = load_reader) -> FastAPI:
    """The service, for any ASGI server: ``uvicorn --factory app.main:create_app``.

    Settings come from the environment unless given; load is called once, when the server starts.
    """
    chosen = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        app.state.workers = CapacityLimiter(chosen.worker_threads)
        app.state.reader = load(chosen)
        yield
        del app.state.reader

    app = FastAPIOffline(
        title="Numeral",
        summary="Reads the handwritten digit in a photo or a drawing.",
        version=version("numeral"),
        lifespan=lifespan,
    )
    app.include_router(router)
    add_handlers(app)
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
