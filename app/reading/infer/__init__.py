"""Glyphs -> probabilities; the model store on disk."""
