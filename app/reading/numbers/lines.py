"""Boxes -> lines of digits in reading order; slanted and curved lines, too."""

from collections.abc import Sequence
from statistics import fmean, median

from app.reading.find.finder import Floats

Place = tuple[float, float, float]  # of a box: its centre in x and y, and its height

LEVEL = 0.55  # of the higher box: a box whose centre is no further from where its line goes on belongs to it
STEEPEST = 0.4  # slope of a line; a turned picture is turned back before
FEW = 3  # boxes; fewer have no slope
RECENT = 4  # boxes at the end of a line, which say where it goes on


def group(boxes: Floats) -> list[list[int]]:
    """The lines of boxes (K, 4), as Area: lines from top to bottom, the boxes of each from left to right."""
    places: list[Place] = [(x, y, height) for x, y, _, height in boxes.tolist()]
    lines: list[list[int]] = []
    for index in sorted(range(len(places)), key=lambda each: places[each][0]):
        best, least = None, LEVEL
        for line in lines:
            distance = _distance([places[each] for each in line[-RECENT:]], places[index])
            if distance <= least:
                best, least = line, distance
        if best is None:
            lines.append([index])
        else:
            best.append(index)
    slope = median(_slope([places[each] for each in line]) for line in lines) if lines else 0.0
    return sorted(lines, key=lambda line: fmean(places[each][1] - slope * places[each][0] for each in line))


def _distance(recent: Sequence[Place], new: Place) -> float:
    """How far from the way of a line's end a box lies, over the higher of it and the line's last box."""
    x, y = fmean(each[0] for each in recent), fmean(each[1] for each in recent)
    expected = y + _slope(recent) * (new[0] - x)
    return min(abs(new[1] - expected), abs(new[1] - recent[-1][1])) / max(new[2], recent[-1][2])


def _slope(places: Sequence[Place]) -> float:
    """The slope of a line, by least squares; 0 for a few boxes, which say little."""
    if len(places) < FEW:
        return 0.0
    x, y = fmean(each[0] for each in places), fmean(each[1] for each in places)
    wide = sum((each[0] - x) ** 2 for each in places)
    slope = sum((each[0] - x) * (each[1] - y) for each in places) / max(wide, 1e-6)
    return min(max(slope, -STEEPEST), STEEPEST)
