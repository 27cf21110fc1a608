"""Measures how well labelled pictures are read, and shows the result."""
