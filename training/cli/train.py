"""``train``, ``export`` and ``report``: runs, from their recipe to their figures."""

import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from lightning_fabric import Fabric
from rich.table import Table

from training.cli.common import DataDir, Run, Smoke, console
from training.cli.runs import (
    export_run,
    find_sources,
    load_glyph_data,
    making,
    open_fabric,
    reporting,
    write_finder_results,
    write_results,
)
from training.errors import RunError
from training.files import write_bytes, write_json
from training.learning import loop
from training.learning.checkpoints import METRICS, load_config, load_finished, mean_weights, serialize
from training.learning.classifier_task import ClassifierTask
from training.learning.config import TrainConfig
from training.learning.finder import FINDERS
from training.learning.finder_task import FinderTask
from training.learning.loop import train as train_model
from training.learning.networks import MODELS
from training.learning.recipes import RECIPES
from training.learning.sources import Sources, load_judged_scenes
from training.learning.task import Task
from training.options import read_flags, with_options
from training.publishing.plots import plot_curves

EXTRAS = ("augment", "glyphs", "outliers", "teachers", "corrections")  # fields that a report names where they are set
SMOKE: dict[str, Any] = {"epochs": 1, "batch_size": 32, "eval_every": 5, "smoke": True}


@dataclass(frozen=True)
class RunPlan:
    """A task, and what to do with the run once it has ended."""

    task: Task
    write_results: Callable[[Path, loop.Progress], None]


@with_options
def train(
    *,
    run: Annotated[Path | None, typer.Option(help="The run's folder; runs/MODEL-SEED by default.")] = None,
    recipe: Annotated[str, typer.Option(help=f"What the other flags change: {', '.join(RECIPES)}.")] = "plain",
    device: Annotated[str, typer.Option(help="cpu or cuda; only the CPU repeats a run to the bit.")] = "cpu",
    devices: Annotated[int, typer.Option(help="Processes, each on a GPU of its own, or on the CPU.", min=1)] = 1,
    precision: Annotated[str, typer.Option(help="Of the arithmetic: 32-true, bf16-mixed or 16-mixed.")] = "32-true",
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Log to the run's folder for TensorBoard too.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was interrupted.")] = False,
    data_dir: DataDir = Path("data"),
    smoke: Smoke = False,
    **flags: Any,
) -> None:
    """Trains a network, keeps the best on validation, and at the very end looks at the test set, once."""
    if resume and run is None:
        raise RunError("Say which run to go on with, by --run.")
    if recipe not in RECIPES:
        raise typer.BadParameter(f"{recipe!r} is none of {', '.join(RECIPES)}", param_hint="--recipe")
    base = load_config(run) if resume and run else RECIPES[recipe]
    given = read_flags(flags)
    config = replace(base, **((SMOKE if smoke and not resume else {}) | given))
    if config.model not in (*MODELS, *FINDERS):
        raise typer.BadParameter(f"{config.model!r} is none of {', '.join((*MODELS, *FINDERS))}", param_hint="--model")
    if given.get("without") and config.model not in FINDERS:
        raise typer.BadParameter(
            f"{config.model} is not a finder, and only a finder's scenes can do without something", param_hint="--without"
        )
    if config.corrections:
        raise RunError(f"{run} learns from corrections. Go on with it: python -m training learn --resume --run {run}")
    run = run or Path("runs") / f"{config.model}-{config.seed}"
    fabric = open_fabric(device, devices, precision)
    sources = find_sources(config, data_dir)
    plan = _plan_finder(config, sources, fabric) if config.model in FINDERS else _plan_classifier(config, sources, fabric)
    task = plan.task
    with reporting(config, len(task), run if tensorboard else None, quiet=not fabric.is_global_zero) as report:
        progress = train_model(config, task, run, fabric, report, resume=resume)
    if fabric.is_global_zero:
        plot_curves(progress.history, run / "curves.png")
        plan.write_results(run, progress)


def _plan_classifier(config: TrainConfig, sources: Sources, fabric: Fabric) -> RunPlan:
    data = load_glyph_data(config, sources)
    return RunPlan(ClassifierTask(config, data, fabric.device), partial(write_results, config, data, fabric.device))


def _plan_finder(config: TrainConfig, sources: Sources, fabric: Fabric) -> RunPlan:
    with making("scenes") as report:
        scenes = sources.scenes("train", config.scenes, report, without=config.without)
        judged = load_judged_scenes(sources, report)
    return RunPlan(
        FinderTask(config, scenes, judged["validation"], fabric.device),
        partial(write_finder_results, config, judged, fabric.device),
    )


def average(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs or versions of one network, a run last.")],
    run: Run,
    data_dir: DataDir = Path("data"),
) -> None:
    """Makes a run of the mean of others' weights, as of a network before and after it learned something new."""
    if (run / "config.json").exists():
        raise RunError(f"{run} already holds a run. Give another --run folder.")
    for each in runs:
        if (each / "config.json").is_file():
            load_finished(each)
    config = replace(load_config(runs[-1]), start="the mean of " + " and ".join(map(str, runs)), epochs=0)
    weights, sources = mean_weights(runs), find_sources(config, data_dir)
    run.mkdir(parents=True, exist_ok=True)
    write_bytes(run / "model.pth", serialize(weights))
    device = torch.device("cpu")
    if config.model in FINDERS:
        with making("scenes") as report:
            judged = load_judged_scenes(sources, report)
        write_finder_results(config, judged, device, run, None)
    else:
        write_results(config, load_glyph_data(config, sources, learn=False), device, run, None)
    write_json(run / "config.json", asdict(config))


def export(run: Run, data_dir: DataDir = Path("data")) -> None:
    """Writes a finished run's model.onnx, and keeps it only if onnxruntime agrees with torch on every test digit."""
    config = load_finished(run, "classifier")
    data = load_glyph_data(config, find_sources(config, data_dir), learn=False)
    export_run(run, config, data)


def report(runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs of classifiers.")]) -> None:
    """Compares networks over seeds: mean ± standard deviation of what each run measured. Finders are left out."""
    figures: dict[TrainConfig, list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        if load_config(run).model in FINDERS:
            console.print(f"{run} is left out: it is a finder's. Its {METRICS} has figures by kind of scene.")
            continue
        config = replace(load_finished(run, "classifier"), seed=0)
        figures[config].append(json.loads((run / METRICS).read_text(encoding="utf-8")))
    table = Table("network", "parameters", "seeds", "validation (%)", "test (%)")
    for name, lines in zip(_names(list(figures)), figures.values(), strict=True):
        cells = [
            _mean_and_deviation([100 * line[f"mnist_{split}_accuracy"] for line in lines]) for split in ("validation", "test")
        ]
        table.add_row(name, f"{lines[0]['parameters']:,}", str(len(lines)), *cells)
    console.print(table)


def _names(configs: Sequence[TrainConfig]) -> list[str]:
    """The network of each config and what it adds; where several are alike in that, all in which these differ, too."""
    short = [", ".join([each.model, *(name for name in EXTRAS if getattr(each, name))]) for each in configs]
    return [
        ", ".join([name, *_differing(config, [other for other, its in zip(configs, short, strict=True) if its == name])])
        for config, name in zip(configs, short, strict=True)
    ]


def _differing(config: TrainConfig, among: Sequence[TrainConfig]) -> list[str]:
    """The fields, with their values, in which configs differ."""
    values = {each.name: getattr(config, each.name) for each in fields(TrainConfig)}
    return [f"{name} {value}" for name, value in values.items() if any(getattr(other, name) != value for other in among)]


def _mean_and_deviation(values: list[float]) -> str:
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{deviation}"
