"""Traces by OpenTelemetry: FastAPI makes a span of each request, and here each stage becomes a span below it.

Off unless the extra `otel` is installed and the standard OTEL_ variables name a collector; then FastAPI sets all of it up.
"""

import os
import time
from collections.abc import Callable, Sequence

from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from starlette.types import Scope

from app.reading.batch import PictureOutcome, TensorOutcome

SECOND = 1_000_000_000  # nanoseconds


def configure(is_probe: Callable[[Scope], bool]) -> TelemetryConfig:
    """What FastAPI is to do: no inner spans, and no log lines, which app.telemetry.log writes; without variables, nothing.

    is_probe: tells requests that are not worth a trace.
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
    """Spans of each picture's stages below that of the request that is being answered, where there is one."""
    if not trace.get_current_span().is_recording():
        return
    tracer = trace.get_tracer("numeral")
    epoch = time.time_ns() - round(time.perf_counter() * SECOND)  # of perf_counter
    for number, outcome in enumerate(outcomes):
        for stage, began in outcome.starts.items():
            start = epoch + round(began * SECOND)
            span = tracer.start_span(stage, start_time=start, attributes={"numeral.picture": number})
            span.end(start + round(outcome.seconds[stage] * SECOND))


def enter(query: bytes) -> str | None:
    """The trace's id, for the log, where there is one; what the query holds is kept out of the request's span."""
    span = trace.get_current_span()
    context = span.get_span_context()
    if query:
        span.set_attribute("url.query", "REDACTED")
    return trace.format_trace_id(context.trace_id) if context.is_valid else None


def identify(request_id: str) -> None:
    """Gives the request's span its id."""
    trace.get_current_span().set_attribute("numeral.request_id", request_id)
