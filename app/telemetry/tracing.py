"""Traces with OpenTelemetry: FastAPI makes a span for each request, and this module adds a child span for each stage.

Tracing is off unless the extra `otel` is installed and the standard OTEL_ variables name a collector. FastAPI then sets it up.
"""

import os
import time
from collections.abc import Callable, Sequence

from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from starlette.types import Scope

from app.reading.requests import PictureOutcome, TensorOutcome

SECOND = 1_000_000_000  # nanoseconds


def configure(is_probe: Callable[[Scope], bool]) -> TelemetryConfig:
    """The configuration for FastAPI: no inner spans, and no logs, which app.telemetry.log writes. Without variables, nothing.

    is_probe: whether a request is a probe, which gets no trace.
    """
    on = is_on()
    return {
        "auto_configure": True,
        "tracing": on,
        "metrics": on,
        "operation_spans": False,
        "logs": False,
        "exclude": is_probe,
    }


def is_on() -> bool:
    """Whether the environment asks for traces."""
    return any(name.startswith("OTEL_") for name in os.environ)


def record_stages(outcomes: Sequence[PictureOutcome | TensorOutcome]) -> None:
    """Adds a span for each stage of each picture to the span of the current request, if there is one."""
    if not trace.get_current_span().is_recording():
        return
    tracer = trace.get_tracer("numeral")
    epoch = time.time_ns() - round(time.perf_counter() * SECOND)  # when perf_counter was 0
    for number, outcome in enumerate(outcomes):
        for stage, began in outcome.starts.items():
            start = epoch + round(began * SECOND)
            span = tracer.start_span(stage, start_time=start, attributes={"numeral.picture": number})
            span.end(start + round(outcome.seconds[stage] * SECOND))


def enter(query: bytes) -> str | None:
    """Returns the trace id for the log, or None without a trace. Keeps the query out of the span of the request."""
    span = trace.get_current_span()
    context = span.get_span_context()
    if query:
        span.set_attribute("url.query", "REDACTED")
    return trace.format_trace_id(context.trace_id) if context.is_valid else None


def identify(request_id: str) -> None:
    """Adds the request id to the span of the request."""
    trace.get_current_span().set_attribute("numeral.request_id", request_id)
