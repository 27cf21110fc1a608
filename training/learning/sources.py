"""What a config learns from: scenes for a finder; for a classifier MNIST, and the glyphs that its finder cuts from scenes."""

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

from app.reading.infer.store import RECORD, read_record
from training.data.corrections import CorrectionData
from training.data.dice import GROUPS, Floats, Pixels
from training.data.found_glyphs import Find, Glyphs, load_found
from training.data.hands import Hands
from training.data.mnist import Digits, Split, join
from training.data.run_data import RunData, load_mnist
from training.data.scenes import INPUT, SceneSet, load_scenes
from training.errors import RunError
from training.learning.checkpoints import FINDER_WEIGHTS, load_checkpoint, load_finished
from training.learning.config import TrainConfig
from training.learning.reading import Reading

Report = Callable[[int, int], None]  # made so far, of how many

VALIDATION_SCENES, TEST_SCENES = 3_000, 3_000
VALIDATION_FOUND, TEST_FOUND = 1_500, 1_000  # scenes that glyphs for validation and test are cut from
SMOKE_SCENES = 24
USUAL = 12_000  # of MNIST's digits in an epoch that corrections are learned in
CORRECTIONS = 0.3  # times as many corrections at most
EAGER = 0.3  # score from which on a finder's digit is learned from, sure or not: the classifier is there to judge it
CUTTING = (  # modules on which the glyphs depend that a finder cuts
    *(f"app.reading.find.{name}" for name in ("detect", "glyph", "steps", "window")),
    *(f"training.learning.{name}" for name in ("detections", "finder", "reader_module", "reading", "windows")),
)


@dataclass(frozen=True)
class Sources:
    """Where data lie. unipen: the collection's folder, or None to do without; smoke: a few of everything, no network."""

    data_dir: Path
    unipen: Path | None = None
    smoke: bool = False

    def scenes(self, split: str, count: int, report: Report, *, without: Sequence[str] = (), side: int = INPUT) -> SceneSet:
        """Scenes of a split, without the groups and the hands that are named. side: pixels that the finder is shown.

        Raises:
            DataError: as load_scenes.
        """
        return load_scenes(
            self.data_dir,
            split,
            SMOKE_SCENES if self.smoke else count,
            unipen=None if "unipen" in without else self.unipen,
            with_fonts=not self.smoke and "fonts" not in without,
            with_uci=not self.smoke and "uci" not in without,
            verify=not self.smoke,
            without=frozenset(without) & frozenset(GROUPS),
            input_side=side,
            report=report,
        )

    def hands(self, split: str) -> Hands:
        """Who writes in the scenes of a split.

        Raises:
            DataError: as Hands.load.
        """
        rest = not self.smoke
        return Hands.load(self.data_dir, split, self.unipen, with_fonts=rest, with_uci=rest, verify=rest)


@dataclass(frozen=True)
class SavedFinder:
    """A finder's weights, and what network they are of."""

    weights: Path
    architecture: str


def load_judged_scenes(sources: Sources, report: Report) -> dict[str, SceneSet]:
    """Scenes to validate by and to test with, by split; nothing is left out of them.

    Raises:
        DataError: as Sources.scenes.
    """
    counts = {"validation": VALIDATION_SCENES, "test": TEST_SCENES}
    return {split: sources.scenes(split, count, report) for split, count in counts.items()}


def load_found_data(config: TrainConfig, sources: Sources, report: Report, *, learn: bool = True) -> RunData:
    """MNIST, and glyphs of digits and of what is not a digit that the config's finder cuts from scenes.

    learn: whether to load what is learned from, too, or only what a run is judged by.

    Raises:
        DataError: as load_mnist and Sources.hands.
        RunError: as open_finder.
    """
    mnist = load_mnist(sources.data_dir, smoke=sources.smoke)
    counts = {"train": config.scenes} if learn else {}
    found = _load_found(open_finder(Path(config.finder)), counts | _judged_scenes(config), sources, report)
    if not learn:
        return _to_run_data((), mnist, found)
    shares = ((mnist.train, 1.0), (found["train"].digits, config.glyphs), (found["train"].others, config.outliers))
    parts = tuple((split, round(share * len(mnist.train))) for split, share in shares if share and len(split))
    return _to_run_data(parts, mnist, found)


def load_correcting_data(config: TrainConfig, lessons: CorrectionData, sources: Sources, report: Report) -> RunData:
    """Corrections among glyphs as always, so that nothing is forgotten: MNIST's, and those that the config's finder cuts.

    Raises:
        DataError: as load_mnist and Sources.hands.
        RunError: as open_finder.
    """
    mnist = load_mnist(sources.data_dir, smoke=sources.smoke)
    counts = {"train": config.scenes, **_judged_scenes(config)}
    found = _load_found(open_finder(Path(config.finder)), counts, sources, report)
    usual = min(USUAL, len(mnist.train))
    shares = (
        (mnist.train, 1.0),
        (found["train"].digits, config.glyphs),
        (found["train"].others, config.outliers),
    )
    parts = [(split, round(share * usual)) for split, share in shares if share and len(split)]
    said = lessons.weights(round(CORRECTIONS * usual))
    parts += [(split, said[client]) for client, split in lessons.by_client.items() if said[client]]
    return _to_run_data(tuple(parts), mnist, found)


def _judged_scenes(config: TrainConfig) -> dict[str, int]:
    """How many scenes a config's glyphs for validation and test are cut from: fewer where few are learned with corrections."""
    if config.corrections:
        return {"validation": config.scenes // 4, "test": config.scenes // 8}
    return {"validation": VALIDATION_FOUND, "test": TEST_FOUND}


def _load_found(finder: SavedFinder, counts: Mapping[str, int], sources: Sources, report: Report) -> dict[str, Glyphs]:
    """The glyphs that a finder cuts from so many scenes of each split."""
    code = b"".join(inspect.getsource(import_module(name)).encode() for name in CUTTING)
    reader = hashlib.sha256(finder.weights.read_bytes() + code).hexdigest()
    found: dict[str, Glyphs] = {}
    for split, count in counts.items():
        scenes, mark = SMOKE_SCENES if sources.smoke else count, f"{reader} {EAGER} {sources.hands(split).digest()}"
        found[split] = load_found(sources.data_dir, split, scenes, partial(load_reader, sources, finder, split), mark, report)
    return found


def _to_run_data(parts: tuple[tuple[Split, int], ...], mnist: Digits, found: Mapping[str, Glyphs]) -> RunData:
    return RunData(
        parts,
        join(mnist.validation, found["validation"].digits),
        {
            "mnist_validation": mnist.validation,
            "mnist_test": mnist.test,
            **{f"found_{split}": found[split].digits for split in ("validation", "test") if len(found[split].digits)},
        },
        found["validation"].others if len(found["validation"].others) else None,
    )


def open_finder(folder: Path) -> SavedFinder:
    """The finder of a finished run, or of a version in a store, whose folder is that of its record.

    Raises:
        RunError: the folder is neither, the run has not ended or is not a finder's, or the version has no checkpoint of one.
        StartupError: the version's record cannot be read.
    """
    if not (folder / RECORD).is_file():
        return SavedFinder(folder / "model.pth", load_finished(folder, "finder").model)
    record = read_record(folder)
    weights = (folder.parent.parent / record.edition("finder")).with_name(FINDER_WEIGHTS)
    if record.finder is None or not weights.is_file():
        raise RunError(f"{record.name}/{record.version} has no checkpoint of its finder; name a finder's run by --finder.")
    return SavedFinder(weights, record.finder.architecture)


def load_reader(sources: Sources, finder: SavedFinder, split: str) -> tuple[Hands, Find]:
    """The hands of a split, and a finder as a callable for training.data."""
    reading = Reading(load_checkpoint(finder.weights, finder.architecture), least=EAGER)

    def find(pictures: Sequence[Pixels], asked: Sequence[Floats]) -> list[tuple[Floats, Pixels]]:
        return [(found.boxes, found.glyphs) for found in reading.find(pictures, asked)]

    return sources.hands(split), find
