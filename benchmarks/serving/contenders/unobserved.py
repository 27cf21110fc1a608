"""The service without metrics and request logs; the difference is what these cost."""

from typing import Any

from fastapi import FastAPI

from app.telemetry.metrics import Metrics
from app.web.application import create_app
from app.web.middleware import ObserveMiddleware


class _Silent:
    """Takes every call and does nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def create() -> FastAPI:
    """The service; everything else is as it is served."""
    app = create_app()
    app.user_middleware = [each for each in app.user_middleware if each.cls is not ObserveMiddleware]  # type: ignore[comparison-overlap]
    metrics, silent = app.state.metrics, _Silent()
    for name in ("queue_depth", "in_progress"):
        setattr(metrics, name, silent)
    for name in (name for name in vars(Metrics) if name.startswith("count_")):
        setattr(metrics, name, getattr(silent, name))
    return app
