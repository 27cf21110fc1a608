"""Corrections as a folder of glyphs with a labels.csv, which ``numeral evaluate`` reads, and back."""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.corrections.entry import ID, STATUSES, Corrected, Correction, Entry, is_text, to_pairs
from app.errors import LabelsError
from app.reading.answer import Box

LABELS = "labels.csv"
NO_DIGIT_LABEL = "none"  # the label of what is not a digit
SIDE = 28
PNG = b"\x89PNG"  # how such a file begins
NO_BOX = Box(0, 0, 0, 0)  # boxes are not exported: they are of pictures that are not either
COLUMNS = (
    "path", "label", "kind", "source", "notes",  # what numeral evaluate knows
    "id", "place", "truth", "answer", "single", "confidence", "accepted", "model", "created", "client",
    "said_by", "sent", "status", "disputed",
)  # fmt: skip
SHARED = COLUMNS[COLUMNS.index("truth") :]  # what the lines of an answer have in common


@dataclass(frozen=True)
class Exported:
    """glyphs: files that were written; left_out: corrections with more or fewer digits than their answer."""

    glyphs: int
    left_out: int


def write_folder(corrected: Iterable[Corrected], folder: Path) -> Exported:
    """Writes each glyph as a PNG, and labels.csv last; the folder is made if it is missing.

    Raises:
        OSError: it cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows, left_out = [], 0
    for each in corrected:
        pairs = to_pairs(each)
        left_out += not pairs
        for place, (glyph, label) in enumerate(pairs):
            row = _to_row(each, place, label)
            Image.fromarray(glyph).save(folder / row["path"])
            rows.append(row)
    _write_labels(rows, COLUMNS, folder)
    return Exported(len(rows), left_out)


def write_pictures(corrected: Iterable[Corrected], folder: Path) -> int:
    """Writes the pictures that were kept, and a labels.csv with what they show; tells how many.

    Raises:
        OSError: the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for each in corrected:
        if each.entry.picture is None:
            continue
        path = f"{each.entry.id}.{'png' if each.entry.picture.startswith(PNG) else 'jpg'}"
        (folder / path).write_bytes(each.entry.picture)
        label = each.correction.truth.replace("\n", "/") or NO_DIGIT_LABEL
        rows.append({"path": path, "label": label, "kind": "correction", "source": each.reason, "notes": ""})
    _write_labels(rows, COLUMNS[:5], folder)
    return len(rows)


def is_export(folder: Path) -> bool:
    """Whether a folder was written by write_folder."""
    try:
        with (folder / LABELS).open(encoding="utf-8", newline="") as file:
            return tuple(next(csv.reader(file), ())) == COLUMNS
    except (OSError, UnicodeDecodeError, csv.Error):
        return False


def read_folder(folder: Path) -> list[Corrected]:
    """The corrections that write_folder wrote, whatever the order of the lines is now.

    Raises:
        LabelsError: labels.csv is damaged or contradicts itself, or a glyph is damaged.
    """
    answers: defaultdict[str, list[Mapping[str, str]]] = defaultdict(list)
    try:
        with (folder / LABELS).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                answers[row["id"]].append(row)
        return [_to_corrected(_in_order(rows), folder) for rows in answers.values()]
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError, TypeError) as error:
        raise LabelsError(f"{folder / LABELS} is not an export of corrections: {error}.") from error


def _write_labels(rows: Iterable[Mapping[str, str]], columns: Sequence[str], folder: Path) -> None:
    partial = folder / f".{LABELS}.partial"
    with partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(folder / LABELS)


def _to_row(corrected: Corrected, place: int, label: int | None) -> dict[str, str]:
    entry, correction = corrected.entry, corrected.correction
    values: dict[str, object] = {
        "path": f"{entry.id}-{place}.png",
        "label": _to_label(label),
        "kind": "correction",
        "source": corrected.reason,
        "notes": "disputed" if correction.disputed else "",
        "id": entry.id,
        "place": place,
        "truth": correction.truth,
        "answer": entry.text,
        "single": int(entry.single),
        "confidence": entry.confidence,
        "accepted": int(entry.accepted),
        "model": entry.model,
        "created": entry.created,
        "client": entry.client,
        "said_by": correction.client,
        "sent": correction.sent,
        "status": correction.status,
        "disputed": int(correction.disputed),
    }
    return {name: str(value) for name, value in values.items()}


def _in_order(rows: list[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """The lines of an answer, from its first glyph to its last."""
    ordered, identity = sorted(rows, key=lambda row: int(row["place"])), rows[0]["id"]
    if [int(row["place"]) for row in ordered] != [*range(len(ordered))]:
        raise ValueError(f"the places of {identity} are not each number from 0 to {len(ordered) - 1} once")
    for name in SHARED:
        if len({row[name] for row in ordered}) > 1:
            raise ValueError(f"the lines of {identity} differ in {name}")
    return ordered


def _to_corrected(rows: list[Mapping[str, str]], folder: Path) -> Corrected:
    first = rows[0]
    if not re.fullmatch(ID, first["id"]) or not is_text(first["truth"]) or not is_text(first["answer"]):
        raise ValueError(f"id, truth or answer of {first['path']} cannot be right")
    if first["status"] not in STATUSES:
        raise ValueError(f"the status {first['status']} is none of {', '.join(STATUSES)}")
    entry = Entry(
        id=first["id"],
        created=float(first["created"]),
        client=first["client"],
        model=first["model"],
        text=first["answer"],
        single=first["single"] == "1",
        confidence=float(first["confidence"]),
        accepted=first["accepted"] == "1",
        boxes=(NO_BOX,) * len(rows),
        glyphs=np.stack([*_glyphs(rows, folder)]),
    )
    said = float(first["sent"]), first["status"], first["disputed"] == "1"
    corrected = Corrected(entry, Correction(entry.id, first["truth"], first["said_by"], *said))
    shown = [_to_label(digit) for _, digit in to_pairs(corrected)]
    if shown != [row["label"] for row in rows]:
        raise ValueError(f"the labels of {entry.id} are not what its truth, {first['truth']!r}, says; change both")
    return corrected


def _to_label(digit: int | None) -> str:
    return NO_DIGIT_LABEL if digit is None else str(digit)


def _glyphs(rows: list[Mapping[str, str]], folder: Path) -> Iterator[NDArray[np.uint8]]:
    for row in rows:
        if PurePath(row["path"]).name != row["path"]:
            raise ValueError(f"{row['path']} is outside the folder")
        with Image.open(folder / row["path"]) as image:
            if image.size != (SIDE, SIDE):
                raise ValueError(f"{row['path']} is not {SIDE}×{SIDE}")
            yield np.asarray(image.convert("L"))
