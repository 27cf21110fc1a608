"""Runs the command line: python -m training."""

from training.cli.app import main

main()
