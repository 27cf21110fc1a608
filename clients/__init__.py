"""The clients, each in its own language, and what writes their types."""
