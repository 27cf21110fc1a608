"""Pictures by the million -> one Parquet file."""
