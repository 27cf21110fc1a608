"""Measures what keeping answers costs a request: its parts alone, and the whole service with and without it, in turns.

    python -m benchmarks.serving.keeping [--keep pictures]

The two services take turns on one CPU, and are started anew a few times: two processes of the same program may differ
by a percent. The figure of a service is the CPU time of its process, with the writing
thread. That of queueing or reading is the least of many repeats, that of keeping an answer the median, since it has two
threads and a disk. A busy machine disturbs the figures of the service more than those of the parts.
"""

import os
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from app.corrections.entry import Answered
from app.corrections.journal import Journal
from app.corrections.keeper import Keeper
from app.reading.find.measure import Measurements
from app.reading.find.steps import Glyph
from app.runtime.loading import load_reader
from app.settings import Settings
from benchmarks.pictures import canvas, encode, photo
from benchmarks.serving.bench import SERVE, drawing
from benchmarks.serving.client import post, post_file
from benchmarks.serving.server import serve
from benchmarks.serving.turns import Turns, least_cpu, take_turns, together

TOGETHER = 50  # answers that are written in one transaction: those of half a second at 100 a second

console = Console()


class Uncounted:
    """An observer that counts nothing."""

    def count_kept(self, count: int) -> None:
        """Counts nothing."""

    def count_unkept(self, count: int) -> None:
        """Counts nothing."""


def main(
    keep: Annotated[str, typer.Option(help="What is kept: glyphs or pictures.")] = "glyphs",
    starts: Annotated[int, typer.Option(help="Times that both services are started; 6 give an interval.", min=1)] = 6,
    rounds: Annotated[int, typer.Option(help="Turns of both after each start; 0 for the parts alone.", min=0)] = 8,
    seconds: Annotated[float, typer.Option(help="Load a turn.")] = 1.5,
    connections: Annotated[int, typer.Option(help="At once.", min=1)] = 16,
) -> None:
    """Prints the CPU time of the parts, that of a request, and the ratio of the two: median and spread over the starts."""
    for name, microseconds in parts().items():
        console.print(f"{name}: {microseconds:.1f} µs")
    if rounds:
        compare(keep, starts, rounds, seconds, connections)


def parts(repeats: int = 40) -> dict[str, float]:
    """CPU microseconds an answer: to queue it, to queue and write it with others, and to read its canvas, to compare."""
    reader, picture = load_reader(Settings()), drawing()
    prediction = reader.read(picture)
    glyph = Glyph(np.zeros((28, 28), np.uint8), prediction.box, Measurements(0.8, 0.1, 0.02, 1, 0.0))
    answered = Answered(prediction, (glyph,))
    with TemporaryDirectory() as folder:
        settings = Settings(keep="glyphs", data_dir=Path(folder))
        keeper = Keeper(settings, Journal.open(settings), Uncounted(), keyed=False)
        queueing = least_cpu(lambda: keeper.keep(answered, "127.0.0.1"), repeats)
        keeping = statistics.median(_spend(keeper, answered) for _ in range(repeats))
        keeper.stop()
    return {
        "queueing an answer": queueing,
        f"queueing and writing it, with {TOGETHER - 1} others": keeping,
        "reading a canvas, to compare": least_cpu(lambda: reader.read(picture), repeats),
    }


def _spend(keeper: Keeper, answered: Answered) -> float:
    """CPU microseconds of the process for an answer among some that are written together."""
    keeper.flush()
    started = time.process_time()
    for _ in range(TOGETHER):
        keeper.keep(answered, "127.0.0.1")
    keeper.flush()
    return 1e6 * (time.process_time() - started) / TOGETHER


def compare(keep: str, starts: int, rounds: int, seconds: float, connections: int) -> None:
    """The service with and without, in turns."""
    requests = {
        "280×280 canvas, multipart": post_file("/predict", drawing()),
        "28×28 PNG, raw": post("/predict", encode(canvas(5, size=28, pen=2)), "image/png"),
        "640×480 JPEG, raw": post("/predict", encode(photo(7), "JPEG", quality=90), "image/jpeg"),
    }
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[-1]})
    taken: dict[str, list[Turns]] = {title: [] for title in requests}
    for _ in track(range(starts), "starts", console=console):
        with TemporaryDirectory() as name, ExitStack() as stack:
            folder, log = Path(name), {"NUMERAL_LOG_LEVEL": "warning"}
            settings = {"without": log, "with": log | {"NUMERAL_KEEP": keep, "NUMERAL_DATA_DIR": str(folder / "data")}}
            servers = {
                way: stack.enter_context(
                    serve([sys.executable, *SERVE], requests["28×28 PNG, raw"], {cpus[0]}, environment, folder / way)
                )
                for way, environment in settings.items()
            }
            for title, request in requests.items():
                taken[title].append(take_turns(servers, "without", "with", request, rounds, seconds, connections))
    for title, turns in taken.items():
        console.print(f"{title}: {together(turns).describe('without', 'with')}")
        console.print("  by start: " + ", ".join(f"{statistics.median(each.ratios):.3f}" for each in turns))


if __name__ == "__main__":
    typer.run(main)
