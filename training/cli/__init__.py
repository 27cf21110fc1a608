"""The command line ``python -m training``: its commands by subject."""
