"""Measures what metrics and logs cost a request: their parts alone, and the whole service with and without them.

    python -m benchmarks.serving.observing [--set NUMERAL_RATE_LIMIT=100000/second]

The two services take turns on one CPU. --set adds a setting to the full service only, so its cost counts too. The figure of a
part is the least of many repeats, which a busy machine does not disturb; it does disturb the figures of the service.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stderr
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console

from app.reading.requests import PictureRequest
from app.runtime.loading import load_reader
from app.settings import Settings
from app.telemetry.log import open_log
from app.telemetry.metrics import Metrics
from app.web.endpoints import TABLE
from app.web.middleware import Notes
from benchmarks.pictures import canvas, encode
from benchmarks.serving.bench import HOME, UVICORN, drawing
from benchmarks.serving.client import post, post_file
from benchmarks.serving.server import serve
from benchmarks.serving.turns import least_cpu, take_turns

WAYS = {"full": "app.main:create_app", "bare": f"{HOME}.unobserved:create"}
AT_ONCE = 200  # requests in a repeat
LEVEL = {"NUMERAL_LOG_LEVEL": "info", "NUMERAL_LOG_FORMAT": "json"}

console = Console()


def main(
    rounds: Annotated[int, typer.Option(help="Turns of both; 0 for the parts alone.", min=0)] = 20,
    seconds: Annotated[float, typer.Option(help="Load a turn.")] = 1.5,
    connections: Annotated[int, typer.Option(help="At once.", min=1)] = 16,
    settings: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, for the full service alone.")] = None,
) -> None:
    """Prints the CPU time of the parts, that of a request, and the median and range of the ratios of neighbouring turns."""
    if rounds:
        compare(rounds, seconds, connections, settings or [])
    with TemporaryDirectory() as folder:
        for way, place in (("one process", None), ("several workers", Path(folder))):
            for name, microseconds in parts(folder=place).items():
                console.print(f"{way}, {name}: {microseconds:.1f} µs")


def parts(repeats: int = 40, folder: Path | None = None) -> dict[str, float]:
    """CPU microseconds a request of what is done besides reading a canvas; folder: of series that workers share."""
    metrics, reader = Metrics(folder), load_reader(Settings())
    metrics.serve(reader.model)
    outcomes = reader.read_together([PictureRequest(drawing)])
    notes = Notes(metrics, open_log(Settings(log_format="json"), metrics.count_lost_line))
    state = {"endpoint": TABLE.find("/predict"), "request_id": "0" * 32, "status": 200, "model": "digits/3"}

    def count() -> None:
        for change in (1, -1):
            metrics.count_in_progress(change)
            metrics.count_queued(change)
        metrics.count_outcomes(outcomes)

    def note() -> None:
        for _ in range(AT_ONCE):
            notes.take("POST", state, 0.001, {"received": 1, "sent": 2})

    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
        line = least_cpu(note, repeats)
    return {
        "series of a picture": least_cpu(count, AT_ONCE * repeats),
        "series and line of a request": line / AT_ONCE,
        "reading a canvas, to compare": least_cpu(lambda: reader.read_together([PictureRequest(drawing)]), repeats),
    }


def compare(rounds: int, seconds: float, connections: int, settings: Sequence[str]) -> None:
    """The service with and without, in turns."""
    extra = dict(each.split("=", 1) for each in settings)
    requests = {
        "280×280 canvas, multipart": post_file("/predict", drawing()),
        "28×28 PNG, raw": post("/predict", encode(canvas(5, size=28, pen=2)), "image/png"),
    }
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[-1]})
    with TemporaryDirectory() as folder, ExitStack() as stack:
        servers = {
            way: stack.enter_context(
                serve(
                    [sys.executable, *UVICORN, "--factory", application],
                    requests["28×28 PNG, raw"],
                    {cpus[0]},
                    LEVEL | (extra if way == "full" else {}),
                    Path(folder) / way,
                )
            )
            for way, application in WAYS.items()
        }
        for name, request in requests.items():
            turns = take_turns(servers, "bare", "full", request, rounds, seconds, connections)
            console.print(f"{name}: {turns.describe('without', 'with')}")


if __name__ == "__main__":
    typer.run(main)
