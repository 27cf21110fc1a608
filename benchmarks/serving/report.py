"""What was measured, as docs/performance.md."""

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from benchmarks.serving.bench import FLOOR, OURS, Figures, Results, Round


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
        f"Arrivals at a constant rate, in times of the best rate of a closed loop ({best:.0f} a second);",
        "latencies count from when a request was due.",
        "",
        "| arrivals | good answers a second | of the best rate | p99 (ms) | refusals a second | p99 (ms) | broken |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {each.times:g} × | {each.good:.0f} | {each.good / best:.0%} | {each.accepted_p99:.0f} | {each.refused:.0f} | "
            f"{each.refused_p99:.1f} | {each.broken} |"
            for each in results.overloaded
        ),
        "",
        "![Answers and latency against the rate of arrivals](images/overload.png)",
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
