"""Measures what a change costs a request: ``python -m benchmarks.serving.before_after CHECKOUT`` loads two services in turns.

One service runs this tree, the other a checkout of the previous commit. Both run on one CPU, the client on another if there
is one.
"""

import os
import sys
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.pictures import canvas, encode, photo
from benchmarks.serving.client import get, post, post_file
from benchmarks.serving.server import Server, serve
from benchmarks.serving.turns import take_turns

HERE = Path(__file__).parents[2]
LEVEL = {"NUMERAL_LOG_LEVEL": "warning"}  # a log of each request would be a load of its own

REQUESTS = {
    "canvas": lambda: post_file("/predict", encode(canvas(5))),
    "glyph": lambda: post("/predict", encode(canvas(5, size=28, pen=2)), "image/png"),
    "photo": lambda: post_file("/predict", encode(photo(5), "JPEG")),
    "12mp": lambda: post_file("/predict", encode(photo(5, (4000, 3000)), "JPEG")),
    "batch": lambda: post_file("/predict/batch", encode(canvas(5)), "files", 32),
    "health": lambda: get("/health/live"),
}


def main(
    checkout: Annotated[Path, typer.Argument(help="A checkout of the commit to compare with.")],
    requests: Annotated[str, typer.Option(help=f"Separated by commas, of {', '.join(REQUESTS)}.")] = "canvas,glyph,photo",
    rounds: Annotated[int, typer.Option(help="Turns of both.", min=1)] = 14,
    seconds: Annotated[float, typer.Option(help="Load a turn.")] = 1.5,
    connections: Annotated[int, typer.Option(help="At once.", min=1)] = 64,
) -> None:
    """Prints the CPU time of each request, and the median and range of the ratios of neighbouring turns."""
    console = Console(highlight=False, soft_wrap=True)
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[-1]})
    with TemporaryDirectory() as folder, ExitStack() as stack:
        servers = {
            name: stack.enter_context(_serve(tree, cpus[0], Path(folder) / name))
            for name, tree in {"before": checkout, "after": HERE}.items()
        }
        for name in requests.split(","):
            turns = take_turns(servers, "before", "after", REQUESTS[name](), rounds, seconds, connections)
            console.print(f"{name}: {turns.describe('before', 'after')}")


def _serve(tree: Path, cpu: int, log: Path) -> AbstractContextManager[Server]:
    command = ["env", "-C", str(tree), sys.executable, "-m", "app", "serve", "--port", "{port}"]
    return serve(command, get("/health/ready"), {cpu}, LEVEL, log)


if __name__ == "__main__":
    typer.run(main)
