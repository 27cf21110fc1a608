"""``python -m training``: data, train, export, publish, report, in this order."""

import json
import statistics
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from training.data import Digits, Split, load_digits
from training.errors import RunError, TrainingError
from training.evaluate import confusion_matrix, infer, judge
from training.export import export as export_onnx
from training.export import metadata
from training.files import write_json
from training.models import MODELS, count_parameters
from training.plots import plot_confusion, plot_curves, plot_mistakes, plot_samples
from training.publish import publish as publish_run
from training.strokes import add_strokes, load_strokes
from training.train import Evaluation, Report, TrainConfig, load_checkpoint, load_config
from training.train import train as train_model

cli = typer.Typer(
    help="Makes the model: data, then train, export and publish a run. `make train` does all four for the shipped one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
console = Console(highlight=False, soft_wrap=True)

DataDir = Annotated[Path, typer.Option(help="Folder of the data sets; MNIST lies in its MNIST/raw.", envvar="NUMERAL_DATA_DIR")]
Run = Annotated[Path, typer.Option(help="The run's folder.")]
Smoke = Annotated[
    bool, typer.Option(help="A few seconds on a few digits, to see that everything works; no figure of it counts.")
]

DEFAULTS = TrainConfig()
SMOKE = TrainConfig(epochs=1, batch_size=32, eval_every=5, smoke=True)
SMOKE_VALIDATION, SMOKE_TRAIN = 100, 400


@cli.command()
def data(
    data_dir: DataDir = Path("data"),
    samples: Annotated[Path, typer.Option(help="Picture to draw.")] = Path("runs/samples.png"),
    smoke: Smoke = False,
) -> None:
    """Fetches MNIST and the pen strokes where they are missing, checks them, and draws samples of MNIST with their labels."""
    digits = _load(data_dir, smoke=smoke)
    samples.parent.mkdir(parents=True, exist_ok=True)
    plot_samples(digits.train, samples)
    sizes = f"{len(digits.train):,} to train, {len(digits.validation):,} to validate, {len(digits.test):,} to test"
    console.print(f"MNIST in {data_dir} is complete: {sizes}. Samples: {samples}")
    if not smoke:
        strokes = load_strokes(data_dir)
        writers = len({digit.writer for digit in strokes})
        console.print(f"Pen strokes in {data_dir / 'strokes'} are complete: {len(strokes):,} digits of {writers} writers.")


@cli.command()
def train(
    run: Annotated[Path | None, typer.Option(help="The run's folder; runs/MODEL-SEED by default.")] = None,
    model: Annotated[str | None, typer.Option(help=f"Network: {', '.join(MODELS)}; by default {DEFAULTS.model}.")] = None,
    seed: Annotated[int | None, typer.Option(help=f"Seed of all that is random; by default {DEFAULTS.seed}.", min=0)] = None,
    epochs: Annotated[int | None, typer.Option(help=f"Passes over the data; by default {DEFAULTS.epochs}.", min=1)] = None,
    batch_size: Annotated[int | None, typer.Option(help=f"Digits a step; by default {DEFAULTS.batch_size}.", min=2)] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help=f"Peak of the schedule; by default {DEFAULTS.learning_rate}.", min=0)
    ] = None,
    augment: Annotated[
        bool | None, typer.Option(help="Distort each digit at random, anew in each epoch; by default not.")
    ] = None,
    pens: Annotated[
        int | None,
        typer.Option(help="Add pen strokes of other hands, each drawn with that many pens; by default 0, none.", min=0),
    ] = None,
    eval_every: Annotated[
        int | None, typer.Option(help=f"Batches between evaluations; by default {DEFAULTS.eval_every}.", min=1)
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help=f"Evaluations without progress before stopping; by default {DEFAULTS.patience}.", min=1)
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            help=f"CPU threads; a part of the experiment, since sums round by it; by default {DEFAULTS.threads}.", min=1
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda; only the CPU repeats a run to the bit.")] = "cpu",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was interrupted.")] = False,
    data_dir: DataDir = Path("data"),
    smoke: Smoke = False,
) -> None:
    """Trains a network, keeps the best on validation, and at the very end looks at the test set, once."""
    flags: dict[str, Any] = {
        "model": model, "seed": seed, "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate,
        "augment": augment, "pens": pens, "eval_every": eval_every, "patience": patience, "threads": threads,
    }  # fmt: skip
    given = {name: value for name, value in flags.items() if value is not None}
    if resume and run is None:
        raise RunError("Say which run to go on with, by --run.")
    base = load_config(run) if resume and run else SMOKE if smoke else DEFAULTS
    config = replace(base, **given)
    if config.model not in MODELS:
        raise typer.BadParameter(f"{config.model!r} is none of {', '.join(MODELS)}", param_hint="--model")
    run = run or Path("runs") / f"{config.model}-{config.seed}"
    mnist = _load(data_dir, smoke=config.smoke)
    digits = add_strokes(mnist, data_dir, config.pens) if config.pens else mnist
    with _reporting(config, len(digits.train)) as report:
        progress = train_model(config, (digits.train, digits.validation), run, _device(device), report, resume=resume)
    judged = {"mnist_validation": mnist.validation, "mnist_test": mnist.test}
    if config.pens:
        judged["strokes_validation"] = digits.validation.drop(len(mnist.validation))
    _conclude(run, config, progress.history, progress.best, judged)


@cli.command()
def export(run: Run, data_dir: DataDir = Path("data")) -> None:
    """Writes a finished run's model.onnx, and keeps it only if onnxruntime agrees with torch on every test digit."""
    config = load_config(run)
    _existing(run / "metrics.json")
    digits = _load(data_dir, smoke=config.smoke)
    model, test = load_checkpoint(run / "model.pth", config.model), digits.test
    difference = export_onnx(model, metadata(model, digits.validation.images), test.images, run / "model.onnx")
    console.print(
        f"{run / 'model.onnx'}: onnxruntime agrees with torch on {len(test):,} digits, logits within {difference:.1e}."
    )
    console.print("Look at its graph: pip install netron, then netron " + str(run / "model.onnx"))


@cli.command()
def publish(
    run: Run,
    store: Annotated[Path, typer.Option(help="The model store.")] = Path("model_store"),
    data_dir: DataDir = Path("data"),
) -> None:
    """Puts a finished and exported run's model into the model store, as the next version."""
    folder = publish_run(run, store, _load(data_dir, smoke=load_config(run).smoke).validation)
    console.print(f"Published {folder}. Its card: {folder / 'card.md'}")


@cli.command()
def report(runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs.")]) -> None:
    """Compares networks over seeds: mean ± standard deviation of what each run measured."""
    figures: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        config = load_config(run)
        name = config.model + (", augmented" if config.augment else "") + (", with pen strokes" if config.pens else "")
        figures[name].append(json.loads(_existing(run / "metrics.json").read_text(encoding="utf-8")))
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


def _load(data_dir: Path, *, smoke: bool) -> Digits:
    if not smoke:
        return load_digits(data_dir)
    digits = load_digits(data_dir, verify=False, validation_size=SMOKE_VALIDATION)
    return replace(digits, train=digits.train.take(torch.arange(min(SMOKE_TRAIN, len(digits.train)))))


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise RunError(f"{path} is missing: train the run to its end first.")
    return path


def _device(name: str) -> torch.device:
    if name not in ("cpu", "cuda"):
        raise typer.BadParameter(f"{name!r} is none of cpu, cuda", param_hint="--device")
    if name == "cuda" and not torch.cuda.is_available():
        raise RunError("torch finds no CUDA device here; leave --device out to train on the CPU.")
    return torch.device(name)


@contextmanager
def _reporting(config: TrainConfig, digits: int) -> Generator[Report]:
    """A progress bar with the current figures on a terminal; elsewhere a plain line for each evaluation."""
    total = config.epochs * -(-digits // config.batch_size)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[last]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"{config.model}, seed {config.seed}", total=total, last="")

        def report(step: int, line: Evaluation | None) -> None:
            bar.update(task, completed=step)
            if line is not None:
                bar.update(task, last=f"loss {line.train_loss:.3f}, validation {line.validation_accuracy:.2%}")
                console.print(f"{config.model} seed {config.seed}  {_describe(line)}", soft_wrap=True)

        yield report


def _describe(line: Evaluation) -> str:
    return (
        f"epoch {line.epoch:5.2f}  step {line.step:5d}  "
        f"training: loss {line.train_loss:.4f}, accuracy {line.train_accuracy:.2%}  "
        f"validation: loss {line.validation_loss:.4f}, accuracy {line.validation_accuracy:.2%}"
    )


def _conclude(run: Path, config: TrainConfig, history: list[Evaluation], best: int, splits: dict[str, Split]) -> None:
    """The last look: metrics.json and the pictures, of the checkpoint that validation chose."""
    model = load_checkpoint(run / "model.pth", config.model)
    logits = {name: infer(model, split.images) for name, split in splits.items()}
    judged = {name: judge(logits[name], split.labels) for name, split in splits.items()}
    figures = {f"{name}_{key}": value for name, metrics in judged.items() for key, value in asdict(metrics).items()}
    counts = {"parameters": count_parameters(model), "evaluations": len(history), "best_step": history[best].step}
    write_json(run / "metrics.json", {**figures, **counts, "last_step": history[-1].step})
    plot_curves(history, run / "curves.png")
    plot_confusion(confusion_matrix(logits["mnist_test"], splits["mnist_test"].labels), run / "confusion.png")
    plot_mistakes(splits["mnist_test"], logits["mnist_test"], run / "mistakes.png")
    console.print(
        f"{run}: validation {judged['mnist_validation'].accuracy:.2%}, test {judged['mnist_test'].accuracy:.2%} "
        f"({judged['mnist_test'].errors} wrong of {len(splits['mnist_test']):,}), step {history[best].step}"
    )


def main() -> None:
    """Entry point of ``python -m training``: errors with a remedy end in their message, not in a traceback."""
    try:
        cli()
    except (TrainingError, OSError) as error:
        typer.echo(f"training: {error}", err=True)
        raise SystemExit(1) from error
