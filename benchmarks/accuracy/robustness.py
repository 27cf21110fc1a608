"""Measures how well made photos are read as one factor after another gets worse: ``make robustness``.

The digits are MNIST's test digits and pen strokes of held-out writers. Made scenes by hands that no training sees come besides.
The suite only reports: do not choose or tune anything on it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, NamedTuple

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from app.errors import NoDigitFound
from app.reading.reader import Reader
from app.reading.trace import Trace
from app.runtime.loading import load_reader
from app.settings import Settings
from benchmarks.accuracy.factors import CLEAN, FACTORS, SEVERITIES, Factor, scenes
from benchmarks.accuracy.other_readers import OtherReader, look_with, reading_in
from benchmarks.accuracy.result_counts import TWO_SIDED, Difference, Outcome, Tally
from benchmarks.accuracy.robustness_plots import draw_plot, draw_samples
from training.data.hands import Hands
from training.data.made_photos import OWN_PEN, Chance, Scene, WrittenDigit, draw_chance, from_mnist, from_strokes, take
from training.data.mnist import CLASSES, load_digits
from training.data.pen_strokes import FILE, load_strokes, split_writers
from training.data.scenes import make_scene
from training.data.unipen import find_unipen
from training.errors import TrainingError

DOCS = Path(__file__).parents[2] / "docs"

MNIST, STROKES = "MNIST", "strokes"  # the two sources
HARDEST_NAMED = 5  # factors in the report's list
KINDS = ("photo", "canvas", "tight", "glyph")  # of scenes of one digit
SCENE_SIDE = 384  # pixels of the longer side that scenes are composed at
FIRST_SEED = 7_000_000  # scenes of other seeds than those that anything was trained on

Digits = dict[str, list[WrittenDigit]]  # by source
Tallies = tuple[Tally, ...]  # the reader's, and those of the others


class Case(NamedTuple):
    """What a picture shows: a factor, "" for none, at a severity; and which digit of its source."""

    factor: str
    source: str
    severity: int
    digit: int


class Result(NamedTuple):
    """What came of a picture."""

    case: Case
    tallies: Tallies


def load_written(data_dir: Path, count: int, seed: int) -> Digits:
    """``count`` digits a source, of all ten labels alike: MNIST's test digits, and pen strokes where their file is there.

    Raises:
        DataError: as load_digits and load_strokes.
    """
    test = load_digits(data_dir).test
    images, labels = test.images.numpy(), test.labels.numpy()
    digits = {MNIST: [from_mnist(images[i], int(labels[i])) for i in choose(labels, count, seed)]}
    if (data_dir / "strokes" / FILE).is_file():
        *_, held_back = split_writers(load_strokes(data_dir))
        index = choose(np.array([digit.label for digit in held_back]), count, seed)
        digits[STROKES] = [from_strokes(held_back[i].strokes, held_back[i].label) for i in index]
    return digits


def choose(labels: NDArray[np.integer], count: int, seed: int) -> list[int]:
    """``count`` indices at random, the labels in turn, so that each comes as often as any other, give or take one."""
    order = np.random.default_rng(seed).permutation(len(labels))
    by_label = [order[labels[order] == label] for label in range(CLASSES)]
    turns = [int(members[turn]) for turn in range(-(-count // CLASSES)) for members in by_label if turn < len(members)]
    return turns[:count]


def measure(reader: Reader, digits: Digits, seed: int, others: Sequence[OtherReader] = ()) -> Iterator[Result]:
    """Reads every digit in every scene, and what came of it: no factor and severity 0 for the clean photo.

    others: other ways to read the same picture.
    """
    for source, written in digits.items():
        for index, digit in enumerate(written):
            chance = draw_chance(np.random.default_rng((seed, index)))
            yield Result(Case("", source, 0, index), judge(reader, digit, CLEAN, chance, others))
            for factor, severity, level in scenes():
                yield Result(Case(factor, source, severity, index), judge(reader, digit, level.scene, chance, others))


def measure_scenes(reader: Reader, hands: Hands, count: int, others: Sequence[OtherReader] = ()) -> Iterator[Result]:
    """Reads so many scenes of each of KINDS that show one digit; what a hand wrote and how it was taken, chance decides."""
    for place, kind in enumerate(KINDS):
        found, seed = 0, FIRST_SEED + place
        while found < count:
            scene = make_scene(seed, hands, frozenset({kind}), side=SCENE_SIDE)
            seed += len(KINDS)
            if len(scene.digits) == 1:
                data = cv2.imencode(".png", scene.pixels[..., ::-1])[1].tobytes()
                yield Result(Case(kind, "scenes", 0, found), ask(reader, data, scene.digits[0].label, others))
                found += 1


def judge(reader: Reader, digit: WrittenDigit, scene: Scene, chance: Chance, others: Sequence[OtherReader] = ()) -> Tallies:
    """One digit in one scene, read as the service reads it; then by the others."""
    return ask(reader, take(digit, scene, chance), digit.label, others)


def ask(reader: Reader, data: bytes, label: int, others: Sequence[OtherReader] = ()) -> Tallies:
    """One picture, read as the service reads it; then by the others."""
    trace = Trace()
    try:
        answer: int | None = reader.read(data, trace=trace).digit
    except NoDigitFound:
        answer = None
    return tuple(_tally(each, label) for each in (answer, *(other(data, trace) for other in others)))


def _tally(answer: int | None, label: int) -> Tally:
    return Tally(right=int(answer == label), refused=int(answer is None), of=1)


def add_up(results: Iterable[Result]) -> Outcome:
    """All of measure's results together, as far as the reader is concerned."""
    sums: dict[tuple[str, str, int], Tally] = {}
    for case, tallies in results:
        key = case.factor, case.source, case.severity
        sums[key] = sums.get(key, Tally()) + tallies[0]
    sources = [source for factor, source, _ in sums if not factor]
    return Outcome(
        {source: sums["", source, 0] for source in sources},
        {
            name: {source: tuple(sums[name, source, severity] for severity in SEVERITIES) for source in sources}
            for name in FACTORS
        },
    )


def compare(results: Iterable[Result], other: int) -> dict[str, Difference]:
    """The reader next to one of the others, 1 for the first, over all sources and severities of each factor."""
    pairs: dict[str, dict[tuple[str, int], list[tuple[int, int]]]] = {}
    for case, tallies in results:
        by_digit = pairs.setdefault(case.factor, {})
        by_digit.setdefault((case.source, case.digit), []).append((tallies[0].right, tallies[other].right))
    return {factor: Difference.of(list(by_digit.values())) for factor, by_digit in pairs.items()}


def write_report(outcome: Outcome, model: str, count: int, seed: int, compared: Iterable[str] = ()) -> str:
    """docs/robustness.md; compared: what comparisons say, in Markdown."""
    sources = list(outcome.clean)
    hardest, *others = outcome.hardest_first()
    misread = outcome.most_misread()
    lines = [
        "# Robustness on made photos",
        "",
        INTRODUCTION,
        "",
        f"Model `{model}`; {count} digits a source ({', '.join(sources)}), seed {seed}; written by",
        f"`python -m benchmarks.accuracy.robustness --count {count} --seed {seed}` (`make robustness`).",
        "",
        "## What hurts most",
        "",
        f"**{hardest}**: {_describe(outcome, hardest)}. Then:",
        "",
        *(f"- {factor}: {_describe(outcome, factor)}" for factor in others[: HARDEST_NAMED - 1]),
        "",
        f"A client sees a refusal but not a wrong digit. Most wrong digits come from **{misread}**,",
        f"{outcome.total(misread).misread} in {outcome.total(misread).of} pictures.",
        "The order depends on how far each factor's severities go.",
        "",
        "## Accuracy, factor by factor",
        "",
        f"In percent, {' / '.join(sources)}. Clean photos: **{_percents(outcome.clean.values())}**.",
        f"With {count} digits, one is worth {100 / count:.2g} %, and a figure near 90 is uncertain by about",
        f"±{100 * TWO_SIDED * (0.09 / count) ** 0.5:.0f} (95 %); rows compare better than that, because they share their "
        "digits.",
        "",
        "| factor | 1 | 2 | 3 | 4 | 5 |",
        "|---|---|---|---|---|---|",
        *(_row(outcome, name, factor) for name, factor in FACTORS.items()),
        "",
        *compared,
        "![Accuracy against severity, a panel a factor](images/robustness.png)",
        "",
        "## What the pictures look like",
        "",
        "One digit in every scene, at half size; below it the answer, in red where it is wrong.",
        "",
        "![A digit at each severity of each factor](images/robustness-samples.png)",
    ]
    return "\n".join(lines) + "\n"


INTRODUCTION = f"""\
How well a photo is read as one thing gets worse and everything else stays good. Each factor has five severities, from
mild to hard, at which a person still reads nearly all digits. Digits of two sources are written on made paper, lit,
photographed and sent as JPEG (or PNG with transparency), and take the path of every picture from bytes to answer. The
sources are MNIST's test digits, enlarged smoothly, and pen strokes of writers that no training sees ([UCI's Pen-Based
Recognition of Handwritten Digits](https://archive.ics.uci.edu/dataset/81/pen+based+recognition+of+handwritten+digits)),
if their file is in `data/strokes`. A photo has 360 × 270 pixels, and the digit 113 of them. The clean photo shows a dark
pen (of {100 * OWN_PEN:g} % of the digit's side for strokes, MNIST's own for MNIST) on off-white paper, a fifth of the
light lost from end to end, little noise, JPEG quality 92. What is random (the direction of light and tilt, the noise) is
drawn once for each digit and shared by all its pictures.

These figures show where the service is weak, and whether a change makes it weaker. They do not say how well real photos
are read, since made photos are tidier. MNIST's digits here are test digits, so **nothing is chosen or tuned on these
figures**: no network and no threshold. A weakness found here is worked on with other pictures."""


def write_comparison(title: str, intro: str, other: str, rows: Mapping[str, Difference]) -> list[str]:
    """A section that shows the reader next to another, row by row, in Markdown. other: what it is called."""
    worse = [name or CLEAN_PHOTOS for name, row in rows.items() if row.is_worse]
    return [
        f"## {title}",
        "",
        *intro.splitlines(),
        "",
        f"| | this version | {other} | difference |",
        "|---|---|---|---|",
        *(
            f"| {name or CLEAN_PHOTOS} | {100 * row.ours:.1f} | {100 * row.theirs:.1f} | "
            f"{100 * row.apart:+.1f} ± {100 * row.noise:.1f}{' **worse**' if row.is_worse else ''} |"
            for name, row in rows.items()
        ),
        "",
        f"Worse by more than the noise: {', '.join(worse)}." if worse else "No row is worse by more than its noise.",
        "",
    ]


CLEAN_PHOTOS = "clean photos"
NOISE = """\
Percent read correctly, and the difference with its noise: 1.96 standard errors, where the digits are the sample, since the
pictures of one digit are alike."""
EARLIER = f"""\
The same pictures, read by an earlier version in a checkout of its last commit.
{NOISE}"""
TUTORIAL = f"""\
The glyphs that the finder finds, shown to the tutorial's network (`cnn`, trained on MNIST alone).
{NOISE}"""
ON_SCENES = f"""\
Scenes of one digit by the test set's hands (docs/scenes.md says what chance decides in them), {{}} of each kind, sent as PNG.
{NOISE}"""


def _describe(outcome: Outcome, factor: str) -> str:
    total, worst = outcome.total(factor), sum((tallies[-1] for tallies in outcome.worse[factor].values()), Tally())
    wrong = total.of - total.right
    return (
        f"{100 * total.share:.1f} % over its five severities, {100 * worst.share:.1f} % at the hardest; "
        f"{total.refused} of the {wrong} failures are refusals (`{NoDigitFound.code}`)"
    )


def _row(outcome: Outcome, name: str, factor: Factor) -> str:
    cells = []
    for index, level in enumerate(factor.levels):
        figures = _percents(tallies[index] for tallies in outcome.worse[name].values())
        cells.append(f"{level.words}<br>**{figures}**")
    return f"| {name}: {factor.unit} | {' | '.join(cells)} |"


def _percents(tallies: Iterable[Tally]) -> str:
    return " / ".join(f"{100 * tally.share:.3g}" for tally in tallies)


def run(  # noqa: PLR0913, PLR0917  each argument is an option
    count: Annotated[int, typer.Option(help="Digits a source.", min=10)] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the choice of digits and of all that is random.", min=0)] = 0,
    data_dir: Annotated[Path, typer.Option(help="Folder of the data sets.", envvar="NUMERAL_DATA_DIR")] = Path("data"),
    tutorial: Annotated[Path | None, typer.Option(help="Run of the tutorial's network, to show it the same glyphs.")] = None,
    earlier: Annotated[Path | None, typer.Option(help="Checkout of an earlier version, to read the same pictures.")] = None,
    made: Annotated[int, typer.Option(help="Scenes of each kind to compare with the earlier version on.", min=10)] = 250,
    output: Annotated[Path, typer.Option(help="Where robustness.md and images/ are written.")] = DOCS,
) -> None:
    """Measures how well made photos are read, and writes the report and its two pictures."""
    console = Console(stderr=True)
    reader = load_reader(Settings())
    compared: list[str] = []
    with ExitStack() as stack:
        try:
            digits = load_written(data_dir, count, seed)
            others = [look_with(tutorial)] if tutorial else []
            older = stack.enter_context(reading_in(earlier)) if earlier else None
            hands = Hands.load(data_dir, "test", find_unipen(data_dir)) if older else None
        except TrainingError as error:
            console.print(str(error), style="red")
            raise typer.Exit(1) from error
        total = sum(map(len, digits.values())) * (1 + len(FACTORS) * len(SEVERITIES))
        asked = [older.answer, *others] if older else others
        results = list(track(measure(reader, digits, seed, asked), "Reading made photos", total, console=console))
        if older and hands:
            scene_results = measure_scenes(reader, hands, made, [older.answer])
            on_scenes = compare(track(scene_results, "Reading scenes", made * len(KINDS), console=console), 1)
            compared += write_comparison(f"Next to {older.name}", EARLIER, older.name, compare(results, 1))
            compared += write_comparison(f"Scenes, next to {older.name}", ON_SCENES.format(made), older.name, on_scenes)
        if tutorial:
            compared += write_comparison("Next to the tutorial's network", TUTORIAL, "tutorial's", compare(results, len(asked)))
    outcome, record = add_up(results), reader.classifier.record
    (output / "images").mkdir(parents=True, exist_ok=True)
    report = write_report(outcome, f"{record.name}/{record.version}", count, seed, compared)
    (output / "robustness.md").write_text(report, encoding="utf-8")
    draw_plot(outcome, output / "images" / "robustness.png")
    draw_samples(reader, digits[MNIST][5], seed, output / "images" / "robustness-samples.png")
    console.print(f"{outcome.hardest_first()[0]} hurts most; all figures: {output / 'robustness.md'}")


if __name__ == "__main__":
    typer.run(run)
