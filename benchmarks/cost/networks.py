"""Measures what each network costs compared with the tutorial's, and how well it reads: ``make cost``.

The cost of a network does not depend on its weights, so a network without a run is exported with random ones.
"""

import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import torch
import typer
from matplotlib.figure import Figure
from rich.console import Console
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from app.reading.infer import preprocess
from app.reading.infer.record import ModelMetadata
from benchmarks.cost.timing import infer_images, open_session, quartiles, time_in_turns
from training.data.mnist import CLASSES, MEAN, STD
from training.errors import TrainingError
from training.learning.checkpoints import load_checkpoint, load_config
from training.learning.networks import MODELS, count_parameters
from training.publishing.export import export

DOCS = Path(__file__).parents[2] / "docs"

REFERENCE = "cnn"  # the tutorial's
BATCHES = (1, 32)

ABOUT = ModelMetadata(
    labels=[str(digit) for digit in range(CLASSES)],
    mean=MEAN,
    std=STD,
    temperature=1,
    threshold=0.5,
    least_energy=0,
    input_layout=preprocess.LAYOUT,
    preprocessing=preprocess.VERSION,
)


@dataclass(frozen=True)
class Cost:
    """What a network costs, and what it is worth.

    ratios: by batch size, CPU time an image over the reference's: lower quartile, median, upper quartile over the turns.
    micros: by batch size, the median CPU time an image in microseconds. multiply_adds: for one image, of convolutions and
    linear layers. accuracies: of MNIST's test digits, 0..1, a run each; empty where no run was given.
    """

    parameters: int
    multiply_adds: int
    file_bytes: int
    micros: dict[int, float]
    ratios: dict[int, tuple[float, float, float]]
    accuracies: list[float]


def measure(runs: Sequence[Path], turns: int) -> dict[str, Cost]:
    """The cost of every network of MODELS; runs of one network are taken as its seeds.

    Raises:
        TrainingError: a folder holds no finished run.
    """
    runs_of = by_network(runs)
    accuracies = {name: [_test_accuracy(run) for run in runs_of[name]] for name in MODELS}
    with TemporaryDirectory() as folder:
        files = {name: _export(name, runs_of[name], Path(folder)) for name in MODELS}
        sessions = {name: open_session(path) for name, path in files.items()}
        seconds = {
            batch: time_in_turns({name: infer_images(session, batch) for name, session in sessions.items()}, turns)
            for batch in BATCHES
        }
        return {
            name: Cost(
                parameters=count_parameters(MODELS[name]()),
                multiply_adds=count_multiply_adds(MODELS[name]()),
                file_bytes=path.stat().st_size,
                micros={batch: 1e6 * quartiles(times[name])[1] for batch, times in seconds.items()},
                ratios={batch: quartiles(times[name] / times[REFERENCE]) for batch, times in seconds.items()},
                accuracies=accuracies[name],
            )
            for name, path in files.items()
        }


def by_network(runs: Sequence[Path]) -> Mapping[str, list[Path]]:
    """The runs of each network, in the order in which they are given."""
    found: dict[str, list[Path]] = defaultdict(list)
    for run in runs:
        found[load_config(run).model].append(run)
    return found


def count_multiply_adds(model: nn.Module) -> int:
    """For one image: what convolutions and linear layers multiply and add."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.eval()(torch.zeros(1, 1, 28, 28))
    return int(counter.get_total_flops()) // 2


def _export(name: str, runs: Sequence[Path], folder: Path) -> Path:
    model = load_checkpoint(runs[0] / "model.pth", name) if runs else MODELS[name]()
    path = folder / f"{name}.onnx"
    export(model, ABOUT, torch.randint(256, (64, 28, 28), dtype=torch.uint8), path)
    return path


def _test_accuracy(run: Path) -> float:
    try:
        figures = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError(f"{run} holds no finished run: {error}") from error
    return float(figures["mnist_test_accuracy"])


def write_report(costs: Mapping[str, Cost], turns: int) -> str:
    """docs/cost.md; the plot is named where there is something to draw."""
    reference = costs[REFERENCE].micros
    lines = [
        "# What the networks cost",
        "",
        f"CPU time in onnxruntime on one thread, divided by that of the tutorial's network (`{REFERENCE}`). That one takes",
        f"{reference[1]:.0f} µs an image one by one and {reference[32]:.0f} in batches of 32. The networks run in turns,",
        f"{turns} turns each, and a turn's times are divided by the reference's in the same turn. The table has the median of",
        "these ratios with their quartiles in brackets. Multiply-adds are those of convolutions and linear layers for one",
        "image; the file is `model.onnx`. Test accuracy is the mean ± standard deviation over the given runs, or a dash if",
        "there was none: cost does not depend on the weights.",
        "Written by `python -m benchmarks.cost.networks RUNS` (`make cost`).",
        "",
        "| network | parameters | multiply-adds | file | time, one by one | time, batches of 32 | MNIST test | runs |",
        "|---|---|---|---|---|---|---|---|",
        *(_row(name, cost) for name, cost in costs.items()),
    ]
    if any(cost.accuracies for cost in costs.values()):
        lines += ["", "![Mistakes against CPU time, a point a network](images/cost.png)"]
    return "\n".join(lines) + "\n"


def _row(name: str, cost: Cost) -> str:
    times = [f"{middle:.2f} ({low:.2f}–{high:.2f})" for low, middle, high in cost.ratios.values()]
    cells = [
        f"`{name}`",
        f"{cost.parameters:,}",
        f"{cost.multiply_adds / 1e6:.2f} M",
        f"{cost.file_bytes / 2**10:,.0f} KiB",
        *times,
        _accuracy(cost.accuracies),
        str(len(cost.accuracies)),
    ]
    return f"| {' | '.join(cells)} |"


def _accuracy(values: Sequence[float]) -> str:
    if not values:
        return "–"
    return f"{100 * statistics.mean(values):.2f}" + (f" ± {_deviation(values):.2f}" if len(values) > 1 else "") + " %"


def _deviation(values: Sequence[float]) -> float:
    """In percent; 0 for a single run, which shows no spread."""
    return 100 * statistics.stdev(values) if len(values) > 1 else 0.0


def draw(costs: Mapping[str, Cost], path: Path) -> None:
    """Wrong test digits against CPU time one by one, over the reference's, of the networks that have runs."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for name, cost in costs.items():
        if cost.accuracies:
            low, middle, high = cost.ratios[1]
            wrong = 100 * (1 - statistics.mean(cost.accuracies))
            spread = [[middle - low], [high - middle]]
            label = f"{name}, {cost.file_bytes / 2**10:,.0f} KiB"
            axes.errorbar(middle, wrong, xerr=spread, yerr=_deviation(cost.accuracies), fmt="o", capsize=3, label=label)
    axes.set(xscale="log", xlabel=f"CPU time an image over that of {REFERENCE}", ylabel="wrong test digits (%)", ylim=(0, None))
    axes.margins(x=0.3, y=0.2)
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def run(
    runs: Annotated[list[Path] | None, typer.Argument(help="Folders of finished runs, of any seeds.")] = None,
    turns: Annotated[int, typer.Option(help="How often each network's time is taken.", min=1)] = 100,
    output: Annotated[Path, typer.Option(help="Where cost.md and images/cost.png are written.")] = DOCS,
) -> None:
    """Measures what each network costs compared with the tutorial's, and writes the table and the plot."""
    try:
        costs = measure(runs or [], turns)
    except TrainingError as error:
        Console(stderr=True).print(str(error), style="red")
        raise typer.Exit(1) from error
    (output / "images").mkdir(parents=True, exist_ok=True)
    report = write_report(costs, turns)
    (output / "cost.md").write_text(report, encoding="utf-8")
    if any(cost.accuracies for cost in costs.values()):
        draw(costs, output / "images" / "cost.png")
    print(report)  # noqa: T201


if __name__ == "__main__":
    typer.run(run)
