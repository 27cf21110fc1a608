"""Layouts: the position of each character in the picture, before any ink.

A layout is in pixels of the composed picture. ``look_at`` moves and enlarges it to what a second look sees: a window of which
one digit fills about 60 %.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.data.dice import Dice
from training.data.hands import Hand, Hands, Written
from training.data.pens import Spot, extent
from training.data.stroke_variation import choose_hand, one, vary

MOST = 24  # objects in a scene
LEAST_DIGIT = 7.0  # pixels; smaller digits are hardly readable
USUAL = 192  # pixels; the longer side of a picture for which line widths and paper grain are given
SHORTEST = 16  # pixels; a picture's shorter side
SMALLEST_DIGIT = 0.045  # of the largest digit that would fit
FILLED = 0.60  # of a window's side that the digit of a second look fills
ROUND = 0.15  # share of numbers that end in zeros, as prices and amounts do
TOUCHING = 0.3  # share of lines whose digits touch or overlap
FORM_KINDS = {
    "box": 0.4,
    "field": 0.35,
    "comb": 0.25,
}  # a frame a digit, one around all, or a ruled base line
TILTED = 0.12, 0.3  # share of scenes whose writing is turned by up to so many radians, as on paper that lies askew
SLANTED = 0.2, (0.1, 0.45)  # share of hands that lean clearly to the right, and how far: the way across over that up
KINDS = {
    "photo": 0.24,
    "canvas": 0.19,
    "row": 0.14,
    "few": 0.06,
    "tight": 0.06,
    "none": 0.10,
    "scattered": 0.05,
    "page": 0.05,
    "grid": 0.04,
    "screenshot": 0.03,
    "glyph": 0.04,
}
MANY = ("row", "few", "page", "grid", "scattered")
FEW_ONES = 0.3  # share of 1s among the digits of short numbers; next to another digit, a 1 looks like a bar
STEMS = 0.4  # share of these 1s that are a plain straight stroke
POINT, COMMA, MINUS, OTHER = "point", "comma", "minus", "other"
OPERATORS = "+=/%:()x*<>$"
UNITS = ("m", "cm", "kg", "g", "km", "h", "s", "A", "EUR", "l", "No", "a", "b", "x", "n", "p", "°")


@dataclass(frozen=True)
class Item:
    """A character on the page. centre, side, shape: as in Spot.

    mark: what kind of mark it is, or None for a digit; line: the row's number, or -1. counts: whether it is to be read;
    False for a piece of a neighbour.
    """

    written: Written
    centre: tuple[float, float]
    side: float
    shape: NDArray[np.float64]
    mark: str | None = None
    line: int = -1
    counts: bool = True

    @property
    def spot(self) -> Spot:
        """The spot where it is written."""
        return Spot(self.centre, self.side, self.shape)


@dataclass(frozen=True)
class Cell:
    """A printed frame, in pixels: left, top, right, bottom. kind: box, field, comb or table."""

    left: float
    top: float
    right: float
    bottom: float
    kind: str = "box"


@dataclass(frozen=True)
class Layout:
    """height, width: of the picture in pixels. crossed: centre and size of each crossed-out character."""

    height: int
    width: int
    items: tuple[Item, ...] = ()
    cells: tuple[Cell, ...] = ()
    crossed: tuple[tuple[float, float, float, float], ...] = ()
    side: float = 0.0

    @property
    def pixel(self) -> float:
        """The size of one pixel of a training scene, in pixels of this picture; 1 or more."""
        return max(1.0, max(self.height, self.width) / USUAL)

    @property
    def digits(self) -> list[Item]:
        """The digits to be read."""
        return [item for item in self.items if item.mark is None and item.counts]


@dataclass(frozen=True)
class Style:
    """How a hand writes in one scene: the common slant, stretch and turn, and how much each character deviates."""

    slant: float
    stretch: float
    turn: float
    wobble: float = field(default=0.05)

    def shape(self, dice: Dice) -> NDArray[np.float64]:
        """The linear map of one character, (2, 2)."""
        stretch, slant = np.exp(self.stretch + dice.near(0, self.wobble)), self.slant + dice.near(0, self.wobble)
        turn = self.turn + dice.near(0, self.wobble / 2)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        return np.asarray(rotation @ np.array([[stretch, -slant], [0, 1]]))


def draw_style(dice: Dice) -> Style:
    """Chooses a style for a hand."""
    share, most = TILTED
    turn = dice.between(-most, most) if dice.maybe(share) else dice.near(0, 0.07)
    share, lean = SLANTED
    slant = dice.between(*lean) if dice.maybe(share) else dice.near(0, 0.12)
    return Style(slant, dice.near(0, 0.12), turn, dice.between(0.01, 0.08))


def _sides(dice: Dice, size: int, spread: float = 0.25) -> tuple[int, int]:
    """Height and width of a picture whose longer side is ``size``."""
    aspect = float(np.exp(dice.near(0, spread)))
    height, width = (size, round(size / aspect)) if aspect > 1 else (round(size * aspect), size)
    return max(height, size // 3), max(width, size // 3)


def _reach(written: Written, shape: NDArray[np.float64], side: float) -> tuple[float, float]:
    _, _, width, height = extent(written, shape)
    scale = side / max(width, height, 1e-6)
    return width * scale, height * scale


def _fit(dice: Dice, low: float, high: float, room: tuple[float, float], reach: tuple[float, float]) -> tuple[float, float]:
    """Chooses a centre that keeps the character inside the picture; half of the time, the middle."""
    free_x, free_y = max(room[0] - reach[0], 0), max(room[1] - reach[1], 0)
    middle = dice.maybe(0.5)
    across = np.clip(dice.near(0.5, 0.12), low, high) if middle else dice.between(low, high)
    down = np.clip(dice.near(0.5, 0.12), low, high) if middle else dice.between(low, high)
    return reach[0] / 2 + float(across) * free_x, reach[1] / 2 + float(down) * free_y


def single(dice: Dice, hands: Hands, size: int, smallest: float = 0.14, largest: float = 0.97) -> Layout:
    """One digit of any size, anywhere."""
    height, width = _sides(dice, size)
    written, shape = one(hands, dice), draw_style(dice).shape(dice)
    wide, high = _reach(written, shape, 1.0)
    most = min(width / wide, height / high)
    filling = dice.weighted({"well": 0.48, "any": 0.30, "little": 0.22})
    if filling == "well":
        side = most * dice.between((smallest + largest) / 2 - 0.15, largest)
    else:
        side = most * (dice.between(smallest, largest) if filling == "any" else dice.scale(SMALLEST_DIGIT, 0.4))
    side = max(side, min(most, LEAST_DIGIT))
    centre = _fit(dice, 0, 1, (width, height), (wide * side, high * side))
    item = Item(written, centre, side, shape)
    return Layout(height, width, (item,), side=side)


def tight(dice: Dice, hands: Hands, size: int) -> Layout:
    """One digit, the picture cut close to it."""
    written, shape = one(hands, dice), draw_style(dice).shape(dice)
    wide, high = _reach(written, shape, 1.0)
    left, top, right, bottom = dice.rng.uniform(-0.03, 0.16, 4)
    room_x, room_y = wide + left + right + 0.08, high + top + bottom + 0.08
    side = size / max(room_x, room_y)
    width, height = max(SHORTEST, round(room_x * side)), max(SHORTEST, round(room_y * side))
    centre = ((left + 0.04 + wide / 2) * side, (top + 0.04 + high / 2) * side)
    return Layout(height, width, (Item(written, centre, side, shape),), side=side)


def glyph(dice: Dice, hands: Hands, size: int) -> Layout:
    """A digit as in MNIST: 20 of 28 pixels in a square."""
    written, shape = one(hands, dice), draw_style(dice).shape(dice)
    wide, high = _reach(written, shape, 1.0)
    side = size * 20 / 28 * dice.between(0.92, 1.05)
    return Layout(
        size,
        size,
        (
            Item(
                written, (size / 2 + dice.near(0, size / 40), size / 2 + dice.near(0, size / 40)), side / max(wide, high), shape
            ),
        ),
        side=side,
    )


class _Setting(NamedTuple):
    """How a character is set in a line, in units of the digits' height: height, advance, distance above the baseline."""

    height: float
    gap: float
    rise: float


@dataclass
class _Line:
    """Characters set one after another from x = 0, in units of the digits' height; the baseline is y = 0."""

    line: int
    items: list[Item] = field(default_factory=list)
    at: float = 0.0
    crossed: list[tuple[float, float, float, float]] = field(default_factory=list)

    def put(self, written: Written, shape: NDArray[np.float64], setting: _Setting, mark: str | None = None) -> None:
        """Adds a character."""
        wide, high = _reach(written, shape, 1.0)
        side = setting.height / high if high > 0.25 * wide else setting.height / wide
        wide, high = wide * side, high * side
        centre = (self.at + setting.gap + wide / 2, -setting.rise - high / 2)
        self.items.append(Item(written, centre, side, shape, mark, self.line))
        self.at += setting.gap + wide


@dataclass(frozen=True)
class _Writer:
    """The hand that writes a line, and what else it may use."""

    hands: Hands
    hand: Hand
    style: Style
    spacing: float
    marks: bool

    def letter(self, row: _Line, text: str, setting: _Setting, dice: Dice) -> None:
        """A letter or a sign, if a hand has it."""
        if sign := self.hands.named(dice, text):
            row.put(sign, self.style.shape(dice), setting, OTHER)


def write_line(writer: _Writer, count: int, line: int, dice: Dice) -> _Line:
    """Writes a number in one hand, with its marks: a sign, a point or comma, a unit, an operator, a crossed-out character."""
    row, marks = _Line(line), writer.marks
    touching = dice.maybe(TOUCHING, "neighbours")
    zeros = dice.count(1, count - 1) if count > 1 and dice.maybe(ROUND) else 0
    point = dice.count(1, count - 1) if marks and count > 1 and dice.maybe(0.3) else -1
    if marks and dice.maybe(0.12):
        _put_minus(row, writer, dice)
    for index in range(count):
        gap = dice.between(-0.18, 0.04) if touching else writer.spacing * dice.between(0.5, 1.6)
        setting = _Setting(dice.between(0.85, 1.12), gap if row.items else 0.0, dice.near(0, 0.05))
        row.put(writer.hand.digit(dice, 0 if index >= count - zeros else None), writer.style.shape(dice), setting)
        if index + 1 == point:
            _put_point(row, writer, dice)
        elif marks and index + 1 < count and dice.maybe(0.08, "signs"):
            _put_operator(row, writer, dice)
    if marks and dice.maybe(0.12):
        _put_tail(row, writer, dice)
    if dice.maybe(0.04, "rows"):
        _cross_out(row, dice)
    return row


def _cross_out(row: _Line, dice: Dice) -> None:
    """Marks one of the characters as crossed out."""
    struck = row.items.pop(dice.count(0, len(row.items) - 1))
    wide, high = _reach(struck.written, struck.shape, struck.side)
    row.items.append(replace(struck, mark=OTHER))
    row.crossed.append((*struck.centre, wide, high))


def dot(dice: Dice) -> Written:
    """A decimal point."""
    return Written(-1, ".", (np.array([(0, 0), (dice.between(0.02, 1), dice.between(0.02, 0.5))], np.float32),), None, "made")


def tail(dice: Dice) -> Written:
    """A comma."""
    curve = np.array([(0.3, 0), (0.4, 0.35), (0.3, 0.7), (0.3 - dice.between(0.05, 0.4), 1)], np.float32)
    return Written(-1, ",", (curve,), None, "made")


def bar(dice: Dice) -> Written:
    """A minus."""
    ends = np.array([(0, dice.near(0, 0.06)), (0.5, dice.near(0, 0.04)), (1, dice.near(0, 0.06))], np.float32)
    return Written(-1, "-", (ends,), None, "made")


def stem(dice: Dice) -> Written:
    """A 1 that is a plain stroke from top to bottom."""
    middle = dice.near(0, 0.02)
    ends = np.array([(dice.near(0, 0.04), 0), (middle, 0.5), (dice.near(0, 0.04), 1)], np.float32)
    return Written(1, "1", (ends,), None, "made")


def _put_point(row: _Line, writer: _Writer, dice: Dice) -> None:
    if dice.maybe(0.5):
        row.put(dot(dice), np.eye(2), _Setting(dice.between(0.03, 0.1), dice.between(0.08, 0.2), dice.near(0, 0.03)), POINT)
        return
    comma = writer.hands.named(dice, ",") if dice.maybe(0.5) else None
    setting = _Setting(dice.between(0.12, 0.35), dice.between(0.05, 0.18), -dice.between(0.05, 0.22))
    row.put(comma or tail(dice), writer.style.shape(dice), setting, COMMA)


def _put_minus(row: _Line, writer: _Writer, dice: Dice) -> None:
    minus = writer.hands.named(dice, "-") if dice.maybe(0.5) else None
    setting = _Setting(dice.between(0.3, 0.6), 0.0, dice.between(0.35, 0.55))
    row.put(minus or bar(dice), writer.style.shape(dice), setting, MINUS)
    row.at += dice.between(0.08, 0.3)


def _put_operator(row: _Line, writer: _Writer, dice: Dice) -> None:
    if dice.maybe(0.3):
        row.at += dice.between(0.1, 0.4)
        _put_minus(row, writer, dice)
        return
    setting = _Setting(dice.between(0.5, 0.95), dice.between(0.15, 0.5), dice.between(0.0, 0.25))
    writer.letter(row, dice.pick(OPERATORS), setting, dice)
    row.at += dice.between(0.05, 0.3)


def _put_tail(row: _Line, writer: _Writer, dice: Dice) -> None:
    """A unit, or the dash after a round amount."""
    if dice.maybe(0.4) or not dice.maybe(1, "signs"):
        row.at += dice.between(0.1, 0.3)
        _put_minus(row, writer, dice)
        return
    for index, letter in enumerate(dice.pick(UNITS)):
        gap = dice.between(0.1, 0.5 if index == 0 else 0.2)
        writer.letter(row, letter, _Setting(dice.between(0.55, 0.9), gap, dice.near(0, 0.04)), dice)


def _moved(items: list[Item], scale: float, x: float, y: float, slope: float = 0.0) -> list[Item]:
    return [
        replace(
            item,
            centre=(x + item.centre[0] * scale, y + item.centre[1] * scale + slope * item.centre[0] * scale),
            side=item.side * scale,
        )
        for item in items
    ]


def _moved_crossed(row: _Line, scale: float, x: float, y: float) -> list[tuple[float, float, float, float]]:
    return [(x + cx * scale, y + cy * scale, wide * scale, high * scale) for cx, cy, wide, high in row.crossed]


def row(dice: Dice, hands: Hands, size: int) -> Layout:
    """One line; the picture is cut to it or has room around it. Also framed fields and combs."""
    style = draw_style(dice)
    if dice.maybe(0.25, "papers"):
        return _form(dice, hands, size, style)
    count = dice.count(2, 5) if dice.maybe(0.55) else dice.count(4, 12)
    writer = _Writer(hands, choose_hand(hands, dice), style, dice.scale(0.06, 1.0), marks=dice.maybe(0.5))
    written = write_line(writer, count, 0, dice)
    length = written.at
    margin_x, margin_y = (
        (dice.between(0.02, 0.4), dice.between(0.05, 0.5)) if dice.maybe(0.6) else (dice.between(0.2, 2), dice.between(0.3, 4))
    )
    width, height = length + 2 * margin_x, 1.25 + 2 * margin_y
    scale = size / max(width, height)
    slope = dice.near(0, 0.03)
    left, base = margin_x * dice.between(0.6, 1.4), margin_y * dice.between(0.7, 1.3) + 1.1
    items = _moved(written.items, scale, left * scale, base * scale, slope)
    shape = max(SHORTEST, round(height * scale)), max(SHORTEST, round(width * scale))
    crossed = _moved_crossed(written, scale, left * scale, base * scale)
    return Layout(*shape, tuple(items[:MOST]), crossed=tuple(crossed), side=scale)


def few(dice: Dice, hands: Hands, size: int) -> Layout:
    """Two or three digits that fill the picture or stand in its middle, as people draw them to try whether 14 is read."""
    style, hand = draw_style(dice), choose_hand(hands, dice)
    line, gap = _Line(0), dice.scale(0.06, 0.7)
    for _ in range(2 if dice.maybe(0.7) else 3):
        is_one = dice.maybe(FEW_ONES)
        written = stem(dice) if is_one and dice.maybe(STEMS) else hand.digit(dice, 1 if is_one else None)
        setting = _Setting(dice.between(0.8, 1.15), gap * dice.between(0.6, 1.5), dice.near(0, 0.06))
        line.put(written, style.shape(dice), setting)
    height, width = _sides(dice, size)
    scale = min(width / (line.at + gap + 0.1), height / 1.4) * (
        dice.between(0.6, 1) if dice.maybe(0.7) else dice.scale(0.2, 0.6)
    )
    spare_x, spare_y = width - (line.at + gap) * scale, height - 1.2 * scale
    left, base = spare_x * dice.between(0.1, 0.9), spare_y * dice.between(0.1, 0.9) + 1.1 * scale
    items = _moved(line.items, scale, left, base, dice.near(0, 0.05))
    return Layout(height, width, tuple(items), side=scale)


def _form(dice: Dice, hands: Hands, size: int, style: Style) -> Layout:
    """Digits in printed boxes, in one long field or on a comb, with a few empty places."""
    count, hand = dice.count(2, 11), choose_hand(hands, dice)
    gap = dice.between(0.02, 0.3) if dice.maybe(0.4) else 0.0
    aspect = dice.between(0.6, 1.1)
    margin_x, margin_y = (
        (dice.between(0.02, 0.3), dice.between(0.02, 0.4)) if dice.maybe(0.6) else (dice.between(0.2, 2), dice.between(0.3, 3))
    )
    scale = size / max(count * (aspect + gap) + 2 * margin_x, 1 + 2 * margin_y)
    shape = (
        max(SHORTEST, round((1 + 2 * margin_y) * scale)),
        max(SHORTEST, round((count * (aspect + gap) + 2 * margin_x) * scale)),
    )
    kind = dice.weighted(FORM_KINDS)
    fill, items = dice.between(0.5, 1.0), []
    top, bottom = margin_y * scale, (1 + margin_y) * scale
    lefts = [(margin_x + index * (aspect + gap)) * scale for index in range(count)]
    cells = [Cell(left, top, left + aspect * scale, bottom, kind) for left in lefts]
    if kind == "field":
        cells = [Cell(cells[0].left, top, cells[-1].right, bottom, kind)]
    for left in lefts:
        if dice.maybe(0.08):
            continue
        written, mapped = hand.digit(dice), style.shape(dice)
        wide, high = _reach(written, mapped, 1.0)
        side = fill * min(1 / high, aspect * 1.1 / wide) * dice.between(0.85, 1.05)
        centre = (left + scale * (aspect / 2 + dice.near(0, 0.07)), scale * (margin_y + 0.5 + dice.near(0, 0.07)))
        items.append(Item(written, centre, side * scale, mapped, line=0))
    return Layout(*shape, tuple(items), tuple(cells), side=fill * scale)


def page(dice: Dice, hands: Hands, size: int) -> Layout:
    """Several lines by one hand."""
    height, width = _sides(dice, size, 0.35)
    writer = _Writer(hands, choose_hand(hands, dice), draw_style(dice), dice.scale(0.06, 0.5), marks=dice.maybe(0.3))
    rows = dice.count(2, 6)
    longest = max(1, min(MOST // rows - 1, 7))
    same = dice.count(1, longest) if dice.maybe(0.4) else 0
    lines = [write_line(writer, same or dice.count(1, longest), index, dice) for index in range(rows)]
    pitch = dice.between(1.3, 2.2)
    scale = min(width / (max(line.at for line in lines) + 0.4), height / (pitch * rows + 0.4)) * dice.between(0.6, 1.0)
    left, top = (
        dice.between(0.1, 1) * (width - max(line.at for line in lines) * scale) / 2,
        dice.between(0.3, 1.7) * (height - pitch * rows * scale) / 2,
    )
    centred = dice.maybe(0.3)
    items, crossed = [], []
    for index, line in enumerate(lines):
        x = left + (max(other.at for other in lines) - line.at) * scale / 2 if centred else left + dice.between(0, 0.3) * scale
        y = top + (pitch * index + (pitch + 1) / 2) * scale
        items += _moved(line.items, scale, x, y, dice.near(0, 0.02))
        crossed += _moved_crossed(line, scale, x, y)
    return Layout(height, width, tuple(items[:MOST]), crossed=tuple(crossed), side=scale)


def grid(dice: Dice, hands: Hands, size: int) -> Layout:
    """Digits in the cells of a table, with some empty cells."""
    rows, columns = dice.count(2, 5), dice.count(2, 5)
    height, width = _sides(dice, size, 0.3)
    drawn, hand, style = dice.maybe(0.7, "papers"), choose_hand(hands, dice), draw_style(dice)
    cell_h, cell_w = height / rows, width / columns
    fill = dice.between(0.35, 0.85)
    items: list[Item] = []
    cells: list[Cell] = []
    for r in range(rows):
        for c in range(columns):
            if drawn:
                cells.append(Cell(c * cell_w, r * cell_h, (c + 1) * cell_w, (r + 1) * cell_h, "table"))
            if len(items) >= MOST or dice.maybe(0.15):
                continue
            written, mapped = hand.digit(dice), style.shape(dice)
            wide, high = _reach(written, mapped, 1.0)
            side = fill * min(cell_w / wide, cell_h / high) * dice.between(0.8, 1.05)
            centre = ((c + 0.5 + dice.near(0, 0.06)) * cell_w, (r + 0.5 + dice.near(0, 0.06)) * cell_h)
            items.append(Item(written, centre, side, mapped, line=r))
    return Layout(height, width, tuple(items), tuple(cells), side=fill * min(cell_h, cell_w))


def scattered(dice: Dice, hands: Hands, size: int) -> Layout:
    """Digits and a few signs of different sizes anywhere; sometimes one overlaps another's edge."""
    height, width = _sides(dice, size)
    hand, style = choose_hand(hands, dice), draw_style(dice)
    base = min(height, width) * dice.between(0.12, 0.4)
    close = 0.85 if dice.maybe(0.2, "neighbours") else 1.15
    placed: list[tuple[Item, float, float]] = []
    for _ in range(dice.count(2, 10)):
        is_sign = dice.maybe(0.15, "signs")
        written, mapped = (vary(hands.sign(dice), dice) if is_sign else hand.digit(dice)), style.shape(dice)
        side = base * dice.between(0.6, 1.4)
        wide, high = _reach(written, mapped, side)
        for _try in range(8):
            centre = _fit(dice, 0, 1, (width, height), (wide, high))
            if all(
                abs(centre[0] - other.centre[0]) > close * (wide + w) / 2
                or abs(centre[1] - other.centre[1]) > close * (high + h) / 2
                for other, w, h in placed
            ):
                placed.append((Item(written, centre, side, mapped, OTHER if is_sign else None), wide, high))
                break
    return Layout(height, width, tuple(item for item, _, _ in placed), side=base)


def none(dice: Dice, hands: Hands, size: int) -> Layout:
    """No digit: nothing at all, or letters and signs."""
    height, width = _sides(dice, size)
    if not dice.maybe(0.65, "signs"):
        return Layout(height, width)
    style, items = draw_style(dice), []
    count = 1 if dice.maybe(0.6) else dice.count(2, 5)
    side = min(height, width) * (dice.between(0.2, 0.95) if count == 1 else dice.between(0.15, 0.35))
    for index in range(count):
        written = vary(hands.greek(dice) if dice.maybe(0.25) else hands.sign(dice), dice)
        mapped = style.shape(dice)
        wide, high = _reach(written, mapped, side)
        room = (width / count, height)
        x, y = _fit(dice, 0, 1, room, (wide, high))
        items.append(Item(written, (x + index * room[0], y), side, mapped, OTHER))
    return Layout(height, width, tuple(items), side=side)


def photo(dice: Dice, hands: Hands, size: int) -> Layout:
    """One digit on paper."""
    return single(dice, hands, size)


def screenshot(dice: Dice, hands: Hands, size: int) -> Layout:
    """A digit, or a short row, in a window of a drawing program."""
    return single(dice, hands, size, 0.15, 0.5) if dice.maybe(0.6) or not dice.maybe(1, "rows") else row(dice, hands, size)


LAYOUTS: dict[str, Callable[[Dice, Hands, int], Layout]] = {
    "photo": photo,
    "canvas": photo,
    "row": row,
    "few": few,
    "tight": tight,
    "none": none,
    "scattered": scattered,
    "page": page,
    "grid": grid,
    "screenshot": screenshot,
    "glyph": glyph,
}


def look_at(layout: Layout, dice: Dice, size: int) -> Layout:
    """What a second look sees: a square of which one character fills about FILLED, with the others around it, whole or cut."""
    targets = layout.digits or [item for item in layout.items if item.counts]
    if not targets:
        return layout
    target = dice.pick(targets)
    wide, high = _reach(target.written, target.shape, target.side)
    scale = FILLED * size * float(np.exp(dice.near(0, 0.1))) / max(wide, high, 1.0)
    away = dice.rng.normal(0, 0.04, 2) * size
    x, y = size / 2 + away[0] - target.centre[0] * scale, size / 2 + away[1] - target.centre[1] * scale
    cells = tuple(
        replace(c, left=c.left * scale + x, top=c.top * scale + y, right=c.right * scale + x, bottom=c.bottom * scale + y)
        for c in layout.cells
    )
    crossed = tuple((cx * scale + x, cy * scale + y, w * scale, h * scale) for cx, cy, w, h in layout.crossed)
    return Layout(size, size, tuple(_moved(list(layout.items), scale, x, y)), cells, crossed, layout.side * scale)
