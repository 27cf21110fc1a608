"""Writes the measurements as docs/performance.md."""

import math
import os
import platform
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from app.settings import Settings
from benchmarks.serving.bench import FLOOR, HEALTH_RATE, OURS, Figures, Growth, Overload, Results, Round
from benchmarks.serving.targets import of, targets


def spread(values: Sequence[Figures], key: str) -> str:
    """The median, and in brackets the least and the most."""
    each = [getattr(value, key) for value in values]
    return f"{statistics.median(each):.2f} ({min(each):.2f}–{max(each):.2f})"


INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "amx_int8", "asimddp")
PINS = Path(__file__).parent / "peers.txt"
SETTINGS = {  # as their documentation advises for one CPU
    "LitServe": "one worker process, batches of up to 16, for which it waits 2 ms at most",
    "BentoML": "one worker process, adaptive batches of up to 16, its default limit of 60 s of latency",
}

HEAD = (
    "| server | CPU a request (ms) | over the floor | numeral over it | answers a second | p50 | p95 | p99 (ms) "
    "| failed | client's CPU |"
)


def _comparison(results: Mapping[str, Sequence[Round]], connections: Sequence[int]) -> list[str]:
    lines = []
    for count in connections:
        loads = {name: [round_.loads[count] for round_ in rounds] for name, rounds in results.items()}
        floor, ours = (of(loads[name], "cpu") for name in (FLOOR, OURS))
        lines += [
            f"### {count} connection{'s' if count > 1 else ''}",
            "",
            HEAD,
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        for name, each in loads.items():
            cells = [
                name,
                spread(each, "cpu"),
                f"{of(each, 'cpu') / floor:.1f}",
                f"{ours / of(each, 'cpu'):.2f}",
                f"{of(each, 'rate'):.0f}",
                *(f"{of(each, key):.1f}" for key in ("p50", "p95", "p99")),
                f"{of(each, 'failed'):.0%}",
                f"{of(each, 'client'):.0%}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    lines += ["| server | first answer after (s) | peak memory (MiB) |", "|---|---|---|"]
    for name, rounds in results.items():
        started = statistics.median(each.cold_start for each in rounds)
        memory = max(each.peak_memory for each in rounds) / 2**20
        lines.append(f"| {name} | {started:.1f} | {memory:.0f} |")
    return lines


def _growth(growth: Growth) -> list[str]:
    cost = [of(each, "cpu") / growth.pictures[size] for size, each in growth.cpu.items()]
    return [
        f"| {growth.title}: {growth.unit} | {' | '.join(f'{size:g}' for size in growth.cpu)} |",
        f"|{'---|' * (1 + len(cost))}",
        f"| CPU (ms) | {' | '.join(f'{each:.2f}' for each in cost)} |",
        "",
    ]


def _overload(each: Overload, best: float) -> str:
    cells = [
        f"{each.times:g} ×",
        f"{each.good:.0f}",
        f"{each.good / best:.0%}",
        f"{each.accepted:.0f}",
        f"{each.refusals:.0f}",
        _or_dash(each.refused),
        _or_dash(each.refusing),
        _or_dash(each.refusal_cpu, 2),
        str(each.broken),
        f"{each.health:.1f}",
        f"{each.nothing:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def _or_dash(value: float, decimals: int = 1) -> str:
    return "–" if math.isnan(value) else f"{value:.{decimals}f}"


def _processor() -> str:
    """Its name, and which of the wide instructions that matter here it has, where Linux tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = told.get("flags", told.get("Features", "")).split()
    return ", ".join((told.get("model name", "unknown"), *(flag for flag in INSTRUCTIONS if flag in flags)))


def _peers(compared: Iterable[str]) -> list[str]:
    """How those that batch were set up, and their versions."""
    pinned = dict(re.findall(r"^([a-z]+)==(.+)$", PINS.read_text(encoding="utf-8"), re.MULTILINE))
    told = [f"- {name} {pinned[name.lower()]}: {how}." for name, how in SETTINGS.items() if name in compared]
    return [
        *told,
        f"- numeral: one process with one worker thread, batches of up to {Settings().batch_size} of what waits.",
        "",
    ]


def write_report(results: Results) -> str:
    """docs/performance.md."""
    best, rounds = results.best, len(results.compared[OURS])
    libraries = ", ".join(f"{name} {version(name)}" for name in ("fastapi", "uvicorn", "onnxruntime", "opencv-python-headless"))
    lines = [
        "# What a request costs",
        "",
        f"Written by `make bench` on {platform.machine()} ({_processor()}) with {os.cpu_count()} CPUs,",
        f"Python {platform.python_version()},",
        f"{libraries}.",
        "The machine is shared, so absolute times vary between runs; ratios, taken in turns in one run, vary less.",
        "All servers log only warnings and worse, so the figures contain no log line of a request.",
        "",
        "## Targets",
        "",
        "| | target | measured | |",
        "|---|---|---|---|",
        *(
            f"| {each.name} | {'at least' if each.more else 'at most'} {each.limit:g} | {each.measured:.2f} "
            f"| {'kept' if each.kept else '**missed**'} |"
            for each in targets(results)
        ),
        "",
        "Every server except the floors decodes and finds with the same code. Single requests that arrive together are read",
        "together, like a batch. So over many connections a batch saves only the HTTP of the single requests.",
        "",
        "## Compared with floors and peers",
        "",
        "One 280×280 canvas, a PNG as multipart field, again and again on kept connections. Each server runs alone on one CPU,",
        f"the client on another; the servers take turns, {rounds} rounds. CPU is that of all processes of a server, with the",
        "least and the most of the rounds in brackets. All except the floors decode, find the glyph and infer with the",
        "service's own code and model.",
        "",
        *_peers(results.compared),
        *_comparison(results.compared, results.connections),
        "",
        "![CPU time a request and latency, by connections](images/performance.png)",
        "",
        "## What is sent",
        "",
        "The service on one CPU: 16 connections, one where requests come one after the other, four for the page.",
        "",
        "| request | CPU (ms) | answers a second | p99 (ms) |",
        "|---|---|---|---|",
        *(
            f"| {name} | {spread(each, 'cpu')} | {of(each, 'rate'):.0f} | {of(each, 'p99'):.1f} |"
            for name, each in results.sent.items()
        ),
        "",
        "## Overload",
        "",
        f"The canvas as multipart at a constant rate, as a multiple of the best rate of a closed loop ({best:.0f} a second),",
        f"together with {HEALTH_RATE:g} GET /health/live a second. Latencies are 99th percentiles in ms, counted from when a",
        "request was due. For refusals there is also the time from headers to answer, by the server's clock. A refusal's CPU,",
        "in ms, is what the server took beyond its good answers, if these cost what they cost in the closed loop. The last",
        f"column is a GET to the FastAPI that does nothing, while it gets as many pictures. Medians of {rounds} rounds.",
        "A constant rate costs more than a closed loop even below the capacity. Its requests come one by one, and each wakes",
        "the event loop; those of a closed loop come together, after the answers of a batch.",
        "",
        "| arrivals | good answers a second | of the closed loop's | accepted | refusals a second | refused | in the server "
        "| its CPU | broken | health | GET of nothing |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *(_overload(each, best) for each in results.overloaded),
        "",
        "![Answers and latency against the rate of arrivals](images/overload.png)",
        "",
        "## How cost grows",
        "",
        "CPU a picture in ms, the service on one CPU at 16 connections.",
        "",
        *(line for growth in results.grown for line in _growth(growth)),
        "![CPU a picture against its size and the batch's](images/growth.png)",
        "",
        "## CPUs and processes",
        "",
        "At 64 connections. Where the service has all CPUs, the client shares them.",
        "",
        "| | answers a second | CPU a request (ms) | client's CPU |",
        "|---|---|---|---|",
        *(
            f"| {name} | {of(each, 'rate'):.0f} | {spread(each, 'cpu')} | {of(each, 'client'):.0%} |"
            for name, each in results.scaled.items()
        ),
    ]
    if results.soaked:
        lines += [
            "",
            "## Soak",
            "",
            "All of these pictures and bad input at the same time; after each minute:",
            "",
            "| minute | memory (MiB) | threads | open files |",
            "|---|---|---|---|",
            *(
                f"| {line['minute']:g} | {line['memory']:.0f} | {line['threads']:g} | {line['files']:g} |"
                for line in results.soaked
            ),
        ]
    return "\n".join(lines) + "\n"
