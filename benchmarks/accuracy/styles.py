"""How digits by pen are read, by who collected them, by style and by size, each on made paper and on a made canvas.

In scenes as hard as those of training, in easier ones, or as they were written, each alone on a plain sheet. It needs UNIPEN's
strokes in the data folder (``python -m training data --unipen``). A split's writers are in no other.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from app.reading.decode.limits import DefaultLimits
from app.reading.decode.picture import InProcessDecoder
from app.reading.infer.store import SERVED, find_model
from benchmarks.accuracy.factors import CLEAN
from training.data.compose import EASY
from training.data.hands import Hands, Penmen, Written
from training.data.made_photos import draw_chance, from_strokes, take
from training.data.scenes import Scene, make_scene
from training.data.styles import style_of
from training.data.unipen import find_unipen
from training.learning.checkpoints import load_checkpoint, load_config
from training.publishing.calibrate import load_calibration
from training.publishing.gate import Read
from training.publishing.publish import NAME
from training.publishing.readers import by_networks, by_service

KINDS = ("photo", "canvas")
BATCH = 32
DISTURBANCES = frozenset({"lights", "neighbours", "signs"})  # groups that hide digits, or put others next to them
FIRST_SEED = 9_000_000  # scenes of other seeds than those that anything was trained on
SHEETS = {"photo": CLEAN, "canvas": replace(CLEAN, canvas=True)}
LIMITS = DefaultLimits()
SIZES = {0.0: "under 8 %", 0.08: "8 to 16 %", 0.16: "16 to 33 %", 0.33: "33 % or more"}  # of the picture's longer side

Counts = Mapping[str, Counter[bool]]  # by name, how many were read rightly and how many not


def write_all(hands: Hands, most: int, without: frozenset[str], easy: float = EASY) -> Iterator[tuple[Written, Scene]]:
    """Each digit of UNIPEN's writers, at most so many, in a scene of each kind.

    without: groups of effects that are left out; easy: the share of scenes with few of the others.
    """
    for number, written in enumerate(islice(_digits_by_pen(hands), most)):
        for place, kind in enumerate(KINDS):
            seed = FIRST_SEED + number * len(KINDS) + place
            scene = make_scene(seed, hands.writing(written), frozenset({kind}), without, easy=easy)
            if scene.digits:
                yield written, scene


def write_plainly(hands: Hands, most: int) -> Iterator[tuple[Written, Scene]]:
    """Each digit of UNIPEN's writers, at most so many, as it was written, in the middle of plain paper and of a canvas."""
    decoder = InProcessDecoder(LIMITS)
    for number, written in enumerate(islice(_digits_by_pen(hands), most)):
        digit = from_strokes([stroke.astype(np.float64) for stroke in written.strokes], written.label)
        for kind, sheet in SHEETS.items():
            pixels = decoder.decode(take(digit, sheet, draw_chance(np.random.default_rng(number)))).pixels
            yield written, Scene(pixels, pixels[..., 0], (), (), kind)


def _digits_by_pen(hands: Hands) -> Iterator[Written]:
    writers = hands.sources["unipen"]
    if not isinstance(writers, Penmen):
        raise typer.BadParameter("UNIPEN's digits are not there: python -m training data --unipen")
    return writers.every()


def count_right(read: Read, written: Iterator[tuple[Written, Scene]]) -> Counts:
    """What is read rightly: of all, by kind of scene, by who collected it, by style, and by the digit's longer side."""
    counts: dict[str, Counter[bool]] = defaultdict(Counter)
    while batch := list(islice(written, BATCH)):
        answers, _ = read([scene.pixels for _, scene in batch])
        for (digit, scene), answer in zip(batch, answers.tolist(), strict=True):
            for name in names_of(digit, scene):
                counts[name][answer == digit.label] += 1
    return counts


def names_of(digit: Written, scene: Scene) -> list[str]:
    """What a digit counts into."""
    style = style_of(digit.label, digit.strokes)
    names = ["all", f"kind: {scene.kind}", f"source: {digit.provider}"]
    return [*names, *([f"side: {_size_of(scene)}"] if scene.digits else []), *([f"style: {style}"] if style else [])]


def _size_of(scene: Scene) -> str:
    """How long a scene's digit is next to the picture."""
    share = max(scene.digits[0].box[2:]) / max(scene.pixels.shape[:2])
    return SIZES[max(least for least in SIZES if least <= share)]


def write_table(counts: Counts) -> Sequence[str]:
    """The figures in Markdown."""
    lines = ["| digits | read rightly | of |", "|---|---|---|"]
    for name, count in sorted(counts.items()):
        lines.append(f"| {name} | {count[True] / count.total():.2%} | {count.total():,} |")
    return lines


def run(  # noqa: PLR0913, PLR0917
    finder: Annotated[Path | None, typer.Option(help="A finished run of a finder.")] = None,
    classifier: Annotated[Path | None, typer.Option(help="A finished and exported run of a classifier.")] = None,
    store: Annotated[Path, typer.Option(help="The model store, whose served version reads where no runs are given.")] = Path(
        "model_store"
    ),
    split: Annotated[str, typer.Option(help="Whose digits: validation or test.")] = "validation",
    most: Annotated[int, typer.Option(help="Digits.")] = 100_000,
    disturbed: Annotated[bool, typer.Option(help="Also with shadows, neighbours and signs, as in training.")] = False,
    easy: Annotated[bool, typer.Option("--easy", help="On paper and canvases with few disturbances, as most are.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="As they were written, alone on plain paper and canvases.")] = False,
    data_dir: Annotated[Path, typer.Option(help="Folder of the data sets.", envvar="NUMERAL_DATA_DIR")] = Path("data"),
) -> None:
    """Reads every digit of a split's writers, and prints a table."""
    torch.set_num_threads(1)
    hands = Hands.load(data_dir, split, find_unipen(data_dir))
    if finder is None or classifier is None:
        read = by_service(find_model(store, NAME, SERVED))
    else:
        networks = [load_checkpoint(each / "model.pth", load_config(each).model) for each in (finder, classifier)]
        read = by_networks(networks[0], networks[1], load_calibration(classifier))
    without = frozenset() if disturbed else DISTURBANCES
    written = write_plainly(hands, most) if plain else write_all(hands, most, without, 1.0 if easy else EASY)
    counts = count_right(read, written)
    print("\n".join(write_table(counts)))  # noqa: T201


if __name__ == "__main__":
    typer.run(run)
