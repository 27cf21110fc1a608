"""What commands share about runs: where they compute, what they learn from, what they show, and how they end."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
import typer
from lightning_fabric import Fabric
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from torch import nn

from training.cli.common import console
from training.data.mnist import CLASSES
from training.data.run_data import RunData, load_run_data
from training.data.scenes import SceneSet
from training.data.unipen import SOURCE as UNIPEN_SOURCE
from training.data.unipen import find_unipen
from training.errors import RunError
from training.files import write_json
from training.learning import loop
from training.learning.checkpoints import METRICS, load_checkpoint
from training.learning.config import TrainConfig
from training.learning.evaluate import confusion_matrix, infer, judge
from training.learning.finder_task import judge_by_kind
from training.learning.loop import Evaluation, Report
from training.learning.networks import count_parameters
from training.learning.sources import Sources, load_found_data
from training.publishing.calibrate import answer, ask, calibrate, figures
from training.publishing.export import export as export_onnx
from training.publishing.export import metadata
from training.publishing.plots import plot_confusion, plot_mistakes, plot_reliability, plot_risk_coverage
from training.publishing.uint8_edition import write_uint8

SHARES = ("found", "told", "overlap", "ink", "f1")  # of finder_task.SceneFigures, which are between 0 and 1


def open_fabric(device: str, devices: int, precision: str) -> Fabric:
    """Where a run computes: device is cpu or cuda, devices the processes, precision of the arithmetic.

    Raises:
        typer.BadParameter: the device is neither.
        RunError: torch finds fewer CUDA devices.
    """
    if device not in ("cpu", "cuda"):
        raise typer.BadParameter(f"{device!r} is none of cpu, cuda", param_hint="--device")
    if device == "cuda" and torch.cuda.device_count() < devices:
        raise RunError(f"torch finds {torch.cuda.device_count()} CUDA devices here, not {devices}. --device cpu is slower.")
    strategy = "ddp" if devices > 1 else "auto"
    fabric = Fabric(accelerator=device, devices=devices, precision=precision, strategy=strategy)  # type: ignore[arg-type]
    fabric.launch()
    return fabric


def find_sources(config: TrainConfig, data_dir: Path) -> Sources:
    """The data sets that are there; says so if scenes have to do without UNIPEN."""
    unipen = None if config.smoke else find_unipen(data_dir)
    if config.scenes and unipen is None:
        console.print(f"Without UNIPEN fewer hands write in the scenes; `training data --unipen` adds it: {UNIPEN_SOURCE}.")
    return Sources(data_dir, unipen, config.smoke)


def load_glyph_data(config: TrainConfig, sources: Sources, *, learn: bool = True) -> RunData:
    """The glyphs that a run learns from: MNIST's, or those that its finder cuts. learn: as load_found_data.

    Raises:
        DataError: as load_found_data.
        RunError: glyphs are to be cut, and no finder is named, or as load_found_data.
    """
    with making("glyphs") as report:
        if config.finder:
            return load_found_data(config, sources, report, learn=learn)
        if config.glyphs or config.outliers:
            raise RunError("What glyphs and outliers are cut by is not said: name the run of a finder by --finder.")
        return load_run_data(sources.data_dir, smoke=config.smoke)


@contextmanager
def making(what: str) -> Generator[Callable[[int, int], None]]:
    """A bar that shows once there is something to make."""
    with progress_bar() as bar:
        task = bar.add_task(f"making {what}", total=None, visible=False)
        yield lambda done, of: bar.update(task, completed=done, total=of, visible=True)


@contextmanager
def reporting(config: TrainConfig, digits: int, log: Path | None, *, quiet: bool) -> Generator[Report]:
    """A progress bar with the current figures on a terminal; elsewhere a plain line for each evaluation."""
    if quiet:
        yield lambda _step, _line: None
        return
    total = config.epochs * -(-digits // config.batch_size)
    with progress_bar(TextColumn("{task.fields[last]}")) as bar, _board(log) as board:
        task = bar.add_task(f"{config.model}, seed {config.seed}", total=total, last="")

        def report(step: int, line: Evaluation | None) -> None:
            bar.update(task, completed=step)
            if line is not None:
                bar.update(task, last=f"loss {line.train_loss:.3f}, validation {line.validation_accuracy:.2%}")
                console.print(f"{config.model} seed {config.seed}  {_describe(line)}", soft_wrap=True)
                board(line)

        yield report


def progress_bar(*columns: ProgressColumn) -> Progress:
    """A bar on the terminal; elsewhere it shows nothing."""
    standard = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*standard, *columns, console=console, disable=not console.is_terminal)


@contextmanager
def _board(log: Path | None) -> Generator[Callable[[Evaluation], None]]:
    """Writes evaluations for TensorBoard into a folder, where one is given."""
    if log is None:
        yield lambda _line: None
        return
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  # takes a second

    with SummaryWriter(log) as writer:

        def write(line: Evaluation) -> None:
            for name, value in asdict(line).items():
                writer.add_scalar(name, value, line.step)

        yield write


def _describe(line: Evaluation) -> str:
    return (
        f"epoch {line.epoch:5.2f}  step {line.step:5d}  "
        f"training: loss {line.train_loss:.4f}, accuracy {line.train_accuracy:.2%}  "
        f"validation: loss {line.validation_loss:.4f}, accuracy {line.validation_accuracy:.2%}"
    )


def write_results(config: TrainConfig, data: RunData, device: torch.device, run: Path, progress: loop.Progress | None) -> None:
    """The last look: metrics.json and the pictures, of the checkpoint that validation chose. progress: None if it is a mean."""
    model = load_checkpoint(run / "model.pth", config.model).to(device)
    logits = {name: infer(model, split.images) for name, split in data.judged.items()}
    judged = {name: judge(logits[name], split.labels) for name, split in data.judged.items()}
    figures = {f"{name}_{key}": value for name, metrics in judged.items() for key, value in asdict(metrics).items()}
    write_json(run / METRICS, {**figures, **_counts(model, progress)})
    test = data.judged["mnist_test"]
    plot_confusion(confusion_matrix(logits["mnist_test"], test.labels), run / "confusion.png")
    plot_mistakes(test, logits["mnist_test"][:, :CLASSES], run / "mistakes.png")
    for name, metrics in judged.items():
        console.print(f"{run}: {name.replace('_', ' ')} {metrics.accuracy:.2%}, {metrics.errors} wrong", soft_wrap=True)


def write_finder_results(
    config: TrainConfig, scenes: Mapping[str, SceneSet], device: torch.device, run: Path, progress: loop.Progress | None
) -> None:
    """The last look of a finder: metrics.json, by kind of scene. progress: None if it is a mean."""
    model = load_checkpoint(run / "model.pth", config.model).to(device)
    kinds = {name: judge_by_kind(model, each) for name, each in scenes.items()}
    write_json(run / METRICS, {**kinds, **_counts(model, progress)})
    for name, groups in kinds.items():
        for kind, values in groups.items():
            shares = ", ".join(f"{key} {value:.2%}" for key, value in values.items() if key in SHARES)
            console.print(f"{run}: {name}, {kind}: {values['digits']:,} digits, {shares}, extra {values['extra']:.3f} a scene")


def _counts(model: nn.Module, progress: loop.Progress | None) -> dict[str, int]:
    parameters = {"parameters": count_parameters(model)}
    if progress is None:
        return parameters
    history = progress.history
    steps = {"best_step": history[progress.best].step, "last_step": history[-1].step}
    return parameters | {"evaluations": len(history)} | steps


def export_run(run: Path, config: TrainConfig, data: RunData) -> None:
    """Calibrates a finished run's network on its data, and writes it as ONNX with its figures."""
    model, test = load_checkpoint(run / "model.pth", config.model), data.judged["mnist_test"]
    hard = ask(model, data)
    judged = {name: answer(model, split) for name, split in data.judged.items()}
    outliers = answer(model, data.outliers) if data.outliers else None
    calibration = calibrate(hard, outliers)
    write_json(run / "calibration.json", asdict(calibration) | figures(judged, outliers, calibration))
    plot_reliability(judged, calibration.temperature, run / "reliability.png")
    plot_risk_coverage(hard, calibration, run / "risk-coverage.png")
    difference = export_onnx(model, metadata(calibration), test.images, run / "model.onnx")
    edition = write_uint8(run / "model.onnx", test.images.numpy())
    console.print(
        f"{run / 'model.onnx'}: onnxruntime agrees with torch on {len(test):,} digits, logits within {difference:.1e}."
    )
    console.print(f"{edition}: takes glyphs as they are, answers in calibrated probabilities.")
    console.print("Look at its graph: pip install netron, then netron " + str(run / "model.onnx"))
