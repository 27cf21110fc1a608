"""Runs the command line: ``python -m app``. Without a command it serves."""

import sys

from app.cli.app import main

if __name__ == "__main__":
    main(sys.argv[1:] or ["serve"])
