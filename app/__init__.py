"""Serves the model: bytes -> picture -> glyph -> tensor -> probabilities -> JSON. Never imports torch."""
