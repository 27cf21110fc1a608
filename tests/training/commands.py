"""Runs ``python -m training`` in the test's process, because a new one takes seconds to load torch."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from training.cli import app


@dataclass(frozen=True)
class Done:
    status: int
    stdout: str
    stderr: str


def training(*arguments: str | Path, status: int = 0) -> Done:
    """What the command line does, in this process, where torch is loaded already; it may end in no traceback."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["training", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            app.main()
    done = Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())
    assert done.status == status, done
    assert "Traceback" not in done.stderr
    return done
