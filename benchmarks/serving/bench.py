"""The contenders and their measurements: one server at a time, on CPUs of its own; the client has another."""

import json
import os
import statistics
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple, dataclass, field, replace
from functools import cache
from math import isnan
from pathlib import Path
from urllib.request import urlopen

from rich.console import Console

from benchmarks.cost.reading import page_of_cells, row_of_eight
from benchmarks.pictures import canvas, encode, photo
from benchmarks.serving.client import Load, closed_loop, closed_loops, get, open_loops, post, post_file
from benchmarks.serving.contenders.timed import TIMES
from benchmarks.serving.server import Server, serve

WARM_UP = 1.0  # seconds of load that are not counted

OURS, PLAIN = "numeral", "FastAPI + onnxruntime, def"
BARE, FLOOR = "bare ASGI, does nothing", "FastAPI multipart, does nothing"
TIMED = "numeral, with a clock for refusals"
UVICORN = ["-m", "uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--no-access-log", "--log-level", "warning"]
SERVE = ["-m", "app", "serve", "--port", "{port}"]
QUIET = {"NUMERAL_LOG_LEVEL": "warning", "ORT_DISABLE_TELEMETRY": "1", "BENTOML_DO_NOT_TRACK": "True"}
TUNED = {"OPENCV_IPP": "disabled"}  # app.reading.decode.opencv.tune does so by thread, and these read in threads not their own


@cache
def drawing() -> bytes:
    """What most loads send: a canvas of 280×280 pixels, as PNG."""
    return encode(canvas(5))


@dataclass(frozen=True)
class Contender:
    """command: after the interpreter; peer: of the environment that holds the peers; compared: next to the others."""

    command: list[str]
    peer: bool = False
    compared: bool = True
    environment: dict[str, str] = field(default_factory=dict)


FLOORS = "benchmarks.serving.contenders.floors"
HOME = "benchmarks.serving.contenders"
TUTORIALS = "benchmarks.serving.contenders.tutorials"
CONTENDERS = {
    BARE: Contender([*UVICORN, f"{FLOORS}:bare"]),
    FLOOR: Contender([*UVICORN, f"{FLOORS}:multipart"]),
    OURS: Contender(SERVE),
    PLAIN: Contender([*UVICORN, "--factory", f"{TUTORIALS}:create_onnx"], environment=TUNED),
    "FastAPI + torch, async def": Contender([*UVICORN, "--factory", f"{TUTORIALS}:create_torch"], environment=TUNED),
    TIMED: Contender(
        [*UVICORN, "--no-proxy-headers", "--http", f"{HOME}.timed:TimedProtocol", "--factory", f"{HOME}.timed:create"],
        compared=False,
    ),
    "LitServe": Contender(["-m", f"{HOME}.litserve_app", "{port}"], peer=True, environment=TUNED),
    "BentoML": Contender(
        [
            "-m",
            "bentoml",
            "serve",
            "benchmarks.serving.contenders.bentoml_app:Digits",
            "--port",
            "{port}",
            "--host",
            "127.0.0.1",
        ],
        peer=True,
        environment=TUNED,
    ),
}


@dataclass(frozen=True)
class Figures:
    """Of one load: CPU milliseconds a good answer, these a second, their latencies in ms, the client's share of a CPU.

    failed: share of the requests that got no good answer.
    """

    cpu: float
    rate: float
    p50: float
    p95: float
    p99: float
    client: float
    failed: float


@dataclass(frozen=True)
class Round:
    """A server in one round."""

    cold_start: float
    peak_memory: int
    loads: dict[int, Figures]  # by connections


def measure(server: Server, request: bytes, connections: int, seconds: float) -> Figures:
    """One load on a running server, after a warm-up."""
    closed_loop(server.port, request, connections, WARM_UP)
    before = server.cpu
    load = closed_loop(server.port, request, connections, seconds)
    return to_figures(load, server.cpu - before)


def to_figures(load: Load, cpu: float) -> Figures:
    """A load and the server's CPU seconds in it."""
    good = load.statuses[200]
    return Figures(
        cpu=1000 * cpu / max(good, 1),
        rate=load.rate(),
        p50=load.percentile(50),
        p95=load.percentile(95),
        p99=load.percentile(99),
        client=load.client_cpu / load.seconds,
        failed=1 - good / max(sum(load.statuses.values()), 1),
    )


class Bench:
    """Where servers run and what they are started with."""

    def __init__(self, folder: Path, peers: Path | None, console: Console) -> None:
        self._folder, self._peers, self._console = folder, peers, console
        cpus = sorted(os.sched_getaffinity(0))
        self.one, self.all = {cpus[0]}, set(cpus)
        os.sched_setaffinity(0, {cpus[-1]})

    def names(self) -> list[str]:
        """The contenders that are compared and can be started here."""
        return [name for name, each in CONTENDERS.items() if each.compared and (self._peers or not each.peer)]

    def start(self, name: str, request: bytes, cpus: set[int], *flags: str) -> AbstractContextManager[Server]:
        """A context in which the contender runs on these CPUs."""
        contender = CONTENDERS[name]
        python = str(self._peers) if contender.peer else sys.executable
        environment = {**QUIET, **contender.environment}
        return serve([python, *contender.command, *flags], request, cpus, environment, self._folder / "server.log")

    def say(self, text: str) -> None:
        """Progress."""
        self._console.print(text)


def compare(bench: Bench, rounds: int, seconds: float, connections: Sequence[int]) -> dict[str, list[Round]]:
    """Every contender on one CPU, in turns, a canvas as multipart."""
    request = post_file("/predict", drawing())
    results: dict[str, list[Round]] = {name: [] for name in bench.names()}
    for number in range(rounds):
        for name, done in results.items():
            with bench.start(name, request, bench.one) as server:
                loads = {count: measure(server, request, count, seconds) for count in connections}
                done.append(Round(server.cold_start, server.peak_memory, loads))
            shown = ", ".join(f"{count}: {each.cpu:.2f} ms, {each.rate:.0f}/s" for count, each in loads.items())
            bench.say(f"round {number + 1}, {name}: {shown}")
    return results


SINGLE, IN_TURN, BATCH = "280×280 canvas, multipart", "the same, one after the other", "batch of 32 canvases"


@cache
def pictures() -> dict[str, tuple[bytes, int]]:
    """What is sent to the service, and over how many connections."""
    small, jpeg = encode(canvas(5, size=28, pen=2)), encode(photo(7), "JPEG", quality=90)
    large = encode(photo(7, (4000, 3000), pen=40), "JPEG", quality=90)
    return {
        SINGLE: (post_file("/predict", drawing()), 16),
        IN_TURN: (post_file("/predict", drawing()), 1),
        "280×280 canvas, raw": (post("/predict", drawing(), "image/png"), 16),
        "280×280 transparent canvas, raw": (post("/predict", encode(canvas(5, ground=None)), "image/png"), 16),
        "28×28 PNG, raw": (post("/predict", small, "image/png"), 16),
        "640×480 JPEG, raw": (post("/predict", jpeg, "image/jpeg"), 16),
        "12 MP JPEG, raw": (post("/predict", large, "image/jpeg"), 16),
        BATCH: (post_file("/predict/batch", drawing(), "files", times=32), 16),
        "/read, a row of 8 digits, JPEG": (post("/read", row_of_eight(), "image/jpeg"), 16),
        "/read, a page of 81 cells, JPEG": (post("/read", page_of_cells(), "image/jpeg"), 4),
    }


def measure_pictures(bench: Bench, rounds: int, seconds: float) -> dict[str, list[Figures]]:
    """The service alone; CPU a request, a batch being one."""
    sent = pictures()
    results: dict[str, list[Figures]] = {name: [] for name in sent}
    with bench.start(OURS, sent[SINGLE][0], bench.one) as server:
        for _ in range(rounds):
            for name, (request, connections) in sent.items():
                results[name].append(measure(server, request, connections, seconds))
    return results


@dataclass(frozen=True)
class Overload:
    """A constant rate of arrivals, in times of the capacity: answers a second, and the 99th percentiles of latencies, in ms.

    refused: by the client's clock; refusing: from a request's headers to its refusal, by the server's; refusal_cpu:
    milliseconds that a refusal takes, all that the server took beyond its good answers, at what these cost without overload;
    health: of a GET in the midst of it; nothing: of a GET to FastAPI that does nothing and gets as many pictures, to do
    nothing with.
    """

    times: float
    good: float
    accepted: float
    refusals: float
    refused: float
    refusing: float
    refusal_cpu: float
    broken: int
    health: float
    nothing: float


HEALTH, HEALTH_RATE = get("/health/live"), 200.0  # a second


def overload(
    bench: Bench, rounds: int, seconds: float, times: Sequence[float] = (0.5, 0.75, 0.9, 1, 2, 3)
) -> tuple[float, list[Overload]]:
    """The best rate of a closed loop, and what becomes of constant rates around it; medians over the rounds."""
    request, closed = post_file("/predict", drawing()), list[Figures]()
    results: dict[float, list[Overload]] = {each: [] for each in times}
    with bench.start(TIMED, request, bench.one) as ours, bench.start(FLOOR, request, bench.one) as floor:
        for _ in range(rounds):
            closed.append(measure(ours, request, 32, seconds))
            for each, done in results.items():
                done.append(_overload((ours, floor), request, each, closed[-1], seconds))
                bench.say(f"overload: {done[-1]}")
    return statistics.median(each.rate for each in closed), [middle(done) for done in results.values()]


def _overload(servers: tuple[Server, Server], request: bytes, times: float, closed: Figures, seconds: float) -> Overload:
    """servers: ours, and the floor; closed: ours in a closed loop."""
    ours, floor = servers
    rates = {request: times * closed.rate, HEALTH: HEALTH_RATE}
    take_times(ours)
    before = ours.cpu
    load, health = open_loops(ours.port, rates, seconds)
    beyond = 1000 * (ours.cpu - before) - closed.cpu * load.statuses[200]
    refusing = take_times(ours)
    _, nothing = open_loops(floor.port, rates, seconds)
    return Overload(
        times,
        load.rate(200),
        load.percentile(99, 200),
        load.rate(503),
        load.percentile(99, 503),
        Load(latencies={503: refusing}).percentile(99, 503),
        beyond / load.statuses[503] if load.statuses[503] else float("nan"),
        sum(count for status, count in load.statuses.items() if status not in (200, 503)),
        health.percentile(99),
        nothing.percentile(99),
    )


def middle(rounds: Sequence[Overload]) -> Overload:
    """The median of each figure; of those that some rounds do not have, over the others; what broke, in all of them."""
    columns = zip(*(astuple(each) for each in rounds), strict=True)
    found = Overload(*(statistics.median([each for each in column if not isnan(each)] or [float("nan")]) for column in columns))
    return replace(found, broken=sum(each.broken for each in rounds))


def take_times(server: Server) -> list[float]:
    """Seconds of each refusal since the last call, of the contender with a clock."""
    with urlopen(f"http://127.0.0.1:{server.port}{TIMES}") as answer:
        return [float(each) for each in json.load(answer)]


@dataclass(frozen=True)
class Growth:
    """How cost grows: by what, and of each size the CPU milliseconds a picture."""

    title: str
    unit: str
    cpu: dict[float, list[Figures]]
    pictures: dict[float, int]  # in one request


def grow(bench: Bench, rounds: int, seconds: float) -> list[Growth]:
    """CPU a picture against the side of a canvas, the pixels of a photo, and the pictures of a batch, at 16 connections."""
    canvases: dict[float, bytes] = {
        side: post("/predict", encode(canvas(5, size=side, pen=side / 12)), "image/png") for side in SIDES
    }
    photos: dict[float, bytes] = {
        megapixels: post("/predict", encode(photo(7, _size(megapixels), pen=_size(megapixels)[0] / 60), "JPEG"), "image/jpeg")
        for megapixels in MEGAPIXELS
    }
    batches: dict[float, bytes] = {count: post_file("/predict/batch", drawing(), "files", times=count) for count in BATCHES}
    plan: list[tuple[str, str, dict[float, bytes], bool]] = [
        ("A canvas", "side in pixels", canvases, False),
        ("A photo, JPEG", "megapixels", photos, False),
        ("A batch of canvases", "pictures", batches, True),
    ]
    results = []
    with bench.start(OURS, canvases[SIDES[0]], bench.one) as server:
        for title, unit, requests, many in plan:
            cpu: dict[float, list[Figures]] = {size: [] for size in requests}
            for _ in range(rounds):
                for size, request in requests.items():
                    cpu[size].append(measure(server, request, 16, seconds))
            results.append(Growth(title, unit, cpu, {size: int(size) if many else 1 for size in requests}))
            bench.say(f"{title}: " + ", ".join(f"{size:g}: {each[0].cpu:.2f} ms" for size, each in cpu.items()))
    return results


SIDES, MEGAPIXELS, BATCHES = (28, 140, 280, 560, 1120), (0.3, 1, 3, 12), (1, 4, 16, 64)


def _size(megapixels: float) -> tuple[int, int]:
    """Width and height of a photo of 4:3."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    return height * 4 // 3, height


@dataclass(frozen=True)
class Results:
    """All that was measured. best: of the overload, the rate of the closed loops before it."""

    connections: Sequence[int]
    compared: dict[str, list[Round]]
    sent: dict[str, list[Figures]]
    best: float
    overloaded: list[Overload]
    grown: list[Growth]
    scaled: dict[str, list[Figures]]
    soaked: list[dict[str, float]]


def scale(bench: Bench, rounds: int, seconds: float) -> dict[str, list[Figures]]:
    """One CPU against all, one process against two; with all CPUs the client shares them."""
    request = post_file("/predict", drawing())
    ways = {"one CPU": (bench.one, "1"), "all CPUs": (bench.all, "1"), "all CPUs, two processes": (bench.all, "2")}
    results: dict[str, list[Figures]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (cpus, workers) in ways.items():
            with bench.start(OURS, request, cpus, "--workers", workers) as server:
                results[name].append(measure(server, request, 64, seconds))
    return results


def soak(bench: Bench, minutes: int, minute: float = 60) -> list[dict[str, float]]:
    """All kinds of pictures and bad input at the same time: memory in MiB, threads and open files after each minute.

    minute: its seconds.
    """
    mix = [request for request, _ in pictures().values()]
    mix += [post("/predict", b"no picture", "image/png"), post("/predict", drawing()[:900], "image/png"), get("/nope")]
    lines: list[dict[str, float]] = []
    with bench.start(OURS, mix[0], bench.one) as server:
        for number in range(minutes):
            closed_loops(server.port, mix, 2, minute)
            line = {"memory": server.memory / 2**20, "threads": server.threads, "files": server.files}
            lines.append({"minute": number + 1, **line})
            bench.say(f"soak: {lines[-1]}")
    return lines
