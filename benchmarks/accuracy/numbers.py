"""How whole numbers in labelled pictures of one's own are read, next to RapidOCR on the same pictures.

A folder is as benchmarks.accuracy.labelled describes it; pictures of kind ``multi`` count, and those that people cannot agree
on, or whose notes say scattered, rotated, printed or operator, apart. RapidOCR needs an environment of its own:

    python -m venv /tmp/rapidocr && /tmp/rapidocr/bin/pip install rapidocr_onnxruntime
    python -m benchmarks.accuracy.numbers FOLDER --rapidocr /tmp/rapidocr/bin/python

It is asked twice: for all of a picture, with its own detector, and for each of our lines, with its recogniser alone. Of what it
reads, only digits count.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Annotated

import typer
from PIL import Image

from app.errors import NumeralError
from app.evaluation.numbers import edits
from app.reading.answer import Reading
from app.reading.decode.picture import Picture
from app.reading.reader import Reader
from app.reading.trace import Trace
from benchmarks.accuracy.labelled import SEVERAL
from benchmarks.accuracy.rapidocr_side import ask_rapidocr

MARGIN = 0.25  # of a line's height, around the crop that RapidOCR's recogniser is given
HARD_WORDS = ("ambiguous", "scattered", "rotated", "operator", "printed")


@dataclass(frozen=True)
class Case:
    """A picture, its label without line breaks, its source, and which of HARD_WORDS its notes have."""

    path: Path
    label: str
    source: str
    hard: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """What was read of a picture: digits alone; whether it was accepted; and CPU seconds beyond decoding."""

    text: str
    accepted: bool = False
    seconds: float = 0.0


def load_cases(folder: Path) -> Iterator[Case]:
    """The pictures of several digits."""
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["kind"] == SEVERAL:
                hard = tuple(word for word in HARD_WORDS if word in row["notes"])
                yield Case(folder / row["path"], row["label"].replace("/", ""), row["source"], hard)


def read_ours(reader: Reader, case: Case) -> tuple[Answer, Reading | None, Picture | None]:
    """Our answer, the reading, and the picture that was read."""
    trace = Trace()
    began = process_time()
    try:
        reading = reader.read_number(case.path.read_bytes(), trace=trace)
    except NumeralError:
        return Answer(""), None, trace.picture
    seconds = process_time() - began - trace.seconds.get("decode", 0.0)
    return Answer(reading.text.replace("\n", ""), reading.accepted, seconds), reading, trace.picture


def crop_lines(reading: Reading, picture: Picture, folder: Path, name: str) -> list[str]:
    """Writes each of our lines as a picture; returns their paths."""
    image, scale, paths = Image.fromarray(picture.pixels), picture.scale, []
    for number, line in enumerate(reading.lines):
        margin = MARGIN * line.box.height
        left, top = line.box.x - margin, line.box.y - margin
        right, bottom = line.box.x + line.box.width + margin, line.box.y + line.box.height + margin
        path = folder / f"{name}-{number}.png"
        image.crop((round(left / scale), round(top / scale), round(right / scale), round(bottom / scale))).save(path)
        paths.append(str(path))
    return paths


def describe(name: str, cases: Sequence[Case], answers: Sequence[Answer]) -> str:
    """A row of the table."""
    exact = sum(answer.text == case.label for case, answer in zip(cases, answers, strict=True))
    digits = sum(len(case.label) for case in cases)
    slips = sum(edits(answer.text, case.label) for case, answer in zip(cases, answers, strict=True))
    accepted = [(case, answer) for case, answer in zip(cases, answers, strict=True) if answer.accepted]
    wrong = sum(answer.text != case.label for case, answer in accepted)
    share = f"{exact} of {len(cases)} ({exact / len(cases):.1%})"
    return f"| {name} | {share} | {max(0.0, 1 - slips / digits):.1%} | {len(accepted)} | {wrong} |"


def run(
    folders: Annotated[list[Path], typer.Argument(help="Folders with labels.csv.", exists=True, file_okay=False)],
    rapidocr: Annotated[Path | None, typer.Option(help="Python of an environment with rapidocr_onnxruntime.")] = None,
    store: Annotated[Path, typer.Option(help="The model store.")] = Path("model_store"),
    by_source: Annotated[bool, typer.Option("--by-source", help="A row a source, too.")] = False,
    wrong: Annotated[bool, typer.Option("--wrong", help="List what was read wrongly.")] = False,
) -> None:
    """Reads every picture of several digits of every folder, and prints tables."""
    reader = Reader.load(store)
    cases = [case for folder in folders for case in load_cases(folder)]
    columns: dict[str, list[Answer]] = {"Numeral": []}
    crops: list[list[str]] = []
    with TemporaryDirectory() as place:
        for number, case in enumerate(cases):
            answer, reading, picture = read_ours(reader, case)
            columns["Numeral"].append(answer)
            crops.append(crop_lines(reading, picture, Path(place), str(number)) if reading and picture else [])
        if rapidocr:
            whole, lines, _ = ask_rapidocr(rapidocr, [str(case.path.absolute()) for case in cases], crops)
            columns["RapidOCR, its own detector"] = [Answer(text) for text in whole]
            columns["RapidOCR's recogniser on our lines"] = [Answer(text) for text in lines]
    lines_of = _tables(cases, columns, by_source=by_source)
    seconds = [answer.seconds for answer in columns["Numeral"] if answer.seconds]
    print("\n".join(lines_of), f"\nCPU beyond decoding, mean: {1000 * sum(seconds) / max(len(seconds), 1):.1f} ms")  # noqa: T201
    for case, answer in zip(cases, columns["Numeral"], strict=True):
        if wrong and not case.hard and answer.text != case.label:
            print(f"- {case.path.name}: {case.label} read as {answer.text or '–'}{', accepted' * answer.accepted}")  # noqa: T201


def _tables(cases: Sequence[Case], columns: dict[str, list[Answer]], *, by_source: bool) -> Iterator[str]:
    yield "| reader, pictures | exact | digits right | accepted | of these wrong |"
    yield "|---|---|---|---|---|"
    groups = {"all but the hard ones": [number for number, case in enumerate(cases) if not case.hard]}
    groups |= {word: [number for number, case in enumerate(cases) if word in case.hard] for word in HARD_WORDS}
    if by_source:
        for source in sorted({case.source for case in cases}):
            groups[source] = [number for number, case in enumerate(cases) if case.source == source and not case.hard]
    for group, numbers in groups.items():
        for name, answers in columns.items():
            if numbers:
                some = [answers[number] for number in numbers]
                yield describe(f"{name}, {group}", [cases[number] for number in numbers], some)


if __name__ == "__main__":
    typer.run(run)
