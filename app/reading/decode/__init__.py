"""Bytes -> upright RGB picture, within limits."""
