"""What is expensive is made once for all of pytest-xdist's workers, which are processes."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first worker to ask for it makes, while others wait; tests read it, and copy what they change.

    make: is given the folder, empty. Where it fails, the next one to ask tries again.
    """
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # each worker's own folder lies in that of the run
    with FileLock(shared / f"{name}.lock"):
        if not (shared / name).exists():
            unfinished = factory.mktemp(name)
            make(unfinished)
            unfinished.rename(shared / name)
    return shared / name
