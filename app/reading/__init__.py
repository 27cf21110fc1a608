"""Reads handwritten digits, as a library: no web framework, no settings object, no metrics.

>>> from app.reading import Reader
>>> Reader.load().read("photo.jpg")
>>> Reader.load().read_number("meter.jpg")

A name is looked up when it is first asked for: decoder processes decode without the model's runtime in their memory.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.reading.answer import Box, Prediction, Reading, ReadingWarning
    from app.reading.decode.limits import DefaultLimits, Limits
    from app.reading.reader import Reader
    from app.reading.trace import Trace

__all__ = ["Box", "DefaultLimits", "Limits", "Prediction", "Reader", "Reading", "ReadingWarning", "Trace"]

_HOMES = {
    "Box": "answer",
    "ReadingWarning": "answer",
    "Prediction": "answer",
    "Reading": "answer",
    "Trace": "trace",
    "DefaultLimits": "decode.limits",
    "Limits": "decode.limits",
    "Reader": "reader",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
