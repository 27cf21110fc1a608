"""What large bodies have taken is given back."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HOLDING = """
from app.runtime.process import MemoryTrimmer, _resident
memory = MemoryTrimmer()
before = _resident()
large = [bytes(20 * 2**20) for _ in range(4)]
del large
print(_resident() - before)
small = [bytes(100_000) for _ in range(2_000)]
kept = small[1000]  # in the midst of them
del small
memory.mend()
print(_resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is left to the C library")
def test_memory_of_large_and_of_many_bodies_is_given_back() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}

    run = subprocess.run([sys.executable, "-c", HOLDING], check=True, capture_output=True, env=environment)

    assert all(int(line) < 40 * 2**20 for line in run.stdout.split())
