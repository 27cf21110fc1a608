"""Runs the command line: python -m app."""

from app.cli.app import main

main()
