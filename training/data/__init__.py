"""What is learned from: MNIST, pen strokes, made pictures."""
