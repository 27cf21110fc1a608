"""Serves the model: bytes -> picture -> glyph -> tensor -> probabilities -> JSON. Never imports torch."""

__version__ = "0.2.0"
