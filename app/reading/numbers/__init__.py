"""Picture -> every digit in it, in lines, and the likeliest strings."""
