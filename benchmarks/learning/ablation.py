"""Measures what each ingredient of the shipped recipe is worth: ``make ablation``. Each run omits one, or adds one.

Runs are short and judged on validation, because that is how a recipe is chosen; the test set is not used. They are kept in
runs/ablation, and an existing run is not trained again.
"""

import json
import multiprocessing
import os
import statistics
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from lightning_fabric import Fabric
from rich.console import Console

from training.data.course import Course, load_course
from training.errors import TrainingError
from training.files import write_json
from training.learning.augment import NAMES
from training.learning.checkpoints import load_checkpoint
from training.learning.classifying import Classifying
from training.learning.config import TrainConfig
from training.learning.evaluate import judge
from training.learning.loop import train
from training.learning.recipes import RECIPES
from training.publishing.calibrate import REFUSED, answer

DOCS = Path(__file__).parents[2] / "docs"
RUNS = Path("runs/ablation")
EMA = 0.99  # a short run's average must forget its beginning sooner

NOTHING = "nothing"
LEFT_OUT: dict[str, dict[str, Any]] = {
    NOTHING: {},
    **{name: {"augment": tuple(other for other in NAMES if other != name)} for name in NAMES},
    "all distortion": {"augment": ()},
    "less distortion towards the end": {"last_strength": 1.0},
    "photos": {"photos": 0.0},
    "drawings": {"drawings": 0.0},
    "non-digits": {"outliers": 0.0},
    "all but MNIST": {"photos": 0.0, "drawings": 0.0, "outliers": 0.0},
    "averaging of weights": {"ema": 0.0},
}

SMOOTHING = 0.05
ADDED: dict[str, dict[str, Any]] = {f"labels smoothed by {SMOOTHING:g}": {"smoothing": SMOOTHING}}
TAUGHT = "learning from teachers too"

# Shares, 0..1: of validation's digits read rightly, by source, and of made non-digits whose energy is above that of
# the REFUSED share of photos.
Figures = dict[str, float]
SOURCES = {"MNIST": "mnist_validation", "photos": "photos_validation", "drawings": "drawings_validation"}
OUTLIERS = "non-digits accepted"


def shorten(config: TrainConfig, epochs: int, changes: Mapping[str, Any], seed: int) -> TrainConfig:
    """The config less what is left out, over so many epochs, judged once, at the end."""
    return replace(config, **{"epochs": epochs, "eval_every": 10**9, "seed": seed, "ema": EMA, **changes})


def run_one(config: TrainConfig, data_dir: Path, run: Path) -> Figures:
    """Trains one config, unless its figures are there, and judges it on validation.

    Raises:
        TrainingError: as load_course and train.
    """
    path = run / "ablation.json"
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["config"] == json.loads(json.dumps(asdict(config))):
            return dict(found["figures"])
    whole = _load(replace(RECIPES["shipped"], smoke=config.smoke), data_dir)
    course = replace(_load(config, data_dir), validation=whole.validation)
    fabric = Fabric(accelerator="cpu", devices=1)
    (run / "config.json").unlink(missing_ok=True)  # of a run that was interrupted
    train(config, Classifying(config, course, fabric.device), run, fabric, lambda *_: None, resume=False)
    figures = _judge(run, config.model, whole)
    write_json(path, {"config": asdict(config), "figures": figures})
    return figures


def _load(config: TrainConfig, data_dir: Path) -> Course:
    shares = {"photos": config.photos, "drawings": config.drawings, "outliers": config.outliers}
    return load_course(data_dir, lambda *_: None, **shares, smoke=config.smoke)


def _judge(run: Path, model: str, course: Course) -> Figures:
    network = load_checkpoint(run / "model.pth", model)
    answers = {name: answer(network, course.judged[split]) for name, split in SOURCES.items()}
    figures = {name: judge(each.logits, each.labels).accuracy for name, each in answers.items()}
    if course.outliers is not None:
        least = answers["photos"].energy.quantile(REFUSED)
        figures[OUTLIERS] = float((answer(network, course.outliers).energy >= least).double().mean())
    return figures


def write_report(results: Mapping[str, Sequence[Figures]], epochs: int, teachers: Sequence[Path] = ()) -> str:
    """docs/ablation.md: percent, and in brackets the difference from leaving out nothing, in points."""
    whole, columns = results[NOTHING], list(results[NOTHING][0])
    left_out = [(name, runs) for name, runs in results.items() if name in LEFT_OUT]
    added = [(name, runs) for name, runs in results.items() if name not in LEFT_OUT]
    rule = f"|---|{'---|' * len(columns)}"
    lines = [
        "# What each ingredient is worth",
        "",
        f"The shipped recipe over {epochs} epochs, each time without one of its ingredients; {len(whole)} seed(s). In percent,",
        "of validation's digits read rightly: MNIST's, those found in made photos, those found in drawings of pen strokes by",
        "writers that no training sees; and of made non-digits, how many pass where",
        f"{1 - REFUSED:.0%} of the photos' digits do. In brackets the difference from leaving out nothing, in points. A digit",
        "is worth 0.02 of MNIST, 0.01 of the photos and 0.08 of the drawings. The test set was not looked at.",
        "Written by `python -m benchmarks.learning.ablation` (`make ablation`).",
        "",
        f"| left out | {' | '.join(columns)} |",
        rule,
        *(_row(name, runs, whole, columns) for name, runs in left_out),
    ]
    if added:
        lines += [
            "",
            "What the recipe does not have, added to it, each alone:",
            "",
            f"| added | {' | '.join(columns)} |",
            rule,
            *(_row(name, runs, whole, columns) for name, runs in added),
        ]
    if teachers:
        lines += [
            "",
            f"The teachers are {', '.join(teacher.name for teacher in teachers)}: the mean of their logits is learned.",
        ]
    return "\n".join(lines) + "\n"


def _row(name: str, runs: Sequence[Figures], whole: Sequence[Figures], columns: Sequence[str]) -> str:
    cells = []
    for column in columns:
        value, usual = (100 * statistics.mean(run[column] for run in each) for each in (runs, whole))
        cells.append(f"{value:.2f}" + ("" if name == NOTHING else f" ({value - usual:+.2f})"))
    return f"| {name} | {' | '.join(cells)} |"


def run(  # noqa: PLR0913, PLR0917
    epochs: Annotated[int, typer.Option(help="Passes over the data.", min=1)] = 3,
    seeds: Annotated[int, typer.Option(help="How many; 0, 1, …", min=1)] = 1,
    jobs: Annotated[int | None, typer.Option(help="Runs at a time; one a core by default.", min=1)] = None,
    data_dir: Annotated[Path, typer.Option(help="Folder of the data sets.", envvar="NUMERAL_DATA_DIR")] = Path("data"),
    teacher: Annotated[
        list[Path] | None, typer.Option(help="A finished run to learn from; may be given several times.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Where ablation.md is written.")] = DOCS,
) -> None:
    """Trains without each ingredient in turn, and with what might be one, and writes the table."""
    console = Console(highlight=False, soft_wrap=True)
    recipe, teachers = RECIPES["shipped"], teacher or []
    taught = {TAUGHT: {"teachers": tuple(map(str, teachers))}} if teachers else {}
    changed = {**LEFT_OUT, **ADDED, **taught}
    plan = {(name, seed): shorten(recipe, epochs, changes, seed) for name, changes in changed.items() for seed in range(seeds)}
    try:
        _load(recipe, data_dir)  # so that what all runs share is made once
        results: dict[str, list[Figures]] = {name: [] for name in changed}
        spawning = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs or len(os.sched_getaffinity(0)), spawning) as pool:
            folders = [RUNS / f"{name.replace(' ', '-')}-{seed}" for name, seed in plan]
            for (name, seed), figures in zip(plan, pool.map(partial(_run_one, data_dir), plan.values(), folders), strict=True):
                results[name].append(figures)
                shown = ", ".join(f"{key} {value:.2%}" for key, value in figures.items())
                console.print(f"{'without' if name in LEFT_OUT else 'with'} {name}, seed {seed}: {shown}")
    except TrainingError as error:
        Console(stderr=True).print(str(error), style="red")
        raise typer.Exit(1) from error
    report = write_report(results, epochs, teachers)
    (output / "ablation.md").write_text(report, encoding="utf-8")
    console.print(report, markup=False)


def _run_one(data_dir: Path, config: TrainConfig, run: Path) -> Figures:
    return run_one(config, data_dir, run)


if __name__ == "__main__":
    typer.run(run)
