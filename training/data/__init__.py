"""The training data: MNIST, pen strokes, made pictures."""
