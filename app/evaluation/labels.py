"""Reads labels.csv, which lists the pictures of a folder and what they show. People write it, so everything is checked."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path, PurePath, PureWindowsPath

from app.errors import LabelsError

LABELS = "labels.csv"
REQUIRED = ("path", "label")
NO_DIGIT_LABEL = "none"  # the label of a picture that shows no digit; an empty one says the same
DIGITS = "0123456789"
DELIMITERS = ",;\t"  # of several, the one that the header has most of
_TO_ASCII = str.maketrans("０１２３４５６７８９．，", f"{DIGITS}.,")  # full-width, as keyboards of East Asia type them
_DIGIT = re.compile(r"0*([0-9])(?:[.,]0*)?")  # spreadsheets write 5 as 5.0 or 5,0, and people as 05


@dataclass(frozen=True)
class Row:
    """A line of labels.csv. path: relative to the folder; label: one digit, or anything else for a picture to reject."""

    path: str
    label: str
    kind: str = ""
    source: str = ""
    notes: str = ""

    @property
    def digit(self) -> int | None:
        """The label as a digit, or None if the picture does not show exactly one. 5.0, 05 and full-width digits count."""
        found = _DIGIT.fullmatch(self.label.translate(_TO_ASCII))
        return int(found[1]) if found else None

    @property
    def says_none(self) -> bool:
        """Whether the label says in so many words that the picture shows no digit."""
        return self.label.lower() in ("", NO_DIGIT_LABEL)

    @property
    def ambiguous(self) -> bool:
        """Whether the notes contain the word "ambiguous": people disagree about such a picture."""
        return re.search(r"\bambiguous\b", self.notes, re.IGNORECASE) is not None

    def file(self, folder: Path) -> Path:
        """The picture's file. A path written on Windows works elsewhere."""
        file = folder / self.path
        return file if "\\" not in self.path or file.exists() else folder / self.path.replace("\\", "/")


def read_labels(folder: Path) -> list[Row]:
    """Reads labels.csv: UTF-8, with or without a byte order mark; commas, semicolons or tabs between the fields.

    Raises:
        LabelsError: the file is missing or invalid.
    """
    if not folder.is_dir():
        raise LabelsError(f"{folder} is not a folder; give the folder that contains {LABELS}.")
    file = folder / LABELS
    try:
        rows = _parse(file.read_text(encoding="utf-8-sig"), file)
    except FileNotFoundError as error:
        raise LabelsError(
            f"There is no {LABELS} in {folder}; it must list the pictures, with the columns path and label."
        ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelsError(f"{file} cannot be read: {error}.") from error
    if not rows:
        raise LabelsError(f"{file} lists no pictures; add a line for each.")
    return rows


def leave_out_ambiguous(rows: Sequence[Row]) -> list[Row]:
    """The rows that are not ambiguous.

    Raises:
        LabelsError: there are none.
    """
    clear = [row for row in rows if not row.ambiguous]
    if not clear:
        raise LabelsError(f"All {len(rows)} pictures are marked as ambiguous; use --ambiguous to evaluate them.")
    return clear


def _parse(text: str, file: Path) -> list[Row]:
    header = text.partition("\n")[0]
    lines = csv.DictReader(StringIO(text), delimiter=max(DELIMITERS, key=header.count))
    lines.fieldnames = [name.strip().lower() for name in lines.fieldnames or ()]
    missing = [name for name in REQUIRED if name not in lines.fieldnames]
    if text.strip() and missing:
        raise LabelsError(f"{file} has no column {' and no column '.join(missing)}; the first line must name the columns.")
    return [_row(fields, f"{file}, line {lines.line_num}") for fields in lines]


def _row(fields: Mapping[str, str | None], where: str) -> Row:
    row = Row(**{name: (fields.get(name) or "").strip() for name in ("path", "label", "kind", "source", "notes")})
    path = PurePath(row.path.replace("\\", "/"))
    if not row.path or "\0" in row.path:
        raise LabelsError(f"{where}: the path is missing.")
    if path.anchor or PureWindowsPath(row.path).anchor or ".." in path.parts:
        raise LabelsError(f"{where}: {row.path} is outside the folder; use a path relative to it, without '..'.")
    return row
