"""Decodes bytes into an upright RGB picture, within limits."""
