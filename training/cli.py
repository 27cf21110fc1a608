"""``python -m training``: data, train, export, publish and select, in this order, and more around them."""

import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from lightning_fabric import Fabric
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from torch import nn

from app.errors import StartupError
from app.reading.infer.store import SERVED, StoredModel, find_model, read_pointer
from app.settings import Settings
from training.data.contact_sheet import draw_sheet
from training.data.corrections import load_corrections, to_lessons
from training.data.course import Course, load_course, load_mnist
from training.data.fonts import load_fonts
from training.data.hands import Hands
from training.data.mnist import CLASSES, Split
from training.data.pen_strokes import load_strokes
from training.data.scenes import GROUPS, KIND_NAMES, SceneSet, make_scene
from training.data.unipen import SOURCE as UNIPEN_SOURCE
from training.data.unipen import SPLITS, find_unipen, prepare_unipen
from training.errors import DataError, RunError, TrainingError
from training.files import write_json
from training.learning import loop
from training.learning.checkpoints import load_checkpoint, load_config
from training.learning.classifying import Classifying
from training.learning.config import TrainConfig
from training.learning.evaluate import confusion_matrix, infer, judge
from training.learning.finder import FINDERS
from training.learning.finding import Finding, judge_by_kind
from training.learning.loop import Evaluation, Report
from training.learning.loop import train as train_model
from training.learning.networks import MODELS, count_parameters
from training.learning.recipes import CORRECTING, RECIPES
from training.learning.sources import Sources, load_all_scenes, load_correcting_course, load_found_course
from training.learning.task import Task
from training.options import read_flags, with_options
from training.publishing.calibrate import answer, ask, calibrate, figures
from training.publishing.candidate import Candidate, choose_finder, conform, decide, make_candidate, weigh
from training.publishing.candidate import promote as promote_candidate
from training.publishing.candidate import renew as renew_version
from training.publishing.candidate import select as select_version
from training.publishing.export import export as export_onnx
from training.publishing.export import metadata
from training.publishing.gate import Samples, Verdict
from training.publishing.hub import write_hub
from training.publishing.plots import (
    plot_confusion,
    plot_curves,
    plot_mistakes,
    plot_reliability,
    plot_risk_coverage,
    plot_samples,
)
from training.publishing.publish import CARD, NAME, REPORT, Finder
from training.publishing.readers import (
    HELD_OUT,
    Amount,
    correction_samples,
    hands_samples,
    mnist_samples,
    own_samples,
    scene_samples,
)
from training.publishing.readers import SMOKE as SMOKE_AMOUNT
from training.publishing.strings import fit_version
from training.publishing.uint8_edition import write_uint8

cli = typer.Typer(
    help="Makes the model: data, then train, export and publish a run. `make train` does all four for the shipped one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
console = Console(highlight=False, soft_wrap=True)

DataDir = Annotated[Path, typer.Option(help="Folder of the data sets; MNIST lies in its MNIST/raw.", envvar="NUMERAL_DATA_DIR")]
Run = Annotated[Path, typer.Option(help="The run's folder.")]
Store = Annotated[Path, typer.Option(help="The model store.")]
Candidates = Annotated[Path, typer.Option(help="Folder of candidates, which no server loads.")]
HandSets = Annotated[Path | None, typer.Option(help="Other hands to compare by: .npz files with x and y.")]
Pictures = Annotated[
    list[Path] | None, typer.Option(help="A folder of one's own pictures with labels.csv; may be given several times.")
]
Smoke = Annotated[
    bool, typer.Option(help="A few seconds on a few digits, to see that everything works; no figure of it counts.")
]

SHARES = ("found", "told", "overlap", "ink", "f1")  # of finding.SceneFigures, which are between 0 and 1
SMOKE: dict[str, Any] = {"epochs": 1, "batch_size": 32, "eval_every": 5, "smoke": True}


@cli.command()
def data(
    data_dir: DataDir = Path("data"),
    samples: Annotated[Path, typer.Option(help="Picture to draw.")] = Path("runs/samples.png"),
    unipen: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the UNIPEN collection as it is distributed, or of its prepared arrays; kept for training."
        ),
    ] = None,
    smoke: Smoke = False,
) -> None:
    """Fetches MNIST, pen strokes and fonts where they are missing, reads UNIPEN, checks all, and draws samples of MNIST."""
    digits = load_mnist(data_dir, smoke=smoke)
    samples.parent.mkdir(parents=True, exist_ok=True)
    plot_samples(digits.train, samples)
    sizes = f"{len(digits.train):,} to train, {len(digits.validation):,} to validate, {len(digits.test):,} to test"
    console.print(f"MNIST in {data_dir} is complete: {sizes}. Samples: {samples}")
    if not smoke:
        strokes = load_strokes(data_dir)
        writers = len({digit.writer for digit in strokes})
        console.print(f"Pen strokes in {data_dir / 'strokes'} are complete: {len(strokes):,} digits of {writers} writers.")
        console.print(_describe_unipen(data_dir, unipen))
        console.print(_describe_fonts(data_dir))


def _describe_unipen(data_dir: Path, given: Path | None) -> str:
    path = given or find_unipen(data_dir)
    if path is None:
        return f"UNIPEN is not there: training goes on without it. --unipen reads it from a folder; it is at {UNIPEN_SOURCE}."
    both = prepare_unipen(path, data_dir)
    writers = len({*both.digits.writer.tolist(), *both.others.writer.tolist()})
    return f"UNIPEN is ready: {len(both.digits):,} digits, {len(both.others):,} letters and signs, by {writers} writers."


def _describe_fonts(data_dir: Path) -> str:
    try:
        fonts = load_fonts(data_dir)
    except DataError as error:
        return f"Fonts are not complete: training goes on without them. {error}"
    return f"Fonts in {data_dir / 'fonts'} are complete: {len(fonts)}."


@cli.command()
def scenes(
    show: Annotated[Path, typer.Option(help="Picture to draw.")],
    split: Annotated[str, typer.Option(help=f"Whose hands write: {', '.join(SPLITS)}.")] = "train",
    count: Annotated[int, typer.Option(help="Scenes.", min=1)] = 96,
    seed: Annotated[int, typer.Option(help="Of the first scene; the others follow.", min=0)] = 0,
    only: Annotated[list[str] | None, typer.Option(help=f"Kind that may come up: {', '.join(KIND_NAMES)}.")] = None,
    without: Annotated[list[str] | None, typer.Option(help=f"Group to leave out: {', '.join(GROUPS)}.")] = None,
    second_look: Annotated[bool, typer.Option("--second-look", help="What the finder's second look sees.")] = False,
    truth: Annotated[bool, typer.Option(help="Draw boxes, labels and ink.")] = True,
    fonts: Annotated[bool, typer.Option(help="Let fonts write too.")] = True,
    data_dir: DataDir = Path("data"),
) -> None:
    """Draws a sheet of made scenes with their truth, to look at next to real pictures."""
    for given, known, hint in (([split], SPLITS, "--split"), (only, KIND_NAMES, "--only"), (without, GROUPS, "--without")):
        if unknown := set(given or ()) - set(known):
            raise typer.BadParameter(f"{', '.join(sorted(unknown))}: none of {', '.join(known)}", param_hint=hint)
    hands = Hands.load(data_dir, split, find_unipen(data_dir), with_fonts=fonts)
    kinds, left_out = frozenset(only) if only else None, frozenset(without or ())
    made = [make_scene(seed + index, hands, kinds, left_out, second_look=second_look) for index in range(count)]
    show.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draw_sheet(made, truth=truth)).save(show)
    console.print(f"{show}: {count} scenes of {split}, {', '.join(sorted(hands.sources))} writing.")


@cli.command()
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
    fabric = _fabric(device, devices, precision)
    sources = _sources(config, data_dir)
    lesson = _scenes_lesson(config, sources) if config.model in FINDERS else _glyphs_lesson(config, sources, fabric)
    task = lesson.task
    with _reporting(config, len(task), run if tensorboard else None, quiet=not fabric.is_global_zero) as report:
        progress = train_model(config, task, run, fabric, report, resume=resume)
    if fabric.is_global_zero:
        plot_curves(progress.history, run / "curves.png")
        lesson.conclude(run, progress)


@cli.command()
def export(run: Run, data_dir: DataDir = Path("data")) -> None:
    """Writes a finished run's model.onnx, and keeps it only if onnxruntime agrees with torch on every test digit."""
    config = load_config(run)
    _existing(run / "metrics.json")
    course = _load_course(config, _sources(config, data_dir))
    _export(run, config, course)


def _export(run: Path, config: TrainConfig, course: Course) -> None:
    """Calibrates a finished run's network on its course, and writes it as ONNX with its figures."""
    model, test = load_checkpoint(run / "model.pth", config.model), course.judged["mnist_test"]
    hard, photos = ask(model, course)
    calibration = calibrate(hard, photos)
    judged = {name: answer(model, split) for name, split in course.judged.items()}
    outliers = answer(model, course.outliers) if course.outliers else None
    write_json(run / "calibration.json", asdict(calibration) | figures(judged, outliers, calibration))
    plot_reliability(judged, calibration.temperature, run / "reliability.png")
    plot_risk_coverage(photos, calibration, run / "risk-coverage.png")
    difference = export_onnx(model, metadata(calibration), test.images, run / "model.onnx")
    edition = write_uint8(run / "model.onnx", test.images.numpy())
    console.print(
        f"{run / 'model.onnx'}: onnxruntime agrees with torch on {len(test):,} digits, logits within {difference:.1e}."
    )
    console.print(f"{edition}: takes glyphs as they are, answers in calibrated probabilities.")
    console.print("Look at its graph: pip install netron, then netron " + str(run / "model.onnx"))


@cli.command()
def publish(
    run: Run,
    finder: Annotated[
        Path | None, typer.Option(help="A finder's run; by default the run's own, or else the served version's finder.")
    ] = None,
    store: Store = Path("model_store"),
    candidates: Candidates = Path("candidates"),
    hands: HandSets = None,
    pictures: Pictures = None,
    force: Annotated[str | None, typer.Option(help="The candidate's name, to publish it whatever the gate says.")] = None,
    seeds: Annotated[
        list[Path] | None,
        typer.Option(help="A run of the same recipe, this one too, for the card's mean and spread."),
    ] = None,
    data_dir: DataDir = Path("data"),
) -> None:
    """Makes a finished and exported run a candidate, and a version if it reads better than the served one and nowhere worse."""
    config = load_config(run)
    sources = _sources(config, data_dir)
    validation = load_mnist(data_dir, smoke=config.smoke).validation
    own = Path(config.finder) if config.finder else None
    candidate = make_candidate(run, choose_finder(finder or own, store), store, candidates, validation, seeds or ())

    def samples() -> Iterator[Samples]:
        yield from _usual_samples(config, sources, validation, hands, pictures or ())

    _publish(candidate, decide(candidate, weigh(candidate, store, samples, console.print), force), store)


def _usual_samples(
    config: TrainConfig, sources: Sources, validation: Split, hands: Path | None, pictures: Sequence[Path]
) -> Iterator[Samples]:
    """The pictures that the gate asks about."""
    amount = SMOKE_AMOUNT if config.smoke else Amount()
    yield mnist_samples(validation, amount.mnist)
    yield from scene_samples(sources.hands("validation"), amount.scenes)
    if hands is not None:
        yield from hands_samples(hands, amount.hands)
    for folder in pictures:
        yield from own_samples(folder)


def _publish(candidate: Candidate, verdict: Verdict, store: Path) -> None:
    """Makes a candidate that passes a version, and says what became of it."""
    if verdict.passes:
        model = promote_candidate(candidate, store)
        console.print(f"Published {model.folder}: {verdict.reason}. Its card: {model.folder / CARD}")
        _tell_what_is_served(model)
    else:
        console.print(f"{candidate.folder} stays a candidate: {verdict.reason}. Its report: {candidate.folder / REPORT}")
        console.print(f"To publish it all the same: python -m training promote {candidate.folder}")


@cli.command()
def learn(
    corrections: Annotated[
        Path | None,
        typer.Option(
            help="The service's data folder, or an export of corrections; by default NUMERAL_DATABASE_URL, or --data-dir."
        ),
    ] = None,
    run: Annotated[Path | None, typer.Option(help="The run's folder; runs/learned-TIME by default.")] = None,
    store: Store = Path("model_store"),
    candidates: Candidates = Path("candidates"),
    hands: HandSets = None,
    pictures: Pictures = None,
    seed: Annotated[int, typer.Option(help="Of all that is random.", min=0)] = 0,
    data_dir: DataDir = Path("data"),
    smoke: Smoke = False,
) -> None:
    """Lets the served version learn from accepted corrections; publishes what reads held-out ones better and nothing worse."""
    lessons = to_lessons(load_corrections(corrections, Settings().model_copy(update={"data_dir": data_dir})))
    served = find_model(store, NAME, SERVED)
    finder = Finder.of_version(served)
    config = replace(CORRECTING, model=served.record.architecture, start=str(served.folder), seed=seed)
    if smoke:
        config = replace(config, epochs=1, batch_size=32, smoke=True)
    learned = sum(map(len, lessons.by_client.values()))
    console.print(
        f"{served.title} learns from {learned} glyphs of {len(lessons.by_client)} clients; {len(lessons.held)} are held out, "
        f"{lessons.contradictory} were set aside."
    )
    sources, validation = _sources(config, data_dir), load_mnist(data_dir, smoke=smoke).validation
    with _making("glyphs") as report:
        course = load_correcting_course(config, lessons, finder.weights, finder.record.architecture, sources, report)
    run = run or Path("runs") / f"learned-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    fabric = _fabric("cpu", 1, "32-true")
    task = Classifying(config, course, fabric.device)
    with _reporting(config, len(task), None, quiet=False) as report_step:
        progress = train_model(config, task, run, fabric, report_step, resume=False)
    _conclude(config, course, run, progress)
    _export(run, config, course)
    candidate = make_candidate(run, finder, store, candidates, validation, ())

    def samples() -> Iterator[Samples]:
        yield correction_samples(lessons.held)
        yield from _usual_samples(config, sources, validation, hands, pictures or ())

    _publish(candidate, weigh(candidate, store, samples, console.print, HELD_OUT), store)


@cli.command()
def strings(
    version: Annotated[str, typer.Argument(help="Version in the store.")],
    count: Annotated[int, typer.Option(help="Scenes to fit to.", min=100)] = 1500,
    store: Store = Path("model_store"),
    data_dir: DataDir = Path("data"),
) -> None:
    """Fits how a version weighs strings of digits, and notes it in its record; after it was promoted."""
    hands = Hands.load(data_dir, "validation", find_unipen(data_dir))
    stored = find_model(store, NAME, version)
    with _bar() as bar:
        task = bar.add_task("Scenes", total=count)
        weights = fit_version(stored, hands, count, lambda done, _: bar.update(task, completed=done))
    console.print(weights.model_dump_json(indent=2))


@cli.command()
def promote(
    folder: Annotated[Path, typer.Argument(help="A candidate.")],
    store: Store = Path("model_store"),
    replace: Annotated[bool, typer.Option("--replace", help="Puts it in the place of a version of its number.")] = False,
    data_dir: DataDir = Path("data"),
) -> None:
    """Makes a candidate a version, whatever the gate said; completes it first if it is of an earlier layout."""
    candidate = Candidate.open(folder)
    conform(candidate, lambda: load_mnist(data_dir, smoke=False).validation)
    model = promote_candidate(candidate, store, replace=replace)
    console.print(f"Published {model.folder}. Its card: {model.folder / CARD}")
    _tell_what_is_served(model)


@cli.command()
def renew(
    version: Annotated[str, typer.Argument(help="The version's number.")],
    store: Store = Path("model_store"),
    data_dir: DataDir = Path("data"),
) -> None:
    """Makes anew what follows from a version's two networks: editions, golden pictures, drift reference, record and card."""
    model = renew_version(store, version, load_mnist(data_dir, smoke=False).validation)
    console.print(f"{model.folder} is renewed: {len(model.record.sha256)} files.")


@cli.command()
def select(version: Annotated[str, typer.Argument(help="The version's number.")], store: Store = Path("model_store")) -> None:
    """Makes a version the one that is served from the next start on."""
    model = select_version(store, version)
    console.print(f"{model.title} is served from the next start on: {store / NAME / SERVED} names it.")


@cli.command()
def hub(
    version: Annotated[str, typer.Option(help="The version's number; by default the one that is served.")] = SERVED,
    output: Annotated[Path, typer.Option(help="Folder of the repository.")] = Path("dist/hub"),
    store: Store = Path("model_store"),
) -> None:
    """Writes a model repository for Hugging Face, ready to push, with a program that reads a picture."""
    model = find_model(store, NAME, version)
    files = write_hub(model, output, licence=Path("LICENSE"))
    console.print(f"{output}: {model.title}, {len(files)} files. Nothing was sent anywhere.")


def _tell_what_is_served(model: StoredModel) -> None:
    served, number = read_pointer(model.store, NAME), model.record.version
    if served == number:
        console.print(f"It is served from the next start on: {model.store / NAME / SERVED} names it.")
    else:
        console.print(f"Version {served} is served as before. To serve this one: python -m training select {number}")


@cli.command()
def report(runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs.")]) -> None:
    """Compares networks over seeds: mean ± standard deviation of what each run measured."""
    figures: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        config = load_config(run)
        extras = [name for name in ("augment", "glyphs", "outliers", "teachers") if getattr(config, name)]
        name = ", ".join([config.model, *extras])
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


@dataclass(frozen=True)
class Lesson:
    """A task, and what to do with the run once it has ended."""

    task: Task
    conclude: Callable[[Path, loop.Progress], None]


def _glyphs_lesson(config: TrainConfig, sources: Sources, fabric: Fabric) -> Lesson:
    course = _load_course(config, sources)
    return Lesson(Classifying(config, course, fabric.device), partial(_conclude, config, course))


def _scenes_lesson(config: TrainConfig, sources: Sources) -> Lesson:
    with _making("scenes") as report:
        training, validation, test = load_all_scenes(config, sources, report)
    return Lesson(
        Finding(config, training, validation), partial(_conclude_finder, config, {"validation": validation, "test": test})
    )


def _load_course(config: TrainConfig, sources: Sources) -> Course:
    with _making("glyphs") as report:
        if config.finder:
            return load_found_course(config, sources, report)
        if config.glyphs or config.outliers:
            raise RunError("What glyphs and outliers are cut by is not said: name the run of a finder by --finder.")
        return load_course(sources.data_dir, smoke=config.smoke)


@contextmanager
def _making(what: str) -> Generator[Callable[[int, int], None]]:
    """A bar that shows once there is something to make."""
    with _bar() as bar:
        task = bar.add_task(f"making {what}", total=None, visible=False)
        yield lambda done, of: bar.update(task, completed=done, total=of, visible=True)


def _sources(config: TrainConfig, data_dir: Path) -> Sources:
    unipen = None if config.smoke else find_unipen(data_dir)
    if config.scenes and unipen is None:
        console.print(f"Without UNIPEN fewer hands write in the scenes; `training data --unipen` adds it: {UNIPEN_SOURCE}.")
    return Sources(data_dir, unipen, config.smoke)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise RunError(f"{path} is missing: train the run to its end first.")
    return path


def _fabric(device: str, devices: int, precision: str) -> Fabric:
    if device not in ("cpu", "cuda"):
        raise typer.BadParameter(f"{device!r} is none of cpu, cuda", param_hint="--device")
    if device == "cuda" and torch.cuda.device_count() < devices:
        raise RunError(f"torch finds {torch.cuda.device_count()} CUDA devices here, not {devices}. --device cpu is slower.")
    strategy = "ddp" if devices > 1 else "auto"
    fabric = Fabric(accelerator=device, devices=devices, precision=precision, strategy=strategy)  # type: ignore[arg-type]
    fabric.launch()
    return fabric


def _bar(*columns: ProgressColumn) -> Progress:
    standard = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*standard, *columns, console=console, disable=not console.is_terminal)


@contextmanager
def _reporting(config: TrainConfig, digits: int, log: Path | None, *, quiet: bool) -> Generator[Report]:
    """A progress bar with the current figures on a terminal; elsewhere a plain line for each evaluation."""
    if quiet:
        yield lambda _step, _line: None
        return
    total = config.epochs * -(-digits // config.batch_size)
    with _bar(TextColumn("{task.fields[last]}")) as bar, _board(log) as board:
        task = bar.add_task(f"{config.model}, seed {config.seed}", total=total, last="")

        def report(step: int, line: Evaluation | None) -> None:
            bar.update(task, completed=step)
            if line is not None:
                bar.update(task, last=f"loss {line.train_loss:.3f}, validation {line.validation_accuracy:.2%}")
                console.print(f"{config.model} seed {config.seed}  {_describe(line)}", soft_wrap=True)
                board(line)

        yield report


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


def _conclude(config: TrainConfig, course: Course, run: Path, progress: loop.Progress) -> None:
    """The last look: metrics.json and the pictures, of the checkpoint that validation chose."""
    model = load_checkpoint(run / "model.pth", config.model)
    logits = {name: infer(model, split.images) for name, split in course.judged.items()}
    judged = {name: judge(logits[name], split.labels) for name, split in course.judged.items()}
    figures = {f"{name}_{key}": value for name, metrics in judged.items() for key, value in asdict(metrics).items()}
    write_json(run / "metrics.json", {**figures, **_counts(model, progress)})
    test = course.judged["mnist_test"]
    plot_confusion(confusion_matrix(logits["mnist_test"], test.labels), run / "confusion.png")
    plot_mistakes(test, logits["mnist_test"][:, :CLASSES], run / "mistakes.png")
    for name, metrics in judged.items():
        console.print(f"{run}: {name.replace('_', ' ')} {metrics.accuracy:.2%}, {metrics.errors} wrong", soft_wrap=True)


def _conclude_finder(config: TrainConfig, scenes: Mapping[str, SceneSet], run: Path, progress: loop.Progress) -> None:
    """The last look of a finder: metrics.json, by kind of scene."""
    model = load_checkpoint(run / "model.pth", config.model)
    kinds = {name: judge_by_kind(model, each) for name, each in scenes.items()}
    write_json(run / "metrics.json", {**kinds, **_counts(model, progress)})
    for name, groups in kinds.items():
        for kind, values in groups.items():
            shares = ", ".join(f"{key} {value:.2%}" for key, value in values.items() if key in SHARES)
            console.print(f"{run}: {name}, {kind}: {values['digits']:,} digits, {shares}, extra {values['extra']:.3f} a scene")


def _counts(model: nn.Module, progress: loop.Progress) -> dict[str, int]:
    history = progress.history
    counts = {"parameters": count_parameters(model), "evaluations": len(history)}
    return counts | {"best_step": history[progress.best].step, "last_step": history[-1].step}


def main() -> None:
    """Entry point of ``python -m training``: errors with a remedy end in their message, not in a traceback."""
    try:
        cli()
    except (TrainingError, StartupError, OSError) as error:
        typer.echo(f"training: {error}", err=True)
        raise SystemExit(1) from error
