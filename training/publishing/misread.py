"""Draws made numbers that a version misreads, for its card: what it cannot do is easier to see than to read about."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from matplotlib.figure import Figure

from app.errors import NoDigitFound
from app.reading.answer import Reading
from app.reading.infer.store import StoredModel
from app.reading.model import DigitModel
from app.reading.reader import Reader
from training.data.compose import Scene
from training.data.dice import Pixels
from training.data.hands import Hands
from training.publishing.card import MISREAD
from training.publishing.plots import save
from training.publishing.strings import in_order, make_scenes

SCENES = 200  # that are read
COLUMNS, ROWS = 3, 5
SMALLEST = 2  # digits of a number; a single one belongs to other figures


@dataclass(frozen=True)
class Misread:
    """A picture with what stands in it, what was read, and how sure that was."""

    pixels: Pixels
    written: str
    read: str
    confidence: float


def show_misread(stored: StoredModel, data_dir: Path, report: Callable[[int], None]) -> None:
    """Draws a version's sheet into its folder. report: scenes so far.

    UNIPEN's writers are left out, since their strokes are not published.

    Raises:
        DataError: as Hands.load.
    """
    hands = Hands.load(data_dir, "validation", None)

    def scenes() -> Iterator[Scene]:
        for done, scene in enumerate(make_scenes(hands, SCENES), start=1):
            yield scene
            report(done)

    draw_misread(find_misread(Reader(DigitModel.load(stored, "cpu", 1)), scenes()), stored.folder / MISREAD)


def find_misread(reader: Reader, scenes: Iterable[Scene]) -> list[Misread]:
    """The numbers that are misread, those first of which the reader is surest."""
    found = []
    for scene in scenes:
        written = "".join(map(str, in_order(scene)[0]))
        if len(written) >= SMALLEST:
            reading = _read(reader, scene)
            read, confidence = (reading.text.replace("\n", ""), reading.confidence) if reading else ("nothing", 0.0)
            if read != written:
                found.append(Misread(scene.pixels, written, read, confidence))
    return sorted(found, key=lambda each: -each.confidence)


def _read(reader: Reader, scene: Scene) -> Reading | None:
    try:
        return reader.read_number(scene.pixels)
    except NoDigitFound:
        return None


def draw_misread(misread: Iterable[Misread], path: Path) -> None:
    """The first of them as a sheet, each with what stands in it and what was read."""
    figure = Figure(figsize=(COLUMNS * 3.2, ROWS * 1.5), layout="constrained")
    for place, each in enumerate(islice(misread, COLUMNS * ROWS), start=1):
        axes = figure.add_subplot(ROWS, COLUMNS, place)
        axes.imshow(each.pixels)
        axes.set(xticks=[], yticks=[])
        axes.set_title(f"{_shortened(each.written)} → {_shortened(each.read)}  ({each.confidence:.0%})", fontsize=8)
    save(figure, path)


def _shortened(text: str, most: int = 14) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
