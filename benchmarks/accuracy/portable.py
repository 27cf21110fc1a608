"""Whether the one portable graph reads made pictures as the service does, which computes the same by other means.

    python -m benchmarks.accuracy.portable

The pictures are the golden ones of the version and made scenes of hands that no training sees, with one digit, several or
none, in a few sizes. Each is read twice: by the service's code, from its pixels, and by digits_reader in onnxruntime. What
differs is listed.
"""

import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import process_time
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from app.errors import NoDigitFound
from app.reading.answer import Prediction
from app.reading.decode.picture import to_picture
from app.reading.infer.store import MODEL_STORE, SERVED, find_model
from app.reading.onnx_session import load_runtime
from app.reading.reader import Reader
from app.reading.requests import PictureRequest
from training.data.hands import Hands
from training.data.scenes import make_scene
from training.data.unipen import find_unipen

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Pixels = NDArray[np.uint8]

FIRST_SEED = 8_000_000  # scenes of other seeds than those that anything was trained on
SIDES = (192, 480, 960)  # pixels of the longer side that scenes are composed at, in turn
MOST = 64  # digits of a picture
SAME = 0.5  # intersection over union of two boxes from which on they are of one digit
TIMED = 60  # scenes that are read once more for the time
DOUBTS = {"low-confidence", "unlike-a-digit"}  # warnings of a digit that is not accepted


@dataclass(frozen=True)
class Digit:
    """A digit as it was read. box: left, top, width and height, in pixels of the picture."""

    digit: int
    accepted: bool
    box: tuple[float, float, float, float]

    def __str__(self) -> str:
        return f"{self.digit}{'' if self.accepted else '?'}"


Digits = Sequence[Digit]  # of one picture, the most prominent first


@dataclass(frozen=True)
class Pair:
    """What both read in one picture."""

    name: str
    service: Digits
    graph: Digits

    @property
    def agree(self) -> bool:
        """Whether the most prominent digit and its acceptance are the same, or neither finds one."""
        return _answer(self.service) == _answer(self.graph)

    @property
    def agree_on_all(self) -> bool:
        """Whether both find the same digits in the same places, with the same acceptance."""
        return len(self.service) == len(self.graph) and self.matched == len(self.service)

    @property
    def matched(self) -> int:
        """How many of the service's digits the graph reads alike."""
        return sum(any(_alike(ours, theirs) for theirs in self.graph) for ours in self.service)


def _answer(digits: Digits) -> tuple[int, bool] | None:
    return (digits[0].digit, digits[0].accepted) if digits else None


def _alike(one: Digit, other: Digit) -> bool:
    return (one.digit, one.accepted) == (other.digit, other.accepted) and overlap(one.box, other.box) >= SAME


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Intersection over union of two boxes."""
    width, height = (
        min(one[axis] + one[axis + 2], other[axis] + other[axis + 2]) - max(one[axis], other[axis]) for axis in (0, 1)
    )
    both = max(width, 0.0) * max(height, 0.0)
    return both / (one[2] * one[3] + other[2] * other[3] - both)


def open_graph(path: Path, threads: int = 1) -> "InferenceSession":
    """A session of the portable graph."""
    runtime = load_runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    return runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def read_by_graph(session: "InferenceSession", pixels: Pixels) -> Digits:
    """The digits of a picture (H, W, 3), by the graph."""
    names = ["boxes", "probabilities", "accepted", "count"]
    boxes, probabilities, accepted, count = map(np.asarray, session.run(names, {"picture": pixels}))
    return [
        Digit(int(probabilities[place].argmax()), bool(accepted[place]), tuple(boxes[place].tolist()))
        for place in range(int(count[0]))
    ]


def read_by_service(reader: Reader, pixels: Pixels) -> Digits:
    """The digits of a picture (H, W, 3), as the service reads it."""
    (outcome,) = reader.read_together([PictureRequest(lambda: to_picture(pixels), most=MOST)])
    if isinstance(outcome.result, NoDigitFound):
        return []
    if isinstance(outcome.result, Exception):
        raise outcome.result
    return [_digit(prediction) for prediction in outcome.result if isinstance(prediction, Prediction)]


def _digit(prediction: Prediction) -> Digit:
    box, doubts = prediction.box, {warning.code for warning in prediction.warnings}
    return Digit(prediction.digit, DOUBTS.isdisjoint(doubts), (box.x, box.y, box.width, box.height))


def made_pictures(hands: Hands, count: int) -> Iterator[tuple[str, Pixels]]:
    """So many scenes: each with its kind, size and seed as a name, and its pixels (H, W, 3)."""
    for number in range(count):
        scene = make_scene(FIRST_SEED + number, hands, side=SIDES[number % len(SIDES)])
        height, width = scene.pixels.shape[:2]
        yield f"{scene.kind} {width}×{height} {FIRST_SEED + number}", np.ascontiguousarray(scene.pixels)


def compare(reader: Reader, session: "InferenceSession", pictures: Iterable[tuple[str, Pixels]]) -> Iterator[Pair]:
    """Reads each picture both ways."""
    for name, pixels in pictures:
        yield Pair(name, read_by_service(reader, pixels), read_by_graph(session, pixels))


def write_report(pairs: Sequence[Pair], title: str) -> list[str]:
    """How far both agree, in Markdown, and where they do not."""
    same, all_same = sum(pair.agree for pair in pairs), sum(pair.agree_on_all for pair in pairs)
    digits, matched = sum(len(pair.service) for pair in pairs), sum(pair.matched for pair in pairs)
    return [
        f"## {title}",
        "",
        "| | agree | of | share |",
        "|---|---|---|---|",
        _row("the most prominent digit: digit and acceptance, or none", same, len(pairs)),
        _row("all digits of the picture: number, place, digit and acceptance", all_same, len(pairs)),
        _row("digits that the service finds: place, digit and acceptance", matched, digits),
        "",
        *(f"- {pair.name}: service {_told(pair.service)}, graph {_told(pair.graph)}" for pair in pairs if not pair.agree),
    ]


def _row(what: str, same: int, of: int) -> str:
    return f"| {what} | {same} | {of} | {same / of if of else 1:.2%} |"


def _told(digits: Digits) -> str:
    return " ".join(map(str, digits)) or "none"


def time_graph(session: "InferenceSession", pictures: Sequence[Pixels], turns: int) -> float:
    """Milliseconds of CPU time of a reading, the median over the pictures and so many turns."""
    times = []
    for _ in range(turns):
        for pixels in pictures:
            began = process_time()
            session.run(None, {"picture": pixels})
            times.append(1000 * (process_time() - began))
    return median(times)


def run(
    count: Annotated[int, typer.Option(help="Made scenes.", min=1)] = 1000,
    version: Annotated[str, typer.Option(help="Version of the model; the served one by default.")] = SERVED,
    data_dir: Annotated[Path, typer.Option(help="Folder of the data sets.", envvar="NUMERAL_DATA_DIR")] = Path("data"),
    store: Annotated[Path, typer.Option(help="The model store.")] = MODEL_STORE,
) -> None:
    """Prints how far the graph and the service agree, and how long the graph takes."""
    progress, console = Console(stderr=True), Console(highlight=False, soft_wrap=True, markup=False)
    stored = find_model(store, "digits", version)
    reader = Reader.load(store, version=stored.record.version, provider="cpu")
    session, golden = open_graph(stored.path("reader")), stored.read_golden().pictures
    hands = Hands.load(data_dir, "test", find_unipen(data_dir))
    known = list(compare(reader, session, ((f"golden picture {number}", each) for number, each in enumerate(golden))))
    scenes = track(made_pictures(hands, count), "Reading made scenes", count, console=progress)
    made = list(compare(reader, session, scenes))
    size, spent = (
        stored.path("reader").stat().st_size,
        time_graph(session, [each for _, each in made_pictures(hands, TIMED)], 3),
    )
    for title, pairs in ((f"{len(known)} golden pictures", known), (f"{count} made scenes", made)):
        console.print("\n".join([*write_report(pairs, title), ""]))
    console.print(f"{stored.title}: {size / 1e6:.2f} MB; {spent:.1f} ms of one CPU for a scene, {platform.machine()}.")


if __name__ == "__main__":
    typer.run(run)
