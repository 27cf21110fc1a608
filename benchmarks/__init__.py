"""Measurements of the whole service, side by side."""
