"""Picture -> where the digit is, and the digit as a 28×28 glyph."""
