"""What training gains from each ingredient, and how fast it reaches an accuracy."""
