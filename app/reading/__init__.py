"""Reads handwritten digits, as a library: no web framework, no settings object, no metrics.

>>> from app.reading import Reader
>>> Reader.load().read("photo.jpg")
"""

from app.reading.answer import Box, Finding, Prediction
from app.reading.batch import Trace
from app.reading.decode.limits import DefaultLimits, Limits
from app.reading.reader import Reader

__all__ = ["Box", "DefaultLimits", "Finding", "Limits", "Prediction", "Reader", "Trace"]
