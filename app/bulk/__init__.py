"""Reads millions of pictures into one Parquet file."""
