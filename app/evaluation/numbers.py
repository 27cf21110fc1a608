"""Measures how well whole numbers are read: pictures whose labels are strings, their lines separated by ``/``.

rows of labels.csv -> results -> report.
"""

import csv
import json
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.errors import LabelsError, UnreadableFile, known_error
from app.evaluation.labels import LABELS, Row
from app.reading.answer import Reading
from app.reading.decode.limits import Limits, read_bytes
from app.reading.reader import LAPTOP, Reader

logger = logging.getLogger(__name__)

STRING = re.compile(r"[0-9]+(/[0-9]+)*", re.ASCII)
MOST_LINES = 200  # mistakes listed in the table


@dataclass(frozen=True)
class NumberResult:
    """The result for one picture: a reading, or the code of its error."""

    row: Row
    reading: Reading | None
    code: str | None

    @property
    def text(self) -> str:
        """What was read, as a label: lines separated by a slash."""
        return self.reading.text.replace("\n", "/") if self.reading else ""

    @property
    def digits_right(self) -> bool:
        """Whether all digits are right, in order; however they are broken into lines."""
        return self.text.replace("/", "") == self.row.label.replace("/", "")

    @property
    def slips(self) -> int:
        """The fewest insertions, deletions and changes of digits that lead from what was read to the label."""
        return edits(self.text.replace("/", ""), self.row.label.replace("/", ""))

    @property
    def accepted(self) -> bool:
        """Whether the reading is accepted."""
        return self.reading is not None and self.reading.accepted


@dataclass(frozen=True)
class Score:
    """Figures of so many pictures.

    exact: with all digits right; lines_right: with the lines right, too; digits: in them; slips: as NumberResult has them.
    """

    of: int
    exact: int
    lines_right: int
    digits: int
    slips: int
    accepted: int
    wrongly_accepted: int

    @classmethod
    def count(cls, results: Sequence[NumberResult]) -> "Score":
        """The score of some results."""
        accepted = [result for result in results if result.accepted]
        return cls(
            of=len(results),
            exact=sum(result.digits_right for result in results),
            lines_right=sum(result.text == result.row.label for result in results),
            digits=sum(len(result.row.label.replace("/", "")) for result in results),
            slips=sum(result.slips for result in results),
            accepted=len(accepted),
            wrongly_accepted=sum(not result.digits_right for result in accepted),
        )

    @property
    def digit_share(self) -> float:
        """The share of digits that are right, by edit distance: 0 to 1."""
        return max(0.0, 1 - self.slips / self.digits) if self.digits else 0.0


@dataclass(frozen=True)
class Mistake:
    """A picture that was read wrongly. right_is: the place of the right text among the alternatives, from 1, or None."""

    path: str
    label: str
    text: str
    confidence: float | None
    accepted: bool
    right_is: int | None
    code: str | None


@dataclass(frozen=True)
class NumberReport:
    """All figures. passed_over: rows whose label is not a string of digits; missing: files that cannot be read."""

    folder: str
    model: str
    overall: Score
    by_source: dict[str, Score]
    passed_over: int
    missing: tuple[str, ...]
    mistakes: tuple[Mistake, ...]

    def to_json(self) -> str:
        """The content of report.json."""
        return json.dumps(asdict(self), indent=2) + "\n"


def is_string(row: Row) -> bool:
    """Whether the label is a string of digits."""
    return STRING.fullmatch(row.label) is not None


def run(reader: Reader, folder: Path, rows: Iterable[Row], most: int, limits: Limits = LAPTOP) -> Iterator[NumberResult]:
    """Reads the pictures of the folder, at most so many digits in each, and yields one result per row.

    limits: a larger file is not read.
    """
    return (_read(reader, folder, row, most, limits) for row in rows)


def _read(reader: Reader, folder: Path, row: Row, most: int, limits: Limits) -> NumberResult:
    try:
        return NumberResult(row, reader.read_number(read_bytes(row.file(folder), limits), most=most), None)
    except Exception as error:  # noqa: BLE001  a fault of ours in one picture is logged and harms no other
        return NumberResult(row, None, known_error(error, row.path, logger).code)


def summarise(results: Sequence[NumberResult], reader: Reader, folder: Path, passed_over: int) -> NumberReport:
    """Computes all figures.

    Raises:
        LabelsError: no label is a string of digits, or none of the files could be read.
    """
    there = [result for result in results if result.code != UnreadableFile.code]
    if not results:
        raise LabelsError(f"No label in {folder / LABELS} is a string of digits, its lines separated by '/'.")
    if not there:
        raise LabelsError(f"None of the {len(results)} files that {folder / LABELS} lists can be read; check the paths.")
    sources = sorted({result.row.source for result in there})
    record = reader.model.record
    return NumberReport(
        folder=str(folder),
        model=f"{record.name}/{record.version}",
        overall=Score.count(there),
        by_source={each: Score.count([result for result in there if result.row.source == each]) for each in sources},
        passed_over=passed_over,
        missing=tuple(result.row.path for result in results if result.code == UnreadableFile.code),
        mistakes=tuple(sorted(map(_mistake, _wrong(there)), key=lambda each: -(each.confidence or 0))),
    )


def _wrong(results: Iterable[NumberResult]) -> Iterator[NumberResult]:
    return (result for result in results if not result.digits_right)


def _mistake(result: NumberResult) -> Mistake:
    others = [each.text.replace("\n", "") for each in result.reading.alternatives] if result.reading else []
    label = result.row.label.replace("/", "")
    return Mistake(
        path=result.row.path,
        label=result.row.label,
        text=result.text,
        confidence=result.reading.confidence if result.reading else None,
        accepted=result.accepted,
        right_is=others.index(label) + 1 if label in others else None,
        code=result.code,
    )


def write_predictions(results: Iterable[NumberResult], path: Path) -> None:
    """Writes predictions.csv: one line per picture, empty cells for missing values, spaces between warnings.

    The text is written as a label: lines separated by a slash.
    """
    columns = ("path", "label", "text", "confidence", "accepted", "warnings", "code")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for result in results:
            line: dict[str, object] = {"path": result.row.path, "label": result.row.label, "code": result.code}
            if reading := result.reading:
                line |= {"text": result.text, "confidence": reading.confidence, "accepted": str(reading.accepted).lower()}
                line["warnings"] = " ".join(warning.code for warning in reading.warnings)
            writer.writerow(line)


def edits(one: str, other: str) -> int:
    """The fewest insertions, deletions and changes that lead from one to the other (Levenshtein 1966)."""
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, start=1):
        before, row[0] = row[0], number
        for index, wanted in enumerate(other, start=1):
            before, row[index] = row[index], min(row[index] + 1, row[index - 1] + 1, before + (letter != wanted))
    return row[-1]


def print_report(report: NumberReport, console: Console) -> None:
    """Prints all figures."""
    console.print(f"[bold]{report.model}[/bold], {escape(report.folder)}")
    console.print(f"Passed over, since their label is not a string of digits: {report.passed_over}")
    table = Table("source", "exact", "lines right, too", "digits right", "accepted", "of these wrong")
    for source, score in (*report.by_source.items(), ("all", report.overall)):
        share = f"{score.exact} of {score.of} ({score.exact / score.of:.1%})"
        cells = (share, str(score.lines_right), f"{score.digit_share:.1%}", str(score.accepted), str(score.wrongly_accepted))
        table.add_row(escape(source) or "–", *cells)
    console.print(table)
    if report.mistakes:
        console.print(_mistakes(report.mistakes))
    if report.missing:
        console.print(f"Files that cannot be read: {escape(', '.join(report.missing))}")


def _mistakes(mistakes: Sequence[Mistake]) -> Table:
    title = f"Mistakes, most confident first: {len(mistakes)}"
    table = Table("picture", "label", "text", "confidence", "accepted", "right is alternative", title=title)
    for each in mistakes[:MOST_LINES]:
        confidence = "–" if each.confidence is None else f"{each.confidence:.2%}"
        text, place = each.text or each.code or "–", "–" if each.right_is is None else str(each.right_is)
        table.add_row(escape(each.path), each.label, text, confidence, "yes" if each.accepted else "no", place)
    return table
