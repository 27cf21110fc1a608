"""Draws the plots of docs/performance.md."""

from pathlib import Path
from statistics import median

from matplotlib.figure import Figure

from benchmarks.serving.bench import Results

DPI = 110
PANELS = {"cpu": "CPU a request (ms)", "p99": "99th percentile of latency (ms)"}


def draw_comparison(results: Results, path: Path) -> None:
    """CPU milliseconds a request and the 99th percentile of latency against connections, a line a server."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, (key, title) in zip(figure.subplots(1, 2), PANELS.items(), strict=True):
        for name, rounds in results.compared.items():
            line = [median(getattr(each.loads[count], key) for each in rounds) for count in results.connections]
            axes.plot(results.connections, line, marker="o", markersize=4, label=name)
        axes.set(title=title, xlabel="connections", xscale="log", yscale="log", xticks=results.connections)
        axes.set_xticklabels([str(count) for count in results.connections])
        axes.yaxis.set_major_formatter("{x:g}")
        axes.grid(alpha=0.3, which="both")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    figure.savefig(path, dpi=DPI)


def draw_overload(results: Results, path: Path) -> None:
    """Good answers over the closed loop's, and latencies of what is accepted and refused, against arrivals over capacity."""
    figure = Figure(figsize=(8, 3.7), layout="constrained")
    good, latency = figure.subplots(1, 2)
    times = [each.times for each in results.overloaded]
    good.plot(times, [each.good / results.best for each in results.overloaded], marker="o")
    good.set(title="good answers over the closed loop's rate", ylim=(0, 1.15))
    latency.plot(times, [each.accepted for each in results.overloaded], marker="o", label="accepted")
    latency.plot(times, [each.refused for each in results.overloaded], marker="s", label="refused, at the client")
    latency.plot(times, [each.refusing for each in results.overloaded], marker="^", label="refused, in the server")
    latency.plot(times, [each.health for each in results.overloaded], marker="x", label="health")
    latency.plot(times, [each.nothing for each in results.overloaded], marker=".", label="a GET of nothing")
    latency.set(title="99th percentile of latency (ms)", yscale="log")
    latency.yaxis.set_major_formatter("{x:g}")
    for axes in (good, latency):
        axes.set(xlabel="arrivals over capacity")
        axes.grid(alpha=0.3)
    figure.legend(*latency.get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8)
    figure.savefig(path, dpi=DPI)


def draw_growth(results: Results, path: Path) -> None:
    """CPU milliseconds a picture against its size and against the size of a batch, a panel each."""
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    for axes, growth in zip(figure.subplots(1, len(results.grown), squeeze=False)[0], results.grown, strict=True):
        cost = [median(each.cpu for each in figures) / growth.pictures[size] for size, figures in growth.cpu.items()]
        sizes = list(growth.cpu)
        axes.plot(sizes, cost, marker="o")
        axes.set(title=growth.title, xlabel=growth.unit, xscale="log", xticks=sizes, ylim=(0, 1.1 * max(cost)))
        axes.set_xticklabels([f"{size:g}" for size in sizes])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.supylabel("CPU a picture (ms)")
    figure.savefig(path, dpi=DPI)
