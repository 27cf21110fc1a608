"""How a finder and a classifier read labelled pictures of one's own, the whole way from their bytes.

A folder holds pictures and labels.csv with the columns path, label, kind (photo, canvas, notdigit or multi), source and
notes. Pictures that people cannot agree on have ``ambiguous`` in their notes and are left out; so are pictures of several
digits, which benchmarks.accuracy.numbers reads.
"""

import csv
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import nn

from app.errors import NumeralError
from app.reading.decode.picture import decode
from app.settings import Settings
from training.learning.checkpoints import load_checkpoint, load_config
from training.learning.reading import Pixels, Reading, read_digits
from training.publishing.calibrate import Answers, Calibration, acceptance, load_calibration
from training.publishing.gate import NO_ANSWER, Read
from training.publishing.readers import by_networks, hands_samples

AMBIGUOUS = "ambiguous"
SINGLE, SEVERAL = ("photo", "canvas"), "multi"
MANY = 10**9  # digits of a set: all


@dataclass(frozen=True)
class Labelled:
    """A picture of one's own: where it lies, what it shows, and who made it."""

    path: Path
    label: str
    kind: str
    source: str


@dataclass
class Score:
    """Of so many pictures: read rightly, without a digit found, accepted, accepted and wrong; and which were wrong."""

    of: int = 0
    right: int = 0
    nothing: int = 0
    accepted: int = 0
    accepted_wrong: int = 0
    wrong: list[str] = field(default_factory=list)


def load_labels(folder: Path) -> Iterator[Labelled]:
    """The pictures of one digit, or of none, of a folder that people agree on."""
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["kind"] != SEVERAL and AMBIGUOUS not in row["notes"]:
                yield Labelled(folder / row["path"], row["label"], row["kind"], row["source"])


def score_pictures(
    reading: Reading, classifier: nn.Module, calibration: Calibration, pictures: Sequence[Labelled]
) -> dict[tuple[str, str], Score]:
    """Scores by kind and source."""
    scores: dict[tuple[str, str], Score] = defaultdict(Score)
    for picture in pictures:
        try:
            pixels = decode(picture.path.read_bytes(), Settings()).pixels
        except NumeralError:
            continue
        score_picture(scores[picture.kind, picture.source], reading, classifier, calibration, picture, pixels)
    return scores


def score_picture(  # noqa: PLR0913, PLR0917
    score: Score, reading: Reading, classifier: nn.Module, calibration: Calibration, picture: Labelled, pixels: Pixels
) -> None:
    """Counts a picture of one digit, or of none, into its score."""
    digits = read_digits(reading, classifier, [pixels])[0]
    score.of += 1
    score.nothing += not len(digits)
    answer, accepted = "", False
    if len(digits):
        index = digits.most_prominent
        answer = str(int(digits.labels[index]))
        logits, none = (torch.from_numpy(part[index : index + 1]) for part in (digits.logits, digits.none))
        accepted = bool(acceptance(Answers(logits, torch.zeros(1, dtype=torch.int64), none), calibration))
    right = answer == picture.label if picture.kind in SINGLE else not accepted
    score.right += right
    score.accepted += accepted
    score.accepted_wrong += accepted and not right
    if not right:
        score.wrong.append(f"{picture.path.name}: {picture.label or '–'} read as {answer or '–'}{', accepted' * accepted}")


def add(scores: Sequence[Score]) -> Score:
    """All of them together."""
    total = Score()
    for score in scores:
        for name, value in vars(score).items():
            setattr(total, name, getattr(total, name) + value)
    return total


def describe(scores: dict[tuple[str, str], Score], *, by_source: bool) -> Iterator[str]:
    """The figures in Markdown, a row a kind, and a row a source where asked for."""
    yield "| kind | right | no digit found | accepted | of these wrong |"
    yield "|---|---|---|---|---|"
    for kind in sorted({kind for kind, _ in scores}):
        yield _row(kind, add([score for (each, _), score in scores.items() if each == kind]))
        if by_source:
            yield from (_row(f"{kind}, {source}", score) for (each, source), score in sorted(scores.items()) if each == kind)


def _row(name: str, score: Score) -> str:
    share = f"{score.right} of {score.of} ({score.right / max(score.of, 1):.1%})"
    return f"| {name} | {share} | {score.nothing} | {score.accepted} | {score.accepted_wrong} |"


def score_sets(read: Read, folder: Path) -> dict[tuple[str, str], Score]:
    """Scores of sets of digits: .npz files with x, (N, H, W) uint8, and y, (N,)."""
    scores = {}
    for samples in hands_samples(folder, MANY):
        answers, accepted = read(samples.pictures)
        right = answers == samples.labels
        nothing = int((answers == NO_ANSWER).sum())
        wrong = int((accepted & ~right).sum())
        scores[samples.name, ""] = Score(len(right), int(right.sum()), nothing, int(accepted.sum()), wrong)
    return scores


def run(  # noqa: PLR0913, PLR0917
    folders: Annotated[list[Path], typer.Argument(help="Folders with labels.csv.", exists=True, file_okay=False)],
    finder: Annotated[Path, typer.Option(help="A finished run of a finder.")],
    classifier: Annotated[Path, typer.Option(help="A finished and exported run of a classifier.")],
    sets: Annotated[Path | None, typer.Option(help="A folder of .npz files with x and y, read too.")] = None,
    by_source: Annotated[bool, typer.Option("--by-source", help="A row a source, too.")] = False,
    wrong: Annotated[bool, typer.Option("--wrong", help="List what was read wrongly.")] = False,
) -> None:
    """Reads every picture of every folder and every digit of every set, and prints tables."""
    torch.set_num_threads(1)
    networks = [load_checkpoint(each / "model.pth", load_config(each).model) for each in (finder, classifier)]
    calibration = load_calibration(classifier)
    for folder in folders:
        scores = score_pictures(Reading(networks[0]), networks[1], calibration, list(load_labels(folder)))
        lines = [f"{folder.name}:", *describe(scores, by_source=by_source)]
        lines += [f"- {kind}, {source}: {each}" for (kind, source), score in scores.items() for each in score.wrong if wrong]
        print("\n".join(lines), flush=True)  # noqa: T201
    if sets is not None:
        read = by_networks(networks[0], networks[1], calibration)
        print("\n".join([f"{sets.name}:", *describe(score_sets(read, sets), by_source=False)]))  # noqa: T201


if __name__ == "__main__":
    typer.run(run)
