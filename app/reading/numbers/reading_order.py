"""Boxes -> lines of digits in reading order, also slanted and curved ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from app.reading.find.finder import Floats

Place = tuple[float, float, float]  # of a box: its centre in x and y, and its height

LEVEL = 0.55  # of the higher box: a box whose centre is no further from where its line goes on belongs to it
STEEPEST = 0.4  # slope of a line; a turned picture is turned back before
FEW = 3  # boxes; fewer have no slope
RECENT = 4  # boxes at the end of a line, which say where it goes on


@dataclass
class _Line:
    """A line so far. x, y, slope: of a point on its way, and its slope, by its last boxes; 0 for few, which say little."""

    places: list[Place]
    members: list[int]
    x: float = 0.0
    y: float = 0.0
    slope: float = 0.0

    def add(self, index: int, place: Place) -> None:
        """Goes on with a box."""
        self.places.append(place)
        self.members.append(index)
        self.x, self.y, self.slope = _way(self.places[-RECENT:])

    def distance(self, new: Place) -> float:
        """How far from its way a box lies, over the higher of it and the last box."""
        last = self.places[-1]
        expected = self.y + self.slope * (new[0] - self.x)
        return min(abs(new[1] - expected), abs(new[1] - last[1])) / max(new[2], last[2])


def group(boxes: Floats) -> list[list[int]]:
    """The lines of boxes (K, 4), as Area: lines from top to bottom, the boxes of each from left to right."""
    places: list[Place] = [(x, y, height) for x, y, _, height in boxes.tolist()]
    lines: list[_Line] = []
    for index in sorted(range(len(places)), key=lambda each: places[each][0]):
        distances = [line.distance(places[index]) for line in lines]
        least = min(distances, default=LEVEL + 1)
        if least > LEVEL:
            lines.append(_Line([], []))
            lines[-1].add(index, places[index])
        else:
            lines[distances.index(least)].add(index, places[index])
    ways = [_way(line.places) for line in lines]
    slope = median(way[2] for way in ways) if ways else 0.0
    order = sorted(range(len(lines)), key=lambda number: ways[number][1] - slope * ways[number][0])
    return [lines[number].members for number in order]


def _way(places: Sequence[Place]) -> tuple[float, float, float]:
    """The middle of some boxes, and their slope by least squares."""
    count = len(places)
    x, y = sum(place[0] for place in places) / count, sum(place[1] for place in places) / count
    if count < FEW:
        return x, y, 0.0
    wide = sum((place[0] - x) ** 2 for place in places)
    slope = sum((place[0] - x) * (place[1] - y) for place in places) / max(wide, 1e-6)
    return x, y, min(max(slope, -STEEPEST), STEEPEST)
