"""Measures how well made photos are read as one factor after another gets worse: ``make robustness``.

The digits are MNIST's test digits and pen strokes of held-out writers. The suite only reports: do not choose or tune anything
on it.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from app.errors import NoDigitFound
from app.reading.batch import Trace
from app.reading.reader import Reader
from app.runtime.loading import load_reader
from app.settings import Settings
from benchmarks.accuracy.factors import CLEAN, FACTORS, SEVERITIES, Factor, scenes
from benchmarks.accuracy.robustness_plots import draw_plot, draw_samples
from benchmarks.accuracy.tally import Outcome, Tally
from training.data.made_photos import OWN_PEN, Chance, Scene, WrittenDigit, draw_chance, from_mnist, from_strokes, take
from training.data.mnist import CLASSES, load_digits
from training.data.pen_strokes import FILE, load_strokes, split_writers
from training.errors import TrainingError
from training.learning.checkpoints import load_checkpoint, load_config
from training.learning.evaluate import infer

DOCS = Path(__file__).parents[2] / "docs"

MNIST, STROKES = "MNIST", "strokes"  # the two sources
HARDEST_NAMED = 5  # factors in the report's list

Digits = dict[str, list[WrittenDigit]]  # by source
Case = tuple[str, str, int]  # factor, source, severity
Tallies = tuple[Tally, ...]  # the shipped network's, and that of the one beside it
Look = Callable[[NDArray[np.uint8]], int]  # the digit that a network sees in a glyph (28, 28)


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


def measure(reader: Reader, digits: Digits, seed: int, beside: Look | None = None) -> Iterator[tuple[Case, Tallies]]:
    """Reads every digit in every scene, and what came of it: no factor and severity 0 for the clean photo.

    beside: another network, which is shown the same glyphs.
    """
    for source, written in digits.items():
        for index, digit in enumerate(written):
            chance = draw_chance(np.random.default_rng((seed, index)))
            yield ("", source, 0), judge(reader, digit, CLEAN, chance, beside)
            for factor, severity, level in scenes():
                yield (factor, source, severity), judge(reader, digit, level.scene, chance, beside)


def judge(reader: Reader, digit: WrittenDigit, scene: Scene, chance: Chance, beside: Look | None = None) -> Tallies:
    """One digit in one scene, read as the service reads it; then, where there is one, by the network beside it."""
    trace = Trace()
    try:
        answers = [reader.read(take(digit, scene, chance), trace=trace).digit]
    except NoDigitFound:
        return (Tally(refused=1, of=1),) * (2 if beside else 1)
    if beside and trace.steps:
        answers.append(beside(trace.steps.glyph.pixels))
    return tuple(Tally(right=int(answer == digit.label), of=1) for answer in answers)


def add_up(results: Iterable[tuple[Case, Tallies]]) -> tuple[Outcome, ...]:
    """All of measure's results together, a network after the other."""
    collected: dict[Case, list[Tallies]] = {}
    for case, tallies in results:
        collected.setdefault(case, []).append(tallies)
    sums = {case: [sum(each, Tally()) for each in zip(*several, strict=True)] for case, several in collected.items()}
    sources = [source for factor, source, _ in sums if not factor]
    networks = range(len(next(iter(sums.values()))))
    return tuple(
        Outcome(
            {source: sums["", source, 0][network] for source in sources},
            {
                name: {source: tuple(sums[name, source, severity][network] for severity in SEVERITIES) for source in sources}
                for name in FACTORS
            },
        )
        for network in networks
    )


def look_with(run: Path) -> Look:
    """The network of a run's folder.

    Raises:
        TrainingError: as load_config.
    """
    network = load_checkpoint(run / "model.pth", load_config(run).model)
    return lambda glyph: int(infer(network, torch.from_numpy(glyph[np.newaxis])).argmax())


def write_report(outcome: Outcome, model: str, count: int, seed: int, beside: Outcome | None = None) -> str:
    """docs/robustness.md; beside: what came of the tutorial's network on the same glyphs."""
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
        f"A refusal is said, a wrong digit is not: most wrong digits come from **{misread}**, {outcome.total(misread).misread}",
        f"in {outcome.total(misread).of} pictures. The order depends on how far each factor's severities go.",
        "",
        "## Accuracy, factor by factor",
        "",
        f"In percent, {' / '.join(sources)}. Clean photos: **{_percents(outcome.clean.values())}**.",
        f"With {count} digits, one is worth {100 / count:.2g} %, and a figure near 90 is uncertain by about",
        f"±{100 * 1.96 * (0.09 / count) ** 0.5:.0f} (95 %); rows compare better than that, because they share their digits.",
        "",
        "| factor | 1 | 2 | 3 | 4 | 5 |",
        "|---|---|---|---|---|---|",
        *(_row(outcome, name, factor) for name, factor in FACTORS.items()),
        "",
        *(_beside(outcome, beside) if beside else ()),
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
How well a photo is read as one thing gets worse and all others stay good: five severities a factor, from mild to hard, where
a person still reads nearly all. Digits of two sources are written on made paper, lit, photographed and sent as JPEG (or PNG
with transparency) on the path of every picture, from bytes to answer: MNIST's test digits, enlarged smoothly, and pen strokes
of writers whom no training sees ([UCI's Pen-Based Recognition of Handwritten Digits](https://archive.ics.uci.edu/dataset/81/pen+based+recognition+of+handwritten+digits)),
where their file is in `data/strokes`. A photo has 360 × 270 pixels and the digit 113 of them; the clean one shows a dark pen
(of {100 * OWN_PEN:g} % of the digit's side for strokes, MNIST's own for MNIST) on off-white paper, a fifth of the light lost
from end to end, little noise, JPEG quality 92. What is random (the way of the light, of the tilt, the noise) is drawn once a
digit and shared by all its pictures.

It is for finding out where the service is weak, and for noticing when a change makes it weaker. It is no figure of merit:
made photos are tidier than real ones. And since MNIST's are test digits, **nothing is chosen or tuned on these figures**, no
network, no threshold of the glyph finder; a weakness found here is worked on with other pictures."""


def _beside(outcome: Outcome, other: Outcome) -> list[str]:
    clean, theirs = (sum(each.clean.values(), Tally()) for each in (outcome, other))
    rows = [("clean photos", clean, theirs)]
    rows += [(name, outcome.total(name), other.total(name)) for name in FACTORS]
    return [
        "## Beside the tutorial's network",
        "",
        "The same glyphs, found by the same finder, shown to the tutorial's network (`cnn`, trained on MNIST alone). Percent",
        "read rightly, of both sources and all severities.",
        "",
        "| factor | shipped | tutorial's | difference |",
        "|---|---|---|---|",
        *(
            f"| {name} | {100 * ours.share:.1f} | {100 * theirs.share:.1f} | {100 * (ours.share - theirs.share):+.1f} |"
            for name, ours, theirs in rows
        ),
        "",
    ]


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


def run(
    count: Annotated[int, typer.Option(help="Digits a source.", min=10)] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the choice of digits and of all that is random.", min=0)] = 0,
    data_dir: Annotated[Path, typer.Option(help="Folder of the data sets.", envvar="NUMERAL_DATA_DIR")] = Path("data"),
    beside: Annotated[Path | None, typer.Option(help="Run of the tutorial's network, to show it the same glyphs.")] = None,
    output: Annotated[Path, typer.Option(help="Where robustness.md and images/ are written.")] = DOCS,
) -> None:
    """Measures how well made photos are read, and writes the report and its two pictures."""
    console = Console(stderr=True)
    reader = load_reader(Settings())
    try:
        digits, other = load_written(data_dir, count, seed), look_with(beside) if beside else None
    except TrainingError as error:
        console.print(str(error), style="red")
        raise typer.Exit(1) from error
    total = sum(map(len, digits.values())) * (1 + len(FACTORS) * len(SEVERITIES))
    results = track(measure(reader, digits, seed, other), "Reading made photos", total, console=console)
    outcome, *others = add_up(results)
    record = reader.classifier.record
    (output / "images").mkdir(parents=True, exist_ok=True)
    report = write_report(outcome, f"{record.name}/{record.version}", count, seed, *others)
    (output / "robustness.md").write_text(report, encoding="utf-8")
    draw_plot(outcome, output / "images" / "robustness.png")
    draw_samples(reader, digits[MNIST][5], seed, output / "images" / "robustness-samples.png")
    console.print(f"{outcome.hardest_first()[0]} hurts most; all figures: {output / 'robustness.md'}")


if __name__ == "__main__":
    typer.run(run)
