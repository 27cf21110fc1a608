"""``publish`` and ``learn``: a run becomes a candidate, and a version if it reads better than the served one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from app.reading.infer.store import SERVED, find_model
from app.settings import Settings
from training.cli.common import Candidates, DataDir, Force, HandSets, Pictures, Run, Smoke, Store, console
from training.cli.runs import export_run, find_sources, making, open_fabric, reporting, write_results
from training.cli.versions import tell_what_is_served
from training.data.corrections import CorrectionData, load_corrections, to_lessons
from training.data.mnist import Split
from training.data.run_data import load_mnist
from training.errors import RunError
from training.learning.checkpoints import load_config, load_finished
from training.learning.classifier_task import ClassifierTask
from training.learning.config import TrainConfig
from training.learning.loop import train as train_model
from training.learning.recipes import CORRECTING
from training.learning.sources import Sources, load_correcting_data
from training.publishing.candidate import Candidate, choose_finder, decide, make_candidate, weigh
from training.publishing.candidate import promote as promote_candidate
from training.publishing.gate import Samples, Verdict
from training.publishing.publish import CARD, NAME, REPORT, Finder
from training.publishing.readers import (
    HELD_OUT,
    Amount,
    OwnPictures,
    check_hands,
    correction_samples,
    hands_samples,
    mnist_samples,
    open_own,
    own_samples,
    row_samples,
    scene_samples,
)
from training.publishing.readers import SMOKE as SMOKE_AMOUNT

Corrections = Annotated[
    Path | None,
    typer.Option(
        help="The service's data folder, or an export of corrections; by default NUMERAL_DATABASE_URL, or --data-dir."
    ),
]


def publish(
    run: Run,
    finder: Annotated[
        Path | None, typer.Option(help="A finder's run; by default the run's own, or else the served version's finder.")
    ] = None,
    store: Store = Path("model_store"),
    candidates: Candidates = Path("candidates"),
    hands: HandSets = None,
    pictures: Pictures = None,
    force: Force = None,
    seeds: Annotated[
        list[Path] | None,
        typer.Option(help="A run of the same recipe, this one too, for the card's mean and spread."),
    ] = None,
    corrections: Corrections = None,
    data_dir: DataDir = Path("data"),
) -> None:
    """Makes a finished and exported run a candidate, and a version if it reads better than the served one and nowhere worse.

    A run that learned from --corrections has to be better on those that were held out, as after `learn`.
    """
    config, given = load_finished(run, "classifier"), open_comparison_pictures(hands, pictures or ())
    if corrections and not config.corrections:
        raise RunError(f"{run} learned from no corrections; leave --corrections out.")
    for each in seeds or ():
        load_finished(each, "classifier")
    lessons = find_lessons(run, config, corrections, data_dir) if config.corrections else None
    sources = find_sources(config, data_dir)
    validation = load_mnist(data_dir, smoke=config.smoke).validation
    own = Path(config.finder) if config.finder else None
    candidate = make_candidate(run, choose_finder(finder or own, store), store, candidates, validation, seeds or ())

    def samples() -> Iterator[Samples]:
        if lessons:
            yield correction_samples(lessons.held)
        yield from _usual_samples(config, sources, validation, given)

    wanted = HELD_OUT if lessons else None
    _publish(candidate, decide(candidate, weigh(candidate, store, samples, console.print, wanted), force), store)


def learn(
    corrections: Corrections = None,
    run: Annotated[Path | None, typer.Option(help="The run's folder; runs/learned-TIME by default.")] = None,
    store: Store = Path("model_store"),
    candidates: Candidates = Path("candidates"),
    hands: HandSets = None,
    pictures: Pictures = None,
    seed: Annotated[int, typer.Option(help="Of all that is random.", min=0)] = 0,
    force: Force = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was interrupted.")] = False,
    data_dir: DataDir = Path("data"),
    smoke: Smoke = False,
) -> None:
    """Lets the served version learn from accepted corrections.

    Publishes what reads held-out ones better, by more than chance, and nothing significantly worse.
    """
    if resume and run is None:
        raise RunError("Say which run to go on with, by --run.")
    given = open_comparison_pictures(hands, pictures or ())
    lessons = load_lessons(corrections, data_dir)
    served = find_model(store, NAME, SERVED)
    served.verify()
    finder, folder = Finder.of_version(served), str(served.folder)
    config = replace(
        CORRECTING,
        model=served.record.architecture,
        start=folder,
        finder=folder,
        seed=seed,
        corrections=lessons.digest,
    )
    if smoke:
        config = replace(config, epochs=1, batch_size=32, smoke=True)
    run = run or Path("runs") / f"learned-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    if resume and load_config(run) != config:
        raise RunError(
            f"{run} was begun with other corrections, flags, or another served version. Learn anew, without --resume."
        )
    learned = sum(map(len, lessons.by_client.values()))
    console.print(
        f"{served.title} learns from {learned} glyphs of {len(lessons.by_client)} clients; {len(lessons.held)} are held out, "
        f"{lessons.contradictory} were set aside."
    )
    sources, validation = find_sources(config, data_dir), load_mnist(data_dir, smoke=smoke).validation
    with making("glyphs") as report:
        data = load_correcting_data(config, lessons, sources, report)
    fabric = open_fabric("cpu", 1, "32-true")
    task = ClassifierTask(config, data, fabric.device)
    with reporting(config, len(task), None, quiet=False) as report_step:
        progress = train_model(config, task, run, fabric, report_step, resume=resume)
    write_results(config, data, fabric.device, run, progress)
    export_run(run, config, data)
    candidate = make_candidate(run, finder, store, candidates, validation, ())

    def samples() -> Iterator[Samples]:
        yield correction_samples(lessons.held)
        yield from _usual_samples(config, sources, validation, given)

    _publish(candidate, decide(candidate, weigh(candidate, store, samples, console.print, HELD_OUT), force), store)


def load_lessons(corrections: Path | None, data_dir: Path) -> CorrectionData:
    """The accepted corrections of a folder, of NUMERAL_DATABASE_URL, or of data_dir.

    Raises:
        DataError: as load_corrections and to_lessons.
    """
    return to_lessons(load_corrections(corrections, Settings().model_copy(update={"data_dir": data_dir})))


def find_lessons(run: Path, config: TrainConfig, corrections: Path | None, data_dir: Path) -> CorrectionData:
    """The corrections that a run has learned from, with those that were held out.

    Raises:
        DataError: as load_lessons.
        RunError: they are no longer the same.
    """
    lessons = load_lessons(corrections, data_dir)
    if lessons.digest != config.corrections:
        raise RunError(
            f"These are not the corrections that {run} learned from. Name their export by --corrections, or learn anew."
        )
    return lessons


@dataclass(frozen=True)
class ComparisonPictures:
    """What somebody gives the gate to compare by. hands: a folder of sets, or None."""

    hands: Path | None
    pictures: Sequence[OwnPictures]


def open_comparison_pictures(hands: Path | None, pictures: Sequence[Path]) -> ComparisonPictures:
    """Looks at what is given before anything is trained.

    Raises:
        DataError: as check_hands and open_own.
        LabelsError: as open_own.
    """
    if hands is not None:
        check_hands(hands)
    return ComparisonPictures(hands, [open_own(folder, console.print) for folder in pictures])


def _usual_samples(config: TrainConfig, sources: Sources, validation: Split, given: ComparisonPictures) -> Iterator[Samples]:
    """The pictures that the gate asks about."""
    amount = SMOKE_AMOUNT if config.smoke else Amount()
    hands = sources.hands("validation")
    yield mnist_samples(validation, amount.mnist)
    yield from scene_samples(hands, amount.scenes)
    yield row_samples(hands, amount.rows)
    if given.hands is not None:
        yield from hands_samples(given.hands, amount.hands)
    for own in given.pictures:
        yield from own_samples(own, console.print)


def _publish(candidate: Candidate, verdict: Verdict, store: Path) -> None:
    """Makes a candidate that passes a version, and says what became of it."""
    if verdict.passes:
        model = promote_candidate(candidate, store)
        console.print(f"Published {model.folder}: {verdict.reason}. Its card: {model.folder / CARD}")
        tell_what_is_served(model)
    else:
        console.print(f"{candidate.folder} stays a candidate: {verdict.reason}. Its report: {candidate.folder / REPORT}")
        console.print(f"To publish it all the same: python -m training promote {candidate.folder}")
