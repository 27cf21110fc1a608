"""The middle lines of an outline, as strokes."""

import numpy as np

from training.data.dice import Pixels, Points
from training.data.made_photos import thin

SPUR = 5  # pixels; shorter lines that end at a junction are artefacts of thinning
RING = ((-1, 0), (0, 1), (1, 0), (0, -1), (-1, 1), (1, 1), (1, -1), (-1, -1))  # neighbours, nearest first

Pixel = tuple[int, int]


def trace(mask: Pixels) -> list[Points]:
    """Traces the middle lines of a mask (h, w) of 0 and 1, each (n, 2) of x, y in pixels."""
    line = thin(np.pad(mask, 1))[1:-1, 1:-1]
    ink: set[Pixel] = {(int(y), int(x)) for y, x in zip(*np.nonzero(line), strict=True)}
    _smooth_stairs(ink)
    degree = {pixel: len(_next_to(pixel, ink)) for pixel in ink}
    lines = _walk(ink, degree)
    kept = [path for path in lines if len(path) > SPUR or not _is_spur(path, degree)] or lines
    return [np.array([(x + 0.5, y + 0.5) for y, x in path], np.float32) for path in kept]


def _next_to(pixel: Pixel, ink: set[Pixel]) -> list[Pixel]:
    return [near for dy, dx in RING if (near := (pixel[0] + dy, pixel[1] + dx)) in ink]


def _smooth_stairs(ink: set[Pixel]) -> None:
    """Removes corner pixels of stairs if the line stays connected; they look like junctions."""
    for pixel in sorted(ink):
        near = _next_to(pixel, ink)
        if len(near) > 1 and _hang_together(near):
            ink.discard(pixel)


def _hang_together(pixels: list[Pixel]) -> bool:
    reached, left = {pixels[0]}, set(pixels[1:])
    while grown := {p for p in left if any(max(abs(p[0] - q[0]), abs(p[1] - q[1])) <= 1 for q in reached)}:
        reached |= grown
        left -= grown
    return not left


def _walk(ink: set[Pixel], degree: dict[Pixel, int]) -> list[list[Pixel]]:
    """Paths that together cover all pixels: first from the ends, then around closed loops."""
    left, paths = set(ink), []
    for start in sorted(ink, key=lambda pixel: (degree[pixel] != 1, pixel)):
        while start in left or (degree[start] > 2 and any(near in left for near in _next_to(start, ink))):
            paths.append(_follow(start, ink, left))
            if degree[start] <= 2:
                break
    return paths


def _follow(start: Pixel, ink: set[Pixel], left: set[Pixel]) -> list[Pixel]:
    path = [start]
    left.discard(start)
    while True:
        ahead = [near for near in _next_to(path[-1], ink) if near in left]
        if not ahead:
            break
        path.append(min(ahead, key=lambda near: _bend(path, near)))
        left.discard(path[-1])
    if closing := [near for near in _next_to(path[-1], ink) if near not in path[-3:]]:
        path.append(closing[0])
    return path


def _bend(path: list[Pixel], near: Pixel) -> float:
    """How far the step to ``near`` deviates from the direction of the last pixels."""
    back = path[-min(len(path), 5)]
    ahead = np.subtract(near, path[-1])
    way = np.subtract(path[-1], back)
    length = float(np.hypot(*way)) or 1.0
    return -float(ahead @ way) / (length * float(np.hypot(*ahead)))


def _is_spur(path: list[Pixel], degree: dict[Pixel, int]) -> bool:
    ends = (degree[path[0]], degree[path[-1]])
    return len(path) <= SPUR and 1 in ends and max(ends) > 2
