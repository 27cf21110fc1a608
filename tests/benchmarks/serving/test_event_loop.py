"""What a request costs the event loop, measured on this checkout against itself."""

import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from benchmarks.serving.event_loop import main


def test_each_kind_of_request_is_measured_in_both_checkouts(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[3]
    monkeypatch.chdir(root)
    app = typer.Typer()
    app.command()(main)

    told = CliRunner().invoke(app, [str(root), "--rounds", "2", "--requests", "20"], catch_exceptions=False).stdout

    lines = told.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "280×280 canvas, multipart",
        "28×28 PNG, raw",
        "health",
        "one glyph to /v2 infer",
    ]
    for line in lines:
        before, now, share = map(float, re.findall(r"([\d.]+) (?:µs|of it)", line))
        assert share == pytest.approx(now / before, rel=0.02)
