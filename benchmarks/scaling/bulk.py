"""Compares `numeral predict --input` with a plain loop, and measures memory as the number of pictures grows.

The two take turns, each in its own processes, over MNIST's digits as PNG files. Prints tables for docs/bulk.md.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.console import Console

from app.runtime.loading import load_reader
from app.settings import MIB, Settings, available_cpus
from benchmarks.serving.server import Server

EXCERPT = Path(__file__).parents[2] / "tests" / "mnist_excerpt.npz"
IN_A_FOLDER = 1000  # files
LOOK_SECONDS = 0.05  # between two looks at the memory

cli = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class Cost:
    """seconds: on the clock; cpu: seconds over all processes; memory: their largest resident sizes, added up, in bytes."""

    seconds: float
    cpu: float
    memory: int


def plain_loop(folder: Path, output: Path) -> None:
    """What one would write without a thought: one picture after the other, and a table at the end."""
    reader = load_reader(Settings())
    rows = []
    for path in sorted(folder.rglob("*.png")):
        prediction = reader.read(path.read_bytes())
        rows.append({"path": str(path), **prediction.model_dump(include={"digit", "confidence", "probabilities", "accepted"})})
    pq.write_table(pa.Table.from_pylist(rows), output)


def write_pictures(folder: Path, count: int) -> None:
    """So many PNG files of 28×28, the digits of MNIST again and again, a thousand a folder."""
    with np.load(EXCERPT) as file:
        pictures = [cv2.imencode(".png", image)[1].tobytes() for image in file["images"]]
    for number in range(count):
        path = folder / f"{number // IN_A_FOLDER:04d}" / f"{number:08d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pictures[number % len(pictures)])


def measure(command: list[str]) -> Cost:
    """Runs a command to its end.

    Raises:
        RuntimeError: it failed.
    """
    started, memory = time.perf_counter(), 0
    process = subprocess.Popen(command, env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"})  # noqa: S603
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        memory = max(memory, _peak(process.pid))
        time.sleep(LOOK_SECONDS)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(ended[1])
    if process.returncode:
        raise RuntimeError(f"{command} ended with status {process.returncode}.")
    return Cost(seconds, ended[2].ru_utime + ended[2].ru_stime, memory)


def _peak(pid: int) -> int:
    try:
        return Server(port=0, pid=pid, cold_start=0).peak_memory
    except OSError:  # one of them has just ended
        return 0


def commands(folder: Path, output: Path) -> dict[str, list[str]]:
    """What is compared, by name."""
    bulk = [sys.executable, "-m", "app", "predict", "--input", str(folder), "--output", str(output)]
    return {
        "plain loop": [sys.executable, "-m", "benchmarks.scaling.bulk", "loop", str(folder), str(output)],
        "bulk, 1 process": [*bulk, "--workers", "1"],
        f"bulk, {available_cpus()} processes": bulk,
    }


@cli.command()
def loop(folder: Path, output: Path) -> None:
    """Runs the plain loop alone."""
    plain_loop(folder, output)


@cli.command()
def compare(
    pictures: Annotated[int, typer.Option(help="How many pictures are read.")] = 10_000,
    rounds: Annotated[int, typer.Option(help="How often each takes its turn.")] = 3,
) -> None:
    """Pictures a second and CPU time, side by side."""
    with TemporaryDirectory() as folder:
        write_pictures(Path(folder) / "pictures", pictures)
        output = Path(folder) / "answers.parquet"
        costs: dict[str, list[Cost]] = {}
        for _ in range(rounds):
            for name, command in commands(Path(folder) / "pictures", output).items():
                costs.setdefault(name, []).append(measure(command))
                output.unlink()
    Console(highlight=False, soft_wrap=True).print(to_table(costs, pictures), markup=False)


def to_table(costs: dict[str, list[Cost]], pictures: int) -> str:
    """Markdown: the median of the rounds, and their least and most; rates are over those of the first, round by round."""
    first = next(iter(costs.values()))
    lines = [
        "| | pictures a second | over the first | CPU a picture (ms) | peak memory (MiB) |",
        "|---|---|---|---|---|",
    ]
    for name, rounds in costs.items():
        rates = _spread([pictures / cost.seconds for cost in rounds], "{:,.0f}".format)
        ratios = _spread([base.seconds / cost.seconds for base, cost in zip(first, rounds, strict=True)], "{:.2f}".format)
        cpu = _spread([1000 * cost.cpu / pictures for cost in rounds], "{:.2f}".format)
        lines.append(f"| {name} | {rates} | {ratios} | {cpu} | {max(cost.memory for cost in rounds) / MIB:,.0f} |")
    return "\n".join(lines)


def _spread(values: list[float], show: Callable[[float], str]) -> str:
    return f"{show(median(values))} ({show(min(values))}–{show(max(values))})"


@cli.command()
def memory(
    counts: Annotated[list[int] | None, typer.Option("--pictures", help="How many pictures; may be given again.")] = None,
) -> None:
    """Peak memory of a bulk run over more and more pictures."""
    for pictures in counts or [10_000, 100_000]:
        with TemporaryDirectory() as folder:
            write_pictures(Path(folder) / "pictures", pictures)
            *_, command = commands(Path(folder) / "pictures", Path(folder) / "answers.parquet").values()
            cost = measure(command)
        typer.echo(f"{pictures:,} pictures: {cost.memory / MIB:,.0f} MiB, {pictures / cost.seconds:,.0f} a second")


if __name__ == "__main__":
    cli()
