"""What was measured, as docs/performance.md."""

import math
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from benchmarks.serving.bench import FLOOR, HEALTH_RATE, OURS, Figures, Growth, Results, Round


def median(values: Sequence[Figures], key: str) -> float:
    """Of one figure over the rounds."""
    return float(statistics.median(getattr(value, key) for value in values))


def spread(values: Sequence[Figures], key: str) -> str:
    """The median, and in brackets the least and the most."""
    each = [getattr(value, key) for value in values]
    return f"{statistics.median(each):.2f} ({min(each):.2f}–{max(each):.2f})"


HEAD = (
    "| server | CPU a request (ms) | over the floor | numeral over it | answers a second | p50 | p95 | p99 (ms) "
    "| failed | client's CPU |"
)


def _comparison(results: Mapping[str, Sequence[Round]], connections: Sequence[int]) -> list[str]:
    lines = []
    for count in connections:
        loads = {name: [round_.loads[count] for round_ in rounds] for name, rounds in results.items()}
        floor, ours = (median(loads[name], "cpu") for name in (FLOOR, OURS))
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
                f"{median(each, 'cpu') / floor:.1f}",
                f"{ours / median(each, 'cpu'):.2f}",
                f"{median(each, 'rate'):.0f}",
                *(f"{median(each, key):.1f}" for key in ("p50", "p95", "p99")),
                f"{median(each, 'failed'):.0%}",
                f"{median(each, 'client'):.0%}",
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
    cost = [median(each, "cpu") / growth.pictures[size] for size, each in growth.cpu.items()]
    return [
        f"| {growth.title}: {growth.unit} | {' | '.join(f'{size:g}' for size in growth.cpu)} |",
        f"|{'---|' * (1 + len(cost))}",
        f"| CPU (ms) | {' | '.join(f'{each:.2f}' for each in cost)} |",
        "",
    ]


def _or_dash(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1f}"


def write_report(results: Results) -> str:
    """docs/performance.md."""
    best, rounds = results.best, len(results.compared[OURS])
    libraries = ", ".join(f"{name} {version(name)}" for name in ("fastapi", "uvicorn", "onnxruntime", "opencv-python-headless"))
    lines = [
        "# What a request costs",
        "",
        f"Written by `make bench` on {platform.machine()} with {os.cpu_count()} CPUs, Python {platform.python_version()},",
        f"{libraries}.",
        "The machine is shared, so absolute times vary between runs; ratios, taken in turns in one run, vary less.",
        "",
        "## Beside floors and peers",
        "",
        "One 280×280 canvas, a PNG as multipart field, again and again on kept connections. Each server runs alone on one CPU,",
        f"the client on another; the servers take turns, {rounds} rounds. CPU is that of all of a server's processes, in",
        "brackets the least and the most of the rounds. All but the floors decode, find the glyph and infer with the service's",
        "own code and model.",
        "",
        *_comparison(results.compared, results.connections),
        "",
        "![CPU time a request and latency, by connections](images/performance.png)",
        "",
        "## What is sent",
        "",
        "The service on one CPU at 16 connections.",
        "",
        "| request | CPU (ms) | answers a second | p99 (ms) |",
        "|---|---|---|---|",
        *(
            f"| {name} | {spread(each, 'cpu')} | {median(each, 'rate'):.0f} | {median(each, 'p99'):.1f} |"
            for name, each in results.sent.items()
        ),
        "",
        "## Overload",
        "",
        f"The canvas as multipart, at a constant rate, in times of the best rate of a closed loop ({best:.0f} a second),",
        f"and amid it {HEALTH_RATE:g} GET /health/live a second. Latencies are 99th percentiles in ms and count from when a",
        "request was due; a refusal's also from its headers to its answer, by the server's clock. The last column is a GET",
        "to the FastAPI that does nothing, which gets as many pictures and does nothing with them.",
        "",
        "| arrivals | good answers a second | of the best rate | accepted | refusals a second | refused | in the server "
        "| broken | health | GET of nothing |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(
            f"| {each.times:g} × | {each.good:.0f} | {each.good / best:.0%} | {each.accepted:.0f} | {each.refusals:.0f} | "
            f"{_or_dash(each.refused)} | {_or_dash(each.refusing)} | {each.broken} | {each.health:.1f} | {each.nothing:.1f} |"
            for each in results.overloaded
        ),
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
        "At 64 connections; with all CPUs the client shares them.",
        "",
        "| | answers a second | CPU a request (ms) | client's CPU |",
        "|---|---|---|---|",
        *(
            f"| {name} | {median(each, 'rate'):.0f} | {spread(each, 'cpu')} | {median(each, 'client'):.0%} |"
            for name, each in results.scaled.items()
        ),
    ]
    if results.soaked:
        lines += [
            "",
            "## Soak",
            "",
            "All of these pictures and bad input in turn; after each minute:",
            "",
            "| minute | memory (MiB) | threads | open files |",
            "|---|---|---|---|",
            *(
                f"| {line['minute']:g} | {line['memory']:.0f} | {line['threads']:g} | {line['files']:g} |"
                for line in results.soaked
            ),
        ]
    return "\n".join(lines) + "\n"
