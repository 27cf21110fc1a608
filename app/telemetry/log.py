"""Writes log lines to stderr, as JSON or for people. If the stream is closed or its disk is full, only lines are lost."""

import logging
import sys
from collections.abc import Callable
from typing import Any

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

from app.settings import LogFormat, Settings


class Lines:
    """The end of structlog's chain: writes lines to stderr."""

    def __init__(self, lost: Callable[[], None]) -> None:
        """lost: called for each line that could not be written."""
        self._lost = lost

    def msg(self, line: str) -> None:
        """Writes a line."""
        if not write(line):
            self._lost()

    debug = info = warning = error = msg


class LineHandler(logging.Handler):
    """A handler of the standard library that writes lines to stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a line."""
        write(self.format(record))


def write(line: str) -> bool:
    """Writes a line to stderr. Returns whether that succeeded."""
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):  # full or broken; closed; None
        return False
    return True


def open_log(settings: Settings, lost: Callable[[], None]) -> FilteringBoundLogger:
    """Opens the log of requests. lost: called for each line that could not be written."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    log: FilteringBoundLogger = structlog.wrap_logger(
        Lines(lost),
        processors=[*_stamp(), *_render(settings.log_format)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    ).bind()  # bound once, not for each line
    return log


def log_config(settings: Settings) -> dict[str, Any]:
    """The argument of logging.config.dictConfig for all lines but those of requests; uvicorn's access log is off."""
    level = settings.log_level.upper()
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": "app.telemetry.log.make_formatter", "log_format": settings.log_format}},
        "handlers": {"stderr": {"class": "app.telemetry.log.LineHandler", "formatter": "line"}},
        "root": {"level": level, "handlers": ["stderr"]},
        "loggers": {"uvicorn.access": {"handlers": [], "propagate": False}},
    }


def turn_off_access_log() -> None:
    """Turns off uvicorn's access log, even if a server turned it on: the service logs each request itself."""
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()
    access.propagate = False


def make_formatter(log_format: LogFormat) -> logging.Formatter:
    """Makes the formatter for records of the standard library."""
    chain = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_render(log_format)]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_stamp(), structlog.stdlib.add_logger_name], processors=chain
    )


def _stamp() -> list[Processor]:
    return [structlog.processors.add_log_level, structlog.processors.TimeStamper("iso", utc=True, key="time"), _put_first]


def _put_first(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {**{name: event.pop(name) for name in ("time", "level", "event")}, **event}


def _render(log_format: LogFormat) -> list[Processor]:
    """The last processors. Tracebacks are plain: a pretty one shows the values of variables, which may hold a picture."""
    terminal = sys.stderr is not None and sys.stderr.isatty()
    if log_format == "json" or (log_format == "auto" and not terminal):
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=plain, timestamp_key="time")]
