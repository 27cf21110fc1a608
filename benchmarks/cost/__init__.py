"""What networks, batches and stages cost."""
