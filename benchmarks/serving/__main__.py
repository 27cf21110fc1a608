"""Compares the service with floors and peers, and writes docs/performance.md: ``make bench``."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.serving.bench import Bench, Results, compare, grow, measure_pictures, overload, scale, soak
from benchmarks.serving.plots import draw_comparison, draw_growth, draw_overload
from benchmarks.serving.report import write_report

DOCS = Path(__file__).parents[2] / "docs"


def run(
    rounds: Annotated[int, typer.Option(help="Turns of each server.", min=1)] = 3,
    seconds: Annotated[float, typer.Option(help="Of each load.", min=0.1)] = 4,
    connections: Annotated[list[int] | None, typer.Option(help="1, 16, 64 and 256 by default.")] = None,
    soak_minutes: Annotated[int, typer.Option(help="0 leaves the soak out.", min=0)] = 0,
    peers: Annotated[Path | None, typer.Option(help="Python of the environment with LitServe and BentoML.")] = None,
) -> None:
    """Measures everything and writes the report."""
    console, counts = Console(highlight=False, soft_wrap=True), connections or [1, 16, 64, 256]
    with TemporaryDirectory() as folder:
        bench = Bench(Path(folder), peers, console)
        compared = compare(bench, rounds, seconds, counts)
        sent = measure_pictures(bench, rounds, seconds)
        best, overloaded = overload(bench, rounds, max(seconds, 5))
        grown, scaled = grow(bench, rounds, seconds), scale(bench, rounds, seconds)
        results = Results(counts, compared, sent, best, overloaded, grown, scaled, [])
        console.print(_write(results), markup=False)
        if soak_minutes:
            _write(replace(results, soaked=soak(bench, soak_minutes)))


def _write(results: Results) -> str:
    report = write_report(results)
    (DOCS / "performance.md").write_text(report, encoding="utf-8")
    draw_comparison(results, DOCS / "images" / "performance.png")
    draw_overload(results, DOCS / "images" / "overload.png")
    draw_growth(results, DOCS / "images" / "growth.png")
    return report


if __name__ == "__main__":
    typer.run(run)
