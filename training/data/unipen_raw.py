"""Reads the UNIPEN collection as distributed: data/1a to 1d name segments of the ink in include/.

Format: UNIPEN 1.0 (Guyon et al. 1994). A file in data/ includes files of ink. Their .PEN_DOWN and .PEN_UP parts with
points are numbered from 0. A .SEGMENT names parts, ``12`` or ``12-14`` or ``12:3-14:5`` with its first and last points, and a
label. y points up. Writers' names become numbers here; no name is kept.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.errors import DataError

DIGITS_OF, OTHERS_OF = ("1a",), ("1b", "1c", "1d")  # categories of isolated digits; of letters and signs
LONGER_SIDE = 1000  # units of the stored points
CUT = 2  # points of a stroke that a segment may omit; if it omits more, it was cut out of connected writing
MOST_STROKES = 12
STRAY = 0.03  # of a digit's longer side: a smaller stroke is a touch of the pen
WIDEST, NARROWEST = 3.0, 1 / 6  # a digit's width over its height; only a 1 may be narrower
EACH = 300  # largest number of samples of a letter or sign, spread over the writers
LOOKALIKES = {  # the digit that a letter or sign looks like
    letter: digit
    for digit, letters in enumerate(("OoDQ", "lIi|!/\\'`,()[]", "Zz", "}", "yY", "Ss$", "bG", ">T?", "B&", "gq"))
    for letter in letters
}
ONE_SITE = {"apa": "apple", "apb": "apple", "app": "apple", "cea": "cedar", "ceb": "cedar", "ced": "cedar"}
SHARES = (0.70, 0.85)  # of writers: up to the first for training, then up to the second for validation
SEGMENT = re.compile(r'^CHARACTER\s+(\S+)\s+\S+\s+"(.*)"\s*$')
KEYWORD = re.compile(r"^\.([A-Z_]+)(?:\s+(.*))?$")
PER_MM = {"MM": 1.0, "CM": 10.0, "INCH": 25.4}

Points = NDArray[np.float64]


@dataclass
class _Part:
    """The points between two lifts of the pen, or of the lifted pen's path between strokes."""

    down: bool
    writer: str
    points: list[tuple[float, float]] = field(default_factory=list)


@dataclass
class _Sheet:
    """The content of a file and its includes. units: keyword and value of the resolution."""

    parts: list[_Part] = field(default_factory=list)
    segments: list[str] = field(default_factory=list)
    units: dict[str, float] = field(default_factory=dict)
    writer: str = ""


@dataclass(frozen=True)
class Sample:
    """A character. who: writer's number; split: 0, 1, 2; size: longer side in mm; strokes: each (n, 2) int16, y down."""

    label: str
    provider: str
    who: int
    split: int
    size: float
    strokes: tuple[NDArray[np.int16], ...]


def read_collection(folder: Path) -> tuple[list[Sample], list[Sample]]:
    """Reads the digits, and the letters and signs, that are complete, readable and not duplicates.

    Raises:
        DataError: the folder is not the collection, or includes a file that is missing.
    """
    if not (folder / "data" / DIGITS_OF[0]).is_dir():
        raise DataError(f"{folder} is not the UNIPEN collection: it has no folder data/{DIGITS_OF[0]}.")
    digits = list(_unique(_samples(folder, DIGITS_OF)))
    return digits, _spread(list(_unique(_samples(folder, OTHERS_OF))))


def _samples(folder: Path, categories: Sequence[str]) -> Iterator[Sample]:
    for category in categories:
        for path in sorted(path for path in (folder / "data" / category).rglob("*") if path.is_file()):
            yield from _of_file(folder, path, digits=category in DIGITS_OF)


def _of_file(folder: Path, path: Path, *, digits: bool) -> Iterator[Sample]:
    sheet = _Sheet()
    _read(sheet, path, folder / "include")
    inked = [part for part in sheet.parts if part.points]
    provider = path.name[:3]
    scale = np.array([1 / _per_mm(sheet, "X"), -1 / _per_mm(sheet, "Y")])
    segments = [(found[1], found[2]) for text in sheet.segments if (found := SEGMENT.match(text))]
    torn = _torn(segments, digits=digits) if provider == "ibm" else set()
    for number, (span, text) in enumerate(segments):
        label = text.replace('\\"', '"').replace("\\\\", "\\")
        strokes = _strokes(inked, span) if number not in torn and len(label) == 1 else None
        if strokes:
            parts, writer = strokes
            yield from _sample(label, provider, writer, [part * scale for part in parts], digit=digits)


def _torn(segments: Sequence[tuple[str, str]], *, digits: bool) -> set[int]:
    """Numbers of segments that are only pieces of characters.

    Towards the end of IBM's files each stroke is a separate segment, moved to the origin, so the grouping is lost. A digit of
    one stroke is complete there unless its neighbour has the same label.
    """
    several = [number for number, (span, _) in enumerate(segments) if "-" in span]
    tail = range(several[-1] + 1 if several else 0, len(segments))
    labels = [label for _, label in segments]
    return {
        number
        for number in tail
        if not digits or labels[number] in (labels[number - 1 : number] + labels[number + 1 : number + 2])
    }


def _read(sheet: _Sheet, path: Path, include: Path) -> None:
    try:
        lines = path.read_text(encoding="latin-1").splitlines()
    except OSError as error:
        raise DataError(f"{path} of the UNIPEN collection cannot be read ({error.strerror}).") from error
    part: _Part | None = None
    for line in lines:
        text = line.strip()
        if keyword := KEYWORD.match(text):
            part = _keyword(sheet, keyword[1], keyword[2] or "", include)
        elif part is not None and text:
            x, y = text.split()[:2]
            part.points.append((float(x), float(y)))


def _keyword(sheet: _Sheet, keyword: str, value: str, include: Path) -> _Part | None:
    """Records a keyword; returns the part whose points follow, if any."""
    if keyword == "INCLUDE":
        _read(sheet, include / value.strip(), include)
    elif keyword == "WRITER_ID":
        sheet.writer = value.strip()
    elif keyword == "SEGMENT":
        sheet.segments.append(value.strip())
    elif "_POINTS_PER_" in keyword and value:
        sheet.units.setdefault(keyword, float(value.split(maxsplit=1)[0]))
    elif keyword in ("PEN_DOWN", "PEN_UP") and re.fullmatch(r"[-\d. ]*", value):
        sheet.parts.append(_Part(keyword == "PEN_DOWN", sheet.writer))
        if value.strip():
            x, y = value.split()[:2]
            sheet.parts[-1].points.append((float(x), float(y)))
        return sheet.parts[-1]
    return None


def _per_mm(sheet: _Sheet, axis: str) -> float:
    """Points per millimetre; 1 if the file does not say."""
    for unit, millimetres in PER_MM.items():
        if value := sheet.units.get(f"{axis}_POINTS_PER_{unit}"):
            return value / millimetres
    return 1.0


def _strokes(parts: Sequence[_Part], span: str) -> tuple[list[Points], str] | None:
    """The strokes of a segment and their writer, or None if it is not a complete character."""
    strokes, writer, left_out = [], "", 0
    for piece in span.split(","):
        first, _, last = piece.partition("-")
        (start, _, start_point), (end, _, end_point) = first.partition(":"), (last or first).partition(":")
        if int(end) >= len(parts):
            return None
        for number in range(int(start), int(end) + 1):
            part = parts[number]
            writer = part.writer or writer
            if not part.down:
                continue
            begin = int(start_point) if number == int(start) and start_point else 0
            stop = int(end_point) + 1 if number == int(end) and end_point else len(part.points)
            points = np.array(part.points[begin:stop])
            left_out += len(part.points) - len(points)
            if not len(points) or not points.any():  # blanked: part of the test set, which was never published
                return None
            strokes.append(points)
    return (strokes, writer) if strokes and left_out <= CUT and len(strokes) <= MOST_STROKES else None


def _sample(label: str, provider: str, writer: str, strokes: list[Points], *, digit: bool) -> Iterator[Sample]:
    """The character in integer units, if it is large enough and has plausible proportions."""
    size = float(np.ptp(np.concatenate(strokes), axis=0).max())
    if digit:
        strokes = [stroke for stroke in strokes if np.ptp(stroke, axis=0).max() > STRAY * size]
    if size <= 0 or not strokes:
        return
    every = np.concatenate(strokes)
    low, (width, height) = every.min(axis=0), np.ptp(every, axis=0)
    aspect = width / max(height, 1e-9)
    if digit and (aspect > WIDEST or (aspect < NARROWEST and label != "1")):
        return
    whole = [np.rint((stroke - low) * (LONGER_SIDE / max(width, height))).astype(np.int16) for stroke in strokes]
    kept = [points[np.r_[True, (np.diff(points.astype(int), axis=0) != 0).any(axis=1)]] for points in whole]
    who = _number(provider, writer)
    yield Sample(label, provider, who, _split(who), max(width, height), tuple(kept))


def _number(provider: str, writer: str) -> int:
    """A writer's number: a digest of the name, so that it does not depend on the other writers."""
    name = re.sub(r"[\s_]", "", writer.lower())
    if provider == "ibm":
        name = name.rsplit("-", 1)[-1]  # recordings of one writer share ink
    elif provider == "syn":
        name = name.split("-")[0]
    text = f"unipen/{ONE_SITE.get(provider, provider)}/{name}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) & 0x7FFF_FFFF


def _split(who: int) -> int:
    share = int.from_bytes(hashlib.sha256(who.to_bytes(4)).digest()[:4]) / 2**32
    return sum(share >= edge for edge in SHARES)


def _unique(samples: Iterator[Sample]) -> Iterator[Sample]:
    seen: set[tuple[str, str, bytes]] = set()
    for sample in samples:
        key = sample.provider, sample.label, b"|".join(stroke.tobytes() for stroke in sample.strokes)
        if key not in seen:
            seen.add(key)
            yield sample


def _spread(samples: Sequence[Sample]) -> list[Sample]:
    """Chooses at most EACH of each label, taking from the writers in turn."""
    turns: dict[tuple[str, int], int] = defaultdict(int)
    ranked = []
    for index, sample in enumerate(samples):
        turn = turns[sample.label, sample.who]
        turns[sample.label, sample.who] += 1
        ranked.append((sample.label, turn, _split(sample.who ^ 0x5A5A), index))
    kept: dict[str, int] = defaultdict(int)
    chosen = []
    for label, _, _, index in sorted(ranked):
        kept[label] += 1
        if kept[label] <= EACH:
            chosen.append(index)
    return [samples[index] for index in sorted(chosen)]
