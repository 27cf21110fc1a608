"""HTTP servers under the same application: uvicorn with our connections, and Granian, in turns.

    python -m venv /tmp/granian && /tmp/granian/bin/pip install granian
    python -m benchmarks.serving.http_servers /tmp/granian/bin/python

The interpreter given must see both Granian and what the service needs. Each server has one CPU, the client another. A refusal
is for overload: a place for one request, which a slow upload holds.
"""

import os
import socket
import statistics
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from benchmarks.serving.bench import SERVE, drawing
from benchmarks.serving.client import closed_loop, get, post, post_file
from benchmarks.serving.server import Server, serve

OURS, GRANIAN = "uvicorn, our connections", "Granian"
FLAGS = "--interface asgi --factory app.main:create_app --host 127.0.0.1 --port {port} --http 1 --no-ws --loop uvloop"
ENVIRONMENT = {
    "NUMERAL_LOG_LEVEL": "warning",
    "NUMERAL_MAX_WAITING": "1",
    "NUMERAL_DEADLINE_SECONDS": "600",
    "NUMERAL_WORKER_THREADS": "1",
}
DRIP_SECONDS = 0.5  # between pieces of the upload that holds the place
DRIP_BYTES = 2_000
WARM_UP = 0.5  # seconds


def main(
    granian: Annotated[Path, typer.Argument(help="Python interpreter that has Granian.", exists=True)],
    rounds: Annotated[int, typer.Option(help="Turns of both.", min=1)] = 5,
    seconds: Annotated[float, typer.Option(help="A load.")] = 2.0,
) -> None:
    """Prints CPU microseconds of the server for a request of each kind: median, least and most of the rounds."""
    commands = {OURS: [sys.executable, *SERVE], GRANIAN: [str(granian), "-m", "granian", *FLAGS.split()]}
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[-1]})
    spent: dict[tuple[str, str], list[float]] = {}
    with TemporaryDirectory() as folder:
        for number in range(rounds):
            for name in list(commands) if number % 2 else list(commands)[::-1]:
                with serve(commands[name], get("/health/ready"), {cpus[0]}, ENVIRONMENT, Path(folder) / "log") as server:
                    for kind, microseconds in _measure(server, seconds).items():
                        spent.setdefault((kind, name), []).append(microseconds)
    for (kind, name), values in sorted(spent.items()):
        typer.echo(f"{kind}, {name}: {statistics.median(values):.0f} µs ({min(values):.0f} to {max(values):.0f})")


def _measure(server: Server, seconds: float) -> dict[str, float]:
    measured = {
        "health": _cpu(server, get("/health/live"), 200, seconds),
        "a canvas, one client": _cpu(server, post_file("/predict", drawing()), 200, seconds, connections=1),
    }
    with _full(server.port):
        measured["a refusal"] = _cpu(server, post("/predict", drawing(), "image/png"), 503, seconds)
    return measured


def _cpu(server: Server, request: bytes, status: int, seconds: float, connections: int = 8) -> float:
    closed_loop(server.port, request, connections, WARM_UP)
    before = server.cpu
    load = closed_loop(server.port, request, connections, seconds)
    answers = load.statuses
    if answers[status] < 0.99 * answers.total():
        raise RuntimeError(f"Answers other than {status}: {answers}.")
    return 1e6 * (server.cpu - before) / answers[status]


@contextmanager
def _full(port: int) -> Iterator[None]:
    """The one place is taken by an upload that drips."""
    over = threading.Event()
    with socket.create_connection(("127.0.0.1", port)) as upload:
        upload.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n")

        def drip() -> None:
            while not over.wait(DRIP_SECONDS):
                upload.sendall(bytes(DRIP_BYTES))

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            over.wait(DRIP_SECONDS)
            yield
        finally:
            over.set()
            thread.join()


if __name__ == "__main__":
    typer.run(main)
