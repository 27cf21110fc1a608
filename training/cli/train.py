"""``train``, ``export`` and ``report``: runs, from their recipe to their figures."""

import json
import statistics
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from lightning_fabric import Fabric
from rich.table import Table

from training.cli.common import DataDir, Run, Smoke, console
from training.cli.runs import (
    conclude,
    conclude_finder,
    existing,
    export_run,
    find_sources,
    load_run_course,
    making,
    open_fabric,
    reporting,
)
from training.errors import RunError
from training.files import write_bytes, write_json
from training.learning import loop
from training.learning.checkpoints import load_config, mean_weights, serialize
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

SMOKE: dict[str, Any] = {"epochs": 1, "batch_size": 32, "eval_every": 5, "smoke": True}


@dataclass(frozen=True)
class RunPlan:
    """A task, and what to do with the run once it has ended."""

    task: Task
    conclude: Callable[[Path, loop.Progress], None]


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
    config = replace(base, **((SMOKE if smoke and not resume else {}) | read_flags(flags)))
    if config.model not in (*MODELS, *FINDERS):
        raise typer.BadParameter(f"{config.model!r} is none of {', '.join((*MODELS, *FINDERS))}", param_hint="--model")
    run = run or Path("runs") / f"{config.model}-{config.seed}"
    fabric = open_fabric(device, devices, precision)
    sources = find_sources(config, data_dir)
    lesson = _scenes_lesson(config, sources, fabric) if config.model in FINDERS else _glyphs_lesson(config, sources, fabric)
    task = lesson.task
    with reporting(config, len(task), run if tensorboard else None, quiet=not fabric.is_global_zero) as report:
        progress = train_model(config, task, run, fabric, report, resume=resume)
    if fabric.is_global_zero:
        plot_curves(progress.history, run / "curves.png")
        lesson.conclude(run, progress)


def _glyphs_lesson(config: TrainConfig, sources: Sources, fabric: Fabric) -> RunPlan:
    course = load_run_course(config, sources)
    return RunPlan(ClassifierTask(config, course, fabric.device), partial(conclude, config, course, fabric.device))


def _scenes_lesson(config: TrainConfig, sources: Sources, fabric: Fabric) -> RunPlan:
    with making("scenes") as report:
        scenes = sources.scenes("train", config.scenes, report, without=config.without)
        judged = load_judged_scenes(sources, report)
    return RunPlan(
        FinderTask(config, scenes, judged["validation"], fabric.device), partial(conclude_finder, config, judged, fabric.device)
    )


def average(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs or versions of one network, a run last.")],
    run: Run,
    data_dir: DataDir = Path("data"),
) -> None:
    """Makes a run of the mean of others' weights, as of a network before and after it learned something new."""
    if (run / "config.json").exists():
        raise RunError(f"{run} already holds a run. Give another --run folder.")
    config = replace(load_config(runs[-1]), start="the mean of " + " and ".join(map(str, runs)), epochs=0)
    weights, sources = mean_weights(runs), find_sources(config, data_dir)
    run.mkdir(parents=True, exist_ok=True)
    write_bytes(run / "model.pth", serialize(weights))
    device = torch.device("cpu")
    if config.model in FINDERS:
        with making("scenes") as report:
            judged = load_judged_scenes(sources, report)
        conclude_finder(config, judged, device, run, None)
    else:
        conclude(config, load_run_course(config, sources, learn=False), device, run, None)
    write_json(run / "config.json", asdict(config))


def export(run: Run, data_dir: DataDir = Path("data")) -> None:
    """Writes a finished run's model.onnx, and keeps it only if onnxruntime agrees with torch on every test digit."""
    config = load_config(run)
    existing(run / "metrics.json")
    course = load_run_course(config, find_sources(config, data_dir), learn=False)
    export_run(run, config, course)


def report(runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs.")]) -> None:
    """Compares networks over seeds: mean ± standard deviation of what each run measured."""
    figures: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        config = load_config(run)
        extras = [name for name in ("augment", "glyphs", "outliers", "teachers") if getattr(config, name)]
        name = ", ".join([config.model, *extras])
        figures[name].append(json.loads(existing(run / "metrics.json").read_text(encoding="utf-8")))
    table = Table("network", "parameters", "seeds", "validation (%)", "test (%)")
    for name, lines in figures.items():
        cells = [
            _mean_and_deviation([100 * line[f"mnist_{split}_accuracy"] for line in lines]) for split in ("validation", "test")
        ]
        table.add_row(name, f"{lines[0]['parameters']:,}", str(len(lines)), *cells)
    console.print(table)


def _mean_and_deviation(values: list[float]) -> str:
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{deviation}"
