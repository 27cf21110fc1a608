"""Infers probabilities from glyphs, and reads the model store on disk."""
