"""The service without metrics and request logs; the difference is what these cost."""

from typing import Any

from fastapi import FastAPI

from app.telemetry.metrics import Metrics
from app.web.application import create_app


class _Silent:
    """Takes every call and does nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def create() -> FastAPI:
    """The service; everything else is as it is served."""
    app = create_app()
    metrics, silent = app.state.metrics, _Silent()
    app.user_middleware[0].kwargs["notes"] = silent
    for name in ("queue_depth", "in_progress"):
        setattr(metrics, name, silent)
    for name in (name for name in vars(Metrics) if name.startswith("count_")):
        setattr(metrics, name, getattr(silent, name))
    return app
