"""Metrics, drift, traces and the log."""
