"""Measures the whole way from JPEG to answer on a host with a GPU, with CUDA and without, and what limits it.

    python -m benchmarks.serving.gpu_host

Services on CUDA and on the CPU, of one process and of several, take turns on all CPUs but one, which the client has. What
limits a service is where nothing is left to use: its CPUs, the client's share of a CPU, or the GPU, as nvidia-smi reports it.
One process cannot use many CPUs, since Python runs one thread at a time; onnxruntime and the decoders run next to it.
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console

from app.reading.onnx_session import Provider
from benchmarks.pictures import encode, photo
from benchmarks.serving.bench import QUIET, SERVE, WARM_UP, Figures, drawing, to_figures
from benchmarks.serving.client import closed_loop, get, post
from benchmarks.serving.server import Server, serve

PROVIDERS: tuple[Provider, ...] = ("cuda", "cpu")
QUERY = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=100"]

REQUESTS: dict[str, Callable[[], bytes]] = {
    "640×480 JPEG": lambda: post("/predict", encode(photo(7), "JPEG", quality=90), "image/jpeg"),
    "280×280 canvas": lambda: post("/predict", drawing(), "image/png"),
}


@dataclass(frozen=True)
class Turn:
    """One load. figures: as the client and /proc saw it; gpu: percent of the time that the GPU was busy, sample by sample."""

    figures: Figures
    gpu: Sequence[float] = ()

    @property
    def cpus(self) -> float:
        """How many CPUs the service kept busy."""
        return self.figures.cpu * self.figures.rate / 1000


@dataclass
class Gpu:
    """What nvidia-smi reported meanwhile, in percent; nothing where there is none."""

    used: list[float] = field(default_factory=list)


def main(  # noqa: PLR0913, PLR0917
    providers: Annotated[str, typer.Option(help="Separated by commas.")] = ",".join(PROVIDERS),
    workers: Annotated[str, typer.Option(help="Processes of a service, separated by commas.")] = "1,4",
    rounds: Annotated[int, typer.Option(help="Turns of each service.", min=1)] = 2,
    seconds: Annotated[float, typer.Option(help="Load a turn.")] = 3,
    connections: Annotated[int, typer.Option(help="At once.", min=1)] = 64,
    settings: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, for all services.")] = None,
) -> None:
    """Prints a line for each turn, then the medians as a Markdown table."""
    console = Console(highlight=False, soft_wrap=True)
    extra = dict(each.split("=", 1) for each in settings or [])
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[-1]})
    turns: dict[tuple[str, str], list[Turn]] = {}
    with TemporaryDirectory() as folder, ExitStack() as stack:
        servers = {
            f"{provider}, {count}": stack.enter_context(
                serve(
                    [sys.executable, *SERVE, "--workers", count],
                    get("/health/ready"),
                    set(cpus[:-1] or cpus),
                    {**QUIET, **extra, "NUMERAL_PROVIDER": provider},
                    Path(folder) / f"{provider}-{count}",
                )
            )
            for count in workers.split(",")
            for provider in providers.split(",")
        }
        for number in range(rounds):
            for what, request in REQUESTS.items():
                for name in list(servers) if number % 2 else list(servers)[::-1]:
                    turn = load(servers[name], request(), connections, seconds)
                    turns.setdefault((what, name), []).append(turn)
                    console.print(f"turn {number + 1}, {what}, {name}: {describe([turn])}", markup=False)
    console.print(write_table(turns), markup=False)


def load(server: Server, request: bytes, connections: int, seconds: float) -> Turn:
    """Loads a running server after a warm-up, and watches the GPU meanwhile."""
    closed_loop(server.port, request, connections, WARM_UP)
    before = server.cpu
    with watch_gpu() as gpu:
        found = closed_loop(server.port, request, connections, seconds)
    return Turn(to_figures(found, server.cpu - before), gpu.used)


@contextmanager
def watch_gpu() -> Iterator[Gpu]:
    """Asks nvidia-smi ten times a second until the context ends; the samples are there then."""
    found, tool = Gpu(), which("nvidia-smi")
    if tool is None:
        yield found
        return
    with subprocess.Popen([tool, *QUERY], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:  # noqa: S603
        try:
            yield found
        finally:
            process.terminate()
            found.used += read_samples(process.communicate()[0])


def read_samples(output: str) -> list[float]:
    """Numbers, a line each; lines that are cut or hold a word such as [N/A] are left out."""
    whole = output.split("\n")[:-1]
    return [float(line) for line in whole if line.strip().isdecimal()]


def describe(turns: Sequence[Turn]) -> str:
    """Medians over the turns, in a line."""
    return ", ".join(f"{name} {value}" for name, value in zip(COLUMNS, _cells(turns), strict=True))


COLUMNS = (
    "requests a second",
    "CPU ms a request",
    "p50 ms",
    "p99 ms",
    "CPUs of the service",
    "CPUs of the client",
    "GPU busy %",
    "failed %",
)


def _cells(turns: Sequence[Turn]) -> list[str]:
    figures, gpu = [turn.figures for turn in turns], [sample for turn in turns for sample in turn.gpu]
    return [
        f"{statistics.median(each.rate for each in figures):,.0f}",
        f"{statistics.median(each.cpu for each in figures):.2f}",
        f"{statistics.median(each.p50 for each in figures):.0f}",
        f"{statistics.median(each.p99 for each in figures):.0f}",
        f"{statistics.median(turn.cpus for turn in turns):.1f}",
        f"{statistics.median(each.client for each in figures):.2f}",
        f"{statistics.mean(gpu):.0f}" if gpu else "–",
        f"{100 * max(each.failed for each in figures):.1f}",
    ]


def write_table(turns: dict[tuple[str, str], list[Turn]]) -> str:
    """As Markdown: a row for each picture and service."""
    head = f"| picture | provider, processes | {' | '.join(COLUMNS)} |\n|---|---|{'---|' * len(COLUMNS)}\n"
    return head + "".join(f"| {what} | {name} | {' | '.join(_cells(each))} |\n" for (what, name), each in turns.items())


if __name__ == "__main__":
    typer.run(main)
