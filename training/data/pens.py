"""Pens: how a written character becomes ink on its own small sheet, and what MNIST would have drawn.

These are the first ingredients of a scene. Each takes a character from hands.py and a pen; none depends on paper or light.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.dice import Dice, Floats, Pixels, Points
from training.data.hands import Written

CANONICAL = 0.11  # width of MNIST's pen over the digit's longer side
SUBPIXEL = 4  # bits of cv2's fixed-point coordinates
FINE = 48.0  # pixels; smaller characters are drawn larger, then reduced, so that their strokes have the right width
FINEST = 4  # largest factor of that enlargement
HAIRLINE, BROADEST = 0.006, 0.32  # width over the longer side
THINNEST = 0.4  # pixels; thinner lines are lost
PALEST = 0.4  # strength of lines thinner than a pixel
SMALL_DRAWING = 60  # pixels; on smaller canvases a brush of one or two pixels is usual
SEEN = 40  # grey levels of 255 from which ink counts as visible

STYLES = {
    "round": 0.46,  # of one width
    "pressed": 0.16,  # thicker and thinner along the stroke
    "nib": 0.07,  # broad and flat: a marker, or a ribbon of a drawing program
    "gaps": 0.05,  # skips in places
    "double": 0.05,  # each stroke drawn again
    "hatched": 0.03,  # drawn with many short strokes
    "outlined": 0.03,  # the contour alone
    "spray": 0.02,  # frayed at the edge
    "soft": 0.04,  # a brush that fades out
    "ribbon": 0.02,  # flat, and stronger where it crosses itself
    "square": 0.02,  # a square brush
}


@dataclass(frozen=True)
class Pen:
    """width: over the longer side of the character; own: use the source's outline instead of a pen; style: of STYLES.

    hard: edges with steps, as in a drawing program without smoothing.
    """

    width: float
    style: str = "round"
    own: bool = False
    hard: bool = False


@dataclass(frozen=True)
class Spot:
    """Where and how a character is written. centre, side: in pixels; side is the longer side of its strokes.

    shape: (2, 2), the map that slants, stretches and turns it.
    """

    centre: tuple[float, float]
    side: float
    shape: NDArray[np.float64]


@dataclass(frozen=True)
class Stamp:
    """A character in pixels. ink, canonical: (h, w) uint8, cut to where either is visible; left, top: its position."""

    ink: Pixels
    canonical: Pixels
    left: int
    top: int

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x, y, width, height in pixels."""
        height, width = self.ink.shape
        return float(self.left), float(self.top), float(width), float(height)


def choose_pen(dice: Dice, longer_side: float, *, canvas: bool) -> Pen:
    """Chooses a pen for characters of that many pixels."""
    if dice.maybe(0.25):
        return Pen(CANONICAL, own=True)
    if not dice.maybe(1, "pens"):
        return Pen(dice.scale(0.06, 0.13))
    thinnest = max(HAIRLINE, THINNEST / longer_side)
    width = dice.scale(thinnest, max(BROADEST, thinnest * 1.01))
    small = canvas and longer_side < SMALL_DRAWING
    if canvas and dice.maybe(0.5 if small else 0.25):
        return Pen(dice.count(1, 2 if small else 4) / longer_side, hard=dice.maybe(0.6))
    return Pen(width, dice.weighted(STYLES), hard=canvas and dice.maybe(0.25))


def extent(written: Written, shape: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Smallest x and y, width and height of the character after the (2, 2) map ``shape``."""
    points = np.concatenate(written.strokes) if written.strokes else _corners(written)
    mapped = points @ shape.T
    low = mapped.min(axis=0)
    high = mapped.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])


def _corners(written: Written) -> Points:
    assert written.own is not None  # noqa: S101 - a character without strokes has an outline
    height, width = np.array(written.own.shape) / max(written.own.shape)
    return np.array([(0, 0), (width, 0), (0, height), (width, height)], np.float32)


def stamp(written: Written, spot: Spot, pen: Pen, dice: Dice) -> Stamp | None:
    """Draws the character at the spot; None if nothing of it is visible."""
    sheet = _sheet(written, spot, pen)
    own_ink = written.own is not None and (pen.own or written.exact or not written.strokes)
    outline = _own(written, sheet) if own_ink else None
    turn, shift = sheet.place[:, :2], sheet.place[:, 2]
    strokes = [np.asarray(stroke @ turn.T + shift, np.float32) for stroke in written.strokes]
    exact = outline is not None and (written.exact or not strokes)
    canonical = outline if outline is not None and exact else _write(strokes, sheet.size, CANONICAL * sheet.unit)
    ink = outline if outline is not None and (pen.own or not strokes) else _ink(strokes, sheet, pen, dice)
    return _cut(_reduce(ink, sheet), _reduce(canonical, sheet), sheet)


class _Sheet(NamedTuple):
    """The sheet of one character: size (height, width), ``fine`` times as fine as the page; left, top: its position there.

    place: (2, 3), the map from the character's box to the sheet; unit: the character's longer side on the sheet.
    """

    size: tuple[int, int]
    fine: int
    left: int
    top: int
    place: NDArray[np.float64]
    unit: float


def _sheet(written: Written, spot: Spot, pen: Pen) -> _Sheet:
    x, y, width, height = extent(written, spot.shape)
    scale = spot.side / max(width, height, 1e-6)
    fine = 1 if pen.hard else int(np.clip(np.ceil(FINE / spot.side), 1, FINEST))
    margin = int(np.ceil(spot.side * max(pen.width, CANONICAL) * 0.75)) + 3
    corner = np.array(spot.centre) - np.array((width, height)) * scale / 2
    left, top = (int(each) - margin for each in np.floor(corner))
    size = int(np.ceil(height * scale)) + 2 * margin + 1, int(np.ceil(width * scale)) + 2 * margin + 1
    shift = corner - np.array((left, top)) - np.array((x, y)) * scale
    place = np.hstack([spot.shape * scale, shift[:, np.newaxis]]) * fine
    return _Sheet((size[0] * fine, size[1] * fine), fine, left, top, place, spot.side * fine)


def _ink(strokes: list[Points], sheet: _Sheet, pen: Pen, dice: Dice) -> Pixels:
    """Draws the strokes with the pen; paler if the pen is thinner than a pixel."""
    width = pen.width * sheet.unit
    ink = INK[pen.style](strokes, sheet.size, replace(pen, width=max(width, 1.0)), dice)
    return ink if width >= 1 else np.asarray(cv2.convertScaleAbs(ink, alpha=max(width, PALEST)), np.uint8)


def _reduce(ink: Pixels, sheet: _Sheet) -> Pixels:
    """Reduces the sheet to the page's resolution."""
    if sheet.fine == 1:
        return ink
    size = sheet.size[1] // sheet.fine, sheet.size[0] // sheet.fine
    return np.asarray(cv2.resize(ink, size, interpolation=cv2.INTER_AREA), np.uint8)


def _cut(ink: Pixels, canonical: Pixels, sheet: _Sheet) -> Stamp | None:
    x, y, width, height = cv2.boundingRect(np.asarray(np.maximum(ink, canonical) > SEEN, np.uint8))
    if not width or not ink.any():
        return None
    part = np.s_[y : y + height, x : x + width]
    return Stamp(ink[part], canonical[part], sheet.left + x, sheet.top + y)


def _own(written: Written, sheet: _Sheet) -> Pixels:
    """Draws the source's outline on the sheet; averages by area first, so that small outlines do not break."""
    assert written.own is not None  # noqa: S101 - callers have checked
    own, across = written.own, float(np.sqrt(abs(np.linalg.det(sheet.place[:, :2]))))
    if across < max(own.shape):
        reduced = max(across, 2) / max(own.shape)
        own = np.asarray(cv2.resize(own, None, fx=reduced, fy=reduced, interpolation=cv2.INTER_AREA), np.uint8)
    warp = np.hstack([sheet.place[:, :2] / max(own.shape), sheet.place[:, 2:]])
    return np.asarray(cv2.warpAffine(own, warp, sheet.size[::-1], flags=cv2.INTER_LINEAR), np.uint8)


def _fixed(points: NDArray[np.floating]) -> NDArray[np.int32]:
    return np.round(points * (1 << SUBPIXEL)).astype(np.int32)[:, np.newaxis]


def _write(strokes: list[Points], sheet: tuple[int, int], width: float, *, hard: bool = False) -> Pixels:
    """Draws strokes with a round pen, its width in pixels."""
    ink = np.zeros(sheet, np.uint8)
    kind = cv2.LINE_8 if hard else cv2.LINE_AA
    cv2.polylines(ink, [_fixed(stroke) for stroke in strokes], False, 255, max(1, round(width)), kind, SUBPIXEL)
    return ink


def _round(strokes: list[Points], sheet: tuple[int, int], pen: Pen, dice: Dice) -> Pixels:  # noqa: ARG001
    return _write(strokes, sheet, pen.width, hard=pen.hard)


def _pressed(strokes: list[Points], sheet: tuple[int, int], pen: Pen, dice: Dice) -> Pixels:
    """Thinner and thicker along the strokes, with at most three changes per stroke."""
    ink = np.zeros(sheet, np.uint8)
    weakest = dice.between(0.3, 0.8)
    for stroke in strokes:
        dense = _every(stroke, max(2.0, pen.width / 2))
        pressure = np.interp(np.linspace(0, 3, len(dense)), np.arange(4), dice.rng.uniform(weakest, 1.2, 4))
        fixed = _fixed(dense)
        for index in range(len(dense) - 1):
            width = max(1, round(pen.width * float(pressure[index])))
            cv2.polylines(ink, [fixed[index : index + 2]], False, 255, width, cv2.LINE_AA, SUBPIXEL)
    return ink


def _every(stroke: Points, step: float) -> Points:
    """Points about ``step`` pixels apart along the stroke."""
    if len(stroke) < 2:
        return np.repeat(stroke, 2, axis=0)
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(stroke, axis=0).T))])
    at = np.linspace(0, along[-1], max(2, int(along[-1] / step) + 1))
    return np.stack([np.interp(at, along, stroke[:, axis]) for axis in (0, 1)], axis=1).astype(np.float32)


def _nib(strokes: list[Points], sheet: tuple[int, int], pen: Pen, dice: Dice) -> Pixels:
    """A flat nib held at one angle: the stroke's width depends on its direction."""
    angle, thin = dice.between(0, np.pi), max(1.0, pen.width * dice.between(0.15, 0.5))
    reach = np.array([np.cos(angle), np.sin(angle)], np.float32) * (pen.width - thin) / 2
    ink = np.zeros(sheet, np.uint8)
    for stroke in strokes:
        dense = _every(stroke, max(2.0, thin))
        quads = np.concatenate([dense[:-1] - reach, dense[:-1] + reach, dense[1:] + reach, dense[1:] - reach], axis=1)
        for quad in _fixed(quads.reshape(-1, 2)).reshape(-1, 4, 1, 2):
            cv2.fillConvexPoly(ink, quad, 255, cv2.LINE_AA, SUBPIXEL)
        cv2.polylines(
            ink, [_fixed(dense - reach), _fixed(dense + reach)], False, 255, max(1, round(thin)), cv2.LINE_AA, SUBPIXEL
        )
    return ink


def _gaps(strokes: list[Points], sheet: tuple[int, int], pen: Pen, dice: Dice) -> Pixels:
    """Dashes, or gaps where the pen did not write."""
    length = float(max(np.ptp(np.concatenate(strokes), axis=0)))
    dash, gap = length * dice.between(0.07, 0.3), length * dice.between(0.015, 0.045)
    pieces = []
    for stroke in strokes:
        dense = _every(stroke, 1.5)
        on, off = max(2, round(dash / 1.5)), max(1, round((gap + pen.width) / 1.5))
        pieces += [dense[start : start + on] for start in range(0, len(dense), on + off)]
    return _write([piece for piece in pieces if len(piece) > 1] or strokes, sheet, pen.width, hard=pen.hard)


def _shaken(strokes: list[Points], amount: float, dice: Dice) -> list[Points]:
    return [
        np.asarray(stroke + dice.rng.normal(0, amount, 2) + _drift(len(stroke), amount, dice), np.float32) for stroke in strokes
    ]


def _drift(length: int, amount: float, dice: Dice) -> Points:
    knots = dice.rng.normal(0, amount, (5, 2))
    at = np.linspace(0, 4, length)
    return np.stack([np.interp(at, np.arange(5), knots[:, axis]) for axis in (0, 1)], axis=1).astype(np.float32)


def _double(strokes: list[Points], sheet: tuple[int, int], pen: Pen, dice: Dice) -> Pixels:
    """Drawn once or twice more, not exactly on the first line."""
    side = float(max(np.ptp(np.concatenate(strokes), axis=0)))
    again = [_shaken(strokes, side * dice.between(0.008, 0.03), dice) for _ in range(dice.count(1, 3))]
    return _write([stroke for pass_ in [strokes, *again] for stroke in pass_], sheet, pen.width * 0.6)


def _hatched(strokes: list[Points], sheet: tuple[int, int], pen: Pen, dice: Dice) -> Pixels:
    """A broad stroke made of many thin ones."""
    width = max(pen.width, 4.0)
    passes = [_shaken(strokes, width * 0.3, dice) for _ in range(dice.count(3, 7))]
    return _write([stroke for pass_ in passes for stroke in pass_], sheet, max(1.0, width * dice.between(0.1, 0.3)))


def _outlined(strokes: list[Points], sheet: tuple[int, int], pen: Pen, dice: Dice) -> Pixels:
    """The contour of a broad stroke, empty or lightly filled."""
    broad = max(pen.width, 6.0)
    line = max(1.0, broad * dice.between(0.12, 0.3))
    outer, inner = _write(strokes, sheet, broad), _write(strokes, sheet, max(1.0, broad - 2 * line))
    filled = dice.between(0.2, 0.9) if dice.maybe(0.6) else 0.0
    return np.asarray(outer - np.minimum(outer, inner) * (1 - filled), np.uint8)


def _spray(strokes: list[Points], sheet: tuple[int, int], pen: Pen, dice: Dice) -> Pixels:
    """A brush whose edge is frayed."""
    soft = cv2.GaussianBlur(_write(strokes, sheet, pen.width), (0, 0), max(0.8, pen.width * 0.25)).astype(np.float32)
    noise = dice.grain(sheet, dice.between(0.5, 1.2)) * dice.between(20, 60)
    return np.asarray(np.clip((soft + noise * (soft > 8) - 110) * 4 + 128, 0, 255), np.uint8)


def _soft(strokes: list[Points], sheet: tuple[int, int], pen: Pen, dice: Dice) -> Pixels:
    """A brush that fades towards its edge."""
    sharp = _write(strokes, sheet, pen.width)
    soft = cv2.GaussianBlur(sharp, (0, 0), max(0.5, pen.width * dice.between(0.1, 0.35)))
    return np.asarray(cv2.convertScaleAbs(soft, alpha=255 / max(int(soft.max()), 1)), np.uint8)


def _ribbon(strokes: list[Points], sheet: tuple[int, int], pen: Pen, dice: Dice) -> Pixels:
    """A flat nib with thin ink: overlapping pieces add up."""
    ink = np.zeros(sheet, np.uint8)
    for stroke in strokes:
        for piece in np.array_split(_every(stroke, max(2.0, pen.width / 4)), dice.count(2, 5)):
            if len(piece) > 1:
                layer = _nib([piece], sheet, pen, dice)
                ink = np.asarray(cv2.addWeighted(ink, 1, layer, dice.between(0.45, 0.8), 0), np.uint8)
    return ink


def _square(strokes: list[Points], sheet: tuple[int, int], pen: Pen, dice: Dice) -> Pixels:  # noqa: ARG001
    """A square brush, its sides level."""
    thin = _write(strokes, sheet, 1, hard=True)
    return np.asarray(cv2.dilate(thin, np.ones((max(1, round(pen.width)),) * 2, np.uint8)), np.uint8)


INK = {
    "round": _round,
    "pressed": _pressed,
    "nib": _nib,
    "gaps": _gaps,
    "double": _double,
    "hatched": _hatched,
    "outlined": _outlined,
    "spray": _spray,
    "soft": _soft,
    "ribbon": _ribbon,
    "square": _square,
}


def tone(ink: Floats, dice: Dice) -> Floats:
    """How much ink each place of the page took, (H, W) around 1: pencil grain, ink that pools or runs dry."""
    height, width = ink.shape
    uneven = dice.waves((height, width), 10) * dice.between(0, 0.3)
    grain = dice.grain((height, width), dice.between(0.3, 0.9)) * (dice.between(0, 0.5) if dice.maybe(0.6) else 0.0)
    return np.clip(1 + uneven + grain, 0.2, 1.3)
