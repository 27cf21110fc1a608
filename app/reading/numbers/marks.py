"""Points, commas, minus and other signs among the lines of digits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from app.reading.find.detect import NEIGHBOURS
from app.reading.find.finder import Floats
from app.reading.find.window import Area
from app.reading.numbers.candidates import Page

LEAST = 0.5  # score from which on a mark counts as seen
WITHIN = 1.0  # heights of the nearest digit: a mark further above or below belongs to no line
ALONG = 2.5  # heights of the nearest digit: a mark further away, to the side, belongs to no line
COVERED = 0.5  # of a digit's box, around its centre: a mark there is a part of the digit
MOST = 200  # marks


@dataclass(frozen=True)
class Seen:
    """A mark. kind: index in MARKS; area: in pixels of the picture; line: its number; after: so many digits of its line."""

    kind: int
    area: Area
    line: int
    after: int


def find_marks(page: Page, areas: Floats, lines: Sequence[Sequence[int]]) -> Iterator[Seen]:
    """The marks of a look at a picture that stand in its lines, which have candidates with these areas, in reading order."""
    look = page.look
    scores, kinds = look.marks.max(axis=0), look.marks.argmax(axis=0)
    high = (cv2.dilate(scores, NEIGHBOURS) == scores) & (scores >= LEAST) & (scores > look.scores)
    rows, columns = np.nonzero(high)
    order = np.argsort(-scores[rows, columns], kind="stable")[:MOST]
    found = []
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        x, y, width, height = look.boxes[:, row, column].tolist()
        area = page.window.to_picture((x, y, width, height))
        seen = _place(area, int(kinds[row, column]), areas, lines)
        if seen:
            found.append(seen)
    return iter(sorted(found, key=lambda mark: (mark.line, mark.area[0])))


def _place(area: Area, kind: int, areas: Floats, lines: Sequence[Sequence[int]]) -> Seen | None:
    """The mark in the line that it stands in; None where it is part of a digit, or in none."""
    places = [(number, *areas[index].tolist()) for number, line in enumerate(lines) for index in line]
    for _, x, y, width, height in places:
        if abs(area[0] - x) < COVERED * width and abs(area[1] - y) < COVERED * height:
            return None
    line, x, y, _, height = min(places, key=lambda place: abs(area[0] - place[1]) + abs(area[1] - place[2]))
    if abs(area[1] - y) > WITHIN * height or abs(area[0] - x) > ALONG * height:
        return None
    return Seen(kind, area, line, sum(bool(areas[index, 0] < area[0]) for index in lines[line]))
