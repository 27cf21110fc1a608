"""Strokes -> strokes without printed lines: of ruled, squared and dashed paper, and the frame of a form's cell.

The mask is looked at in strips across the lines' way, as Postl looked for the skew of a page (US patent 4,723,297, 1988): in a
strip a line is a row of ink, and sheared by the page's true tilt the rows of all strips come to lie beside one another. A line
is taken away where the ink across it is no thicker than it is itself, so that strokes stay whole where they cross it.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from app.reading.find.measure import Mask, stroke_width

STRIPS = 16  # across a line: short enough that a tilted line stays a row in each of them
FILLED = 0.4  # share of a strip's width: a dashed line and one that is hardly darker than the threshold have more
SPAN = 14  # strips that a line passes through; noise and thick strokes hide it in two
STEEPEST = 0.07  # rise over run, 4 degrees: a page that somebody meant to hold straight is tilted less
THICKEST = 0.03  # of the shorter side: what is thicker is no printed line but a brush or a table's edge
FUZZ = 2  # pixels by which a line is thicker here and there: its edge falls between pixels, and noise frays it
MANY = 3  # parallel lines from border to border; no digit has as many such strokes
THINNER = 0.7  # of the digit's stroke width: where their number does not give lines away, their thinness must
SIDE_FILLED = 0.8  # of a frame's side, before its lines are looked for; the top of a round stroke is shorter


@dataclass(frozen=True)
class Lines:
    """Printed lines of one direction: the rows where each crosses the strips' middles, (n, STRIPS), and how thick they are."""

    rows: NDArray[np.float64]
    thickness: float


def remove_lines(strokes: Mask, bounds: cv2.typing.Rect | None = None) -> Mask:
    """Takes the page's printed lines from a mask (H, W) of 0 and 1; the very mask where there are none.

    A line runs from border to border. Fewer than MANY side by side must also be thinner than the strokes that they leave.
    bounds: of what is not 0, left, top, width and height, where they are known.
    """
    height, width = strokes.shape
    _, _, broad, high = bounds or cv2.boundingRect(strokes)
    across = find_lines(strokes) if broad >= width - width // STRIPS else None
    down = find_lines(_turned(strokes)) if high >= height - height // STRIPS else None
    if across is None and down is None:
        return strokes
    rest = _without(strokes, across, down)
    many = max(len(lines.rows) for lines in (across, down) if lines) >= MANY
    return rest if many or _are_thinner(across, down, rest) else strokes


def remove_frame(strokes: Mask) -> Mask:
    """Takes a frame from a mask (h, w) of 0 and 1 whose four sides it runs along; the very mask where there is none.

    Its lines are thinner than the strokes within, as those of a square figure of eight are not.
    """
    if not all(_is_side(side) for side in (strokes, strokes[::-1], strokes.T, strokes.T[::-1])):
        return strokes
    across, down = find_lines(strokes), find_lines(_turned(strokes))
    if across is None or down is None or min(len(across.rows), len(down.rows)) < 2:
        return strokes
    rest = _without(strokes, across, down)
    return rest if _are_thinner(across, down, rest) else strokes


def find_lines(strokes: Mask) -> Lines | None:
    """The lines that cross a mask (H, W) of 0 and 1 from left to right, or None."""
    height, width = strokes.shape
    if width < 2 * STRIPS:
        return None
    profile = _profile(strokes)
    if np.count_nonzero(profile.max(axis=0) >= FILLED) < SPAN:
        return None
    shifts = _tilt(profile, width)
    rows = _follow(profile, _crossed(profile, shifts)[:, np.newaxis] + shifts)
    thickest = max(3.0, THICKEST * min(height, width))
    thickness = _thickness(profile, rows, round(thickest))
    thin = thickness <= thickest
    return Lines(rows[thin], float(np.median(thickness[thin]))) if thin.any() else None


def _profile(strokes: Mask) -> NDArray[np.float32]:
    """How much of each row is ink, strip by strip: (H, W) -> (H, STRIPS) in 0..1."""
    small = cv2.resize(strokes * np.uint8(255), (STRIPS, strokes.shape[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(small / 255, np.float32)


def _tilt(profile: NDArray[np.float32], width: int) -> NDArray[np.intp]:
    """How many rows lower a line lies in each strip, (STRIPS,): by the tilt at which the rows' sums differ most."""
    most = int(STEEPEST * width)
    along = (np.arange(STRIPS) - (STRIPS - 1) / 2) / STRIPS
    tilts = np.round(np.arange(-most, most + 1, 2)[:, np.newaxis] * along).astype(np.intp)
    sharpness = [float((_sheared(profile, shifts).sum(axis=1) ** 2).sum()) for shifts in tilts]
    best: NDArray[np.intp] = tilts[int(np.argmax(sharpness))]
    return best


def _crossed(profile: NDArray[np.float32], shifts: NDArray[np.intp]) -> NDArray[np.float64]:
    """The middle rows of lines, (n,), from the middles of the outermost strips to one another.

    Where one runs the whole way, those count too that leave the picture on their way, as far as they are in it.
    """
    reach = np.ones((2 * FUZZ + 1, 1), np.uint8)
    margin = int(np.abs(shifts).max())
    padded = np.pad(np.asarray(cv2.dilate(profile, reach), np.float32), ((margin, margin), (0, 0)), constant_values=np.nan)
    sheared = _sheared(padded, shifts)
    inside = (~np.isnan(sheared)).sum(axis=1)
    crossings = (sheared >= FILLED).sum(axis=1)
    whole = crossings >= SPAN
    crossed = whole | ((crossings >= inside * SPAN / STRIPS) & (inside >= STRIPS // 4) & whole.any())
    starts = np.flatnonzero(np.diff(crossed, prepend=False) & crossed)
    ends = np.flatnonzero(np.diff(crossed, append=False) & crossed)
    return (starts + ends) / 2 - margin


def _sheared(profile: NDArray[np.float32], shifts: NDArray[np.intp]) -> NDArray[np.float32]:
    """A profile (H, STRIPS) whose strips are moved up by so many rows; 0 where rows come in from outside."""
    margin = int(np.abs(shifts).max())
    padded = np.pad(profile, ((margin, margin), (0, 0)))
    rows = np.arange(len(profile))[:, np.newaxis] + shifts + margin
    return np.asarray(padded[rows, np.arange(STRIPS)], np.float32)


def _follow(profile: NDArray[np.float32], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows (n, STRIPS) moved by up to FUZZ to where the ink is, since pages bend and lenses distort."""
    weight = _around(profile, rows, FUZZ)
    offsets = np.arange(-FUZZ, FUZZ + 1)[:, np.newaxis, np.newaxis]
    centre: NDArray[np.float64] = np.round(rows) + (weight * offsets).sum(axis=0) / np.maximum(weight.sum(axis=0), FILLED)
    return centre


def _thickness(profile: NDArray[np.float32], rows: NDArray[np.float64], thickest: int) -> NDArray[np.float64]:
    """Of each line, (n,) in pixels: the ink that it has in a strip, by their lower quartile, since strokes cross the others."""
    return np.asarray(np.quantile(_around(profile, rows, thickest // 2 + FUZZ).sum(axis=0), 0.25, axis=1), np.float64)


def _around(profile: NDArray[np.float32], rows: NDArray[np.float64], reach: int) -> NDArray[np.float32]:
    """The profile in the rows up to ``reach`` above and below: (2 reach + 1, n, STRIPS)."""
    padded = np.pad(profile, ((reach, reach), (0, 0)))
    middle = np.round(rows).astype(np.intp).clip(0, len(profile) - 1) + reach
    return np.stack([padded[middle + offset, np.arange(STRIPS)] for offset in range(-reach, reach + 1)])


def _without(strokes: Mask, across: Lines | None, down: Lines | None) -> Mask:
    """The mask without the lines of both directions, and without what lay wholly on them."""
    rest, on_lines = strokes, np.zeros_like(strokes)
    if across:
        band = _band(across, strokes.shape)
        rest, on_lines = rest * (1 - (_thin(rest, across.thickness) & band)), on_lines | band
    if down:
        band = _turned(_band(down, strokes.shape[::-1]))
        thin = _turned(_thin(_turned(rest), down.thickness))
        rest, on_lines = rest * (1 - (thin & band)), on_lines | band
    _, labels = cv2.connectedComponents(rest, connectivity=8)
    kept = np.zeros(int(labels.max()) + 1, np.uint8)
    kept[labels[rest > on_lines]] = 1
    return np.asarray(kept[labels], np.uint8)


def _band(lines: Lines, shape: tuple[int, ...]) -> Mask:
    """Where the lines run in a mask of this shape (H, W), with FUZZ on either side."""
    height, width = shape
    columns = (np.arange(STRIPS) + 0.5) * width / STRIPS
    columns[0], columns[-1] = 0, width - 1
    band = np.zeros((height, width), np.uint8)
    for rows in lines.rows:
        points = np.stack((columns, rows), axis=1).round().astype(np.int32)
        cv2.polylines(band, [points[:, np.newaxis]], False, 1, round(lines.thickness) + 2 * FUZZ)
    return band


def _thin(strokes: Mask, thickness: float) -> Mask:
    """The ink that is no higher than a line of this thickness: what an opening with a taller column takes away."""
    column = np.ones((round(thickness) + FUZZ + 1, 1), np.uint8)
    return np.asarray(cv2.subtract(strokes, cv2.morphologyEx(strokes, cv2.MORPH_OPEN, column)), np.uint8)


def _are_thinner(across: Lines | None, down: Lines | None, rest: Mask) -> bool:
    return max(lines.thickness for lines in (across, down) if lines) <= THINNER * stroke_width(rest)


def _is_side(strokes: Mask) -> bool:
    """Whether the top of a mask (h, w) is filled from left to right, as by the side of a frame."""
    depth = 1 + int((STEEPEST + THICKEST) * max(strokes.shape))
    return bool(np.count_nonzero(strokes[:depth].max(axis=0)) >= SIDE_FILLED * strokes.shape[1])


def _turned(strokes: Mask) -> Mask:
    return np.ascontiguousarray(strokes.T)
