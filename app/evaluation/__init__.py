"""Labelled pictures -> how well they are read."""
