"""Papers and boards: what a scene is written on, and what is printed, stamped or smeared on it.

Each ingredient takes the paper, (H, W, 3) float32 in 0..255, changes it and returns it. The reader must ignore all of them.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from training.data import fonts
from training.data.dice import Colour, Dice, Floats, Pixels
from training.data.hands import Hands
from training.data.layouts import Cell, Layout, draw_style
from training.data.pens import Pen, Spot, Stamp, stamp

Ingredient = Callable[[Floats, Layout, Hands, Dice], Floats]
WORDS = ("Name", "Date", "Amount", "Total", "No.", "Student", "Class", "ID", "Phone", "EUR", "Page", "Sum", "Signature", "Test")
WORN = 0.3  # share of printed frames of which a scan kept only pieces
PROSE = "the quick brown fox jumps over a lazy dog and every form has small print that nobody reads to its end"


def blend(ground: Floats, colour: Colour | Floats, mask: Floats) -> Floats:
    """Blends the colour over the ground by the mask, (H, W) in 0..1."""
    weight = mask[..., np.newaxis]
    return np.asarray(ground + (colour - ground) * weight, np.float32)


def part(sheet: Pixels, opacity: float = 1.0) -> Floats:
    """Converts a sheet to a share of full ink, (H, W) in 0..opacity."""
    return np.asarray(sheet.astype(np.float32) * np.float32(opacity / 255))


def plain(layout: Layout, dice: Dice) -> tuple[Floats, bool]:
    """Makes paper or a board with its texture; also returns whether it is dark."""
    dark = dice.maybe(0.12, "papers")
    shape = layout.height, layout.width
    if dark:
        base = dice.grey(12, 95, 8)
    elif dice.maybe(0.12):
        base = dice.colour(110, 255)
    else:
        base = dice.grey(150 if dice.easy else 120, 255, 8)
    paper = np.empty((*shape, 3), np.float32)
    paper[:] = base
    paper += (dice.grain(shape, dice.between(0.4, 2) * layout.pixel) * dice.scale(0.3, 6))[..., np.newaxis]
    paper += (dice.waves(shape, dice.count(3, 9)) * dice.between(0, 4))[..., np.newaxis]
    return paper, dark


def _grid(shape: tuple[int, int], turn: float) -> tuple[Floats, Floats]:
    """Turned coordinates of each pixel, down and across: two (H, W)."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    return y * np.float32(np.cos(turn)) + x * np.float32(np.sin(turn)), x * np.float32(np.cos(turn)) - y * np.float32(
        np.sin(turn)
    )


def _lines(along: Floats, step: float, phase: float, width: float) -> Floats:
    distance = np.abs((along / step + phase) % 1 - 0.5) * step
    return np.asarray(np.clip(width / 2 + 0.5 - distance, 0, 1), np.float32)


def _print_colour(dice: Dice) -> Colour:
    return dice.rng.uniform((50, 60, 90), (200, 200, 235)).astype(np.float32) if dice.maybe(0.6) else dice.grey(10, 170)


def rules(paper: Floats, layout: Layout, hands: Hands, dice: Dice) -> Floats:  # noqa: ARG001
    """Ruled, squared, millimetre or dotted paper."""
    down, across = _grid(paper.shape[:2], dice.near(0, 0.04))
    unit = layout.side if layout.side and dice.maybe(0.5) else layout.height
    step = max(3.0, unit * dice.scale(0.1, 1.3 if unit == layout.side else 0.4))
    width, opacity = dice.between(0.4, 2.2) * layout.pixel, dice.between(0.08, 0.8)
    lines = _lines(down, step, dice.between(0, 1), width)
    kind = dice.weighted({"ruled": 0.45, "squared": 0.35, "dotted": 0.12, "margin": 0.08})
    if kind == "squared":
        lines = np.maximum(lines, _lines(across, step * dice.pick((1, 1, 1, 0.8)), dice.between(0, 1), width))
    elif kind == "dotted":
        lines = lines * _lines(across, step, dice.between(0, 1), width)
    paper = blend(paper, _print_colour(dice), lines * np.float32(opacity))
    if kind == "margin" or dice.maybe(0.1):
        paper = blend(
            paper,
            np.array((200, 60, 70), np.float32),
            _lines(across, layout.width * 1.4, dice.between(0, 1), width) * np.float32(opacity),
        )
    return paper


def underline(paper: Floats, layout: Layout, hands: Hands, dice: Dice) -> Floats:  # noqa: ARG001
    """The line to write on, under or through the lowest character."""
    base = max((item.centre[1] + item.side / 2 for item in layout.items), default=layout.height * 0.8) + dice.near(
        0, 0.06
    ) * max(layout.side, 8)
    sheet = np.zeros(paper.shape[:2], np.uint8)
    tilt = dice.near(0, 0.02) * layout.width
    cv2.line(
        sheet,
        (0, round(base - tilt)),
        (layout.width, round(base + tilt)),
        255,
        round(dice.count(1, 3) * layout.pixel),
        cv2.LINE_AA,
    )
    return blend(paper, _print_colour(dice), part(sheet, dice.between(0.3, 1)))


def cells(paper: Floats, layout: Layout, hands: Hands, dice: Dice) -> Floats:  # noqa: ARG001
    """The printed boxes, combs and tables of the layout."""
    sheet = np.zeros(paper.shape[:2], np.uint8)
    width = dice.count(1, max(1, min(4, round(layout.side / 12))))
    for cell in layout.cells:
        _draw_cell(sheet, cell, width)
    if dice.maybe(WORN):
        sheet[dice.grain((layout.height, layout.width), dice.between(1, 5) * layout.pixel) < dice.near(0.3, 0.6)] = 0
    mask = part(sheet, dice.between(0.25, 1))
    return blend(paper, _print_colour(dice) if dice.maybe(0.6) else dice.grey(0, 60), mask)


def _draw_cell(sheet: Pixels, cell: Cell, width: int) -> None:
    left, top, right, bottom = (round(side) for side in (cell.left, cell.top, cell.right, cell.bottom))
    if cell.kind == "comb":
        cv2.line(sheet, (left, bottom), (right, bottom), 255, width, cv2.LINE_AA)
        for x in (left, right):
            cv2.line(sheet, (x, bottom - (bottom - top) // 3), (x, bottom), 255, width, cv2.LINE_AA)
    else:
        cv2.rectangle(sheet, (left, top), (right, bottom), 255, width, cv2.LINE_AA)


def frame(paper: Floats, layout: Layout, hands: Hands, dice: Dice) -> Floats:  # noqa: ARG001
    """A box or a ring around one character, close or wide, printed or drawn."""
    if not layout.items:
        return paper
    item, sheet = dice.pick(layout.items), np.zeros(paper.shape[:2], np.uint8)
    reach = item.side / 2 * dice.between(1.08, 1.9)
    thickness = dice.count(1, max(1, round(item.side / 14)))
    (x, y), wide = item.centre, reach * dice.between(0.7, 1.2)
    x, y = x + dice.near(0, 0.05) * item.side, y + dice.near(0, 0.05) * item.side
    if dice.maybe(0.75):
        corners = np.array([(x - wide, y - reach), (x + wide, y - reach), (x + wide, y + reach), (x - wide, y + reach)])
        if dice.maybe(0.4):
            corners += dice.rng.normal(0, item.side * 0.03, corners.shape)
        cv2.polylines(sheet, [np.round(corners * 16).astype(np.int32)[:, np.newaxis]], True, 255, thickness, cv2.LINE_AA, 4)
    else:
        cv2.ellipse(
            sheet,
            (round(x), round(y)),
            (max(1, round(wide * 1.2)), max(1, round(reach * 1.1))),
            dice.near(0, 10),
            0,
            360,
            255,
            thickness,
            cv2.LINE_AA,
        )
    return blend(paper, dice.grey(0, 140, 20), part(sheet, dice.between(0.3, 1)))


def show_through(paper: Floats, layout: Layout, hands: Hands, dice: Dice) -> Floats:
    """Writing that shows through from the other side, mirrored, pale and soft; or erased writing, not mirrored."""
    sheet = np.zeros(paper.shape[:2], np.uint8)
    for _ in range(dice.count(1, 5)):
        written = hands.sign(dice) if dice.maybe(0.5) else hands.hand(dice).digit(dice)
        side = min(layout.height, layout.width) * dice.between(0.2, 0.7)
        centre = dice.between(0, layout.width), dice.between(0, layout.height)
        mirror = np.diag([-1.0, 1.0]) if dice.maybe(0.7) else np.eye(2)
        spot = Spot(centre, side, draw_style(dice).shape(dice) @ mirror)
        put(sheet, stamp(written, spot, Pen(dice.scale(0.03, 0.15)), dice))
    soft = cv2.GaussianBlur(sheet, (0, 0), dice.between(0.6, 3) * layout.pixel).astype(np.float32) / 255
    return np.asarray(paper * (1 - soft * np.float32(dice.between(0.04, 0.2)))[..., np.newaxis], np.float32)


def put(sheet: Pixels, stamped: Stamp | None) -> None:
    """Puts a character's ink on the sheet, cut at the border."""
    if stamped is not None:
        lay(sheet, stamped.ink, stamped.left, stamped.top)


def smears(paper: Floats, layout: Layout, hands: Hands, dice: Dice) -> Floats:  # noqa: ARG001
    """Broad pale streaks, as a wiped board or a sleeve leaves."""
    sheet = np.zeros(paper.shape[:2], np.float32)
    for _ in range(dice.count(1, 4)):
        ends = (dice.rng.uniform(-0.2, 1.2, (2, 2)) * (layout.width, layout.height)).astype(int)
        cv2.line(sheet, tuple(map(int, ends[0])), tuple(map(int, ends[1])), 1.0, round(dice.count(6, 40) * layout.pixel))
    soft = cv2.GaussianBlur(sheet, (0, 0), dice.between(4, 12) * layout.pixel)
    return np.asarray(paper + (soft * np.float32(dice.near(0, 18)))[..., np.newaxis], np.float32)


def stain(paper: Floats, layout: Layout, hands: Hands, dice: Dice) -> Floats:  # noqa: ARG001
    """Specks, blots, dust, or the ring of a cup."""
    sheet = np.zeros(paper.shape[:2], np.uint8)
    if dice.maybe(0.3):
        centre = dice.count(0, layout.width), dice.count(0, layout.height)
        cv2.circle(sheet, centre, dice.count(15, max(16, layout.height)), 255, dice.count(1, 8), cv2.LINE_AA)
        sheet = np.asarray(cv2.GaussianBlur(sheet, (0, 0), 2), np.uint8)
        return blend(paper, dice.colour(80, 190), part(sheet, dice.between(0.05, 0.35)))
    for _ in range(dice.count(1, 8)):
        cv2.circle(
            sheet,
            (dice.count(0, layout.width), dice.count(0, layout.height)),
            round(dice.count(0, 2) * layout.pixel),
            255,
            -1,
            cv2.LINE_AA,
        )
    return blend(paper, dice.grey(0, 160, 20), part(sheet, dice.between(0.2, 0.9)))


def printed(paper: Floats, layout: Layout, hands: Hands, dice: Dice) -> Floats:
    """Printed text around the writing: words of a form, or lines of small print."""
    if hands.fonts is None or not hands.fonts.printed:
        return paper
    sheet, font = np.zeros(paper.shape[:2], np.uint8), dice.pick(hands.fonts.printed)
    for _ in range(dice.count(1, 4)):
        text = (
            dice.pick(WORDS) + dice.pick(("", ":", "")) if dice.maybe(0.6) else PROSE[dice.count(0, 40) :][: dice.count(15, 50)]
        )
        size = max(7, round(min(layout.height, layout.width) * dice.scale(0.04, 0.2)))
        word = fonts.render(font, text, size)
        left, top = _free_place(layout, word.shape, dice)
        lay(sheet, word, left, top)
    return blend(paper, dice.grey(0, 150, 15), part(sheet, dice.between(0.4, 1)))


def _free_place(layout: Layout, size: Sequence[int], dice: Dice) -> tuple[int, int]:
    """A place where the text does not cover a character, after several tries; else a place off the page."""
    for _ in range(6):
        left, top = dice.count(-20, layout.width), dice.count(-4, layout.height)
        if all(
            abs(left + size[1] / 2 - item.centre[0]) > (size[1] + item.side) / 2
            or abs(top + size[0] / 2 - item.centre[1]) > (size[0] + item.side) / 2
            for item in layout.items
        ):
            return left, top
    return layout.width, layout.height


def lay(sheet: Pixels, ink: Pixels, left: int, top: int) -> None:
    """Puts ink on the sheet, cut at the border; each pixel keeps the stronger of the two."""
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + ink.shape[1], sheet.shape[1]), min(top + ink.shape[0], sheet.shape[0])
    if x0 < x1 and y0 < y1:
        np.maximum(sheet[y0:y1, x0:x1], ink[y0 - top : y1 - top, x0 - left : x1 - left], out=sheet[y0:y1, x0:x1])


def rubber_stamp(paper: Floats, layout: Layout, hands: Hands, dice: Dice) -> Floats:
    """A stamp's ring or box with a word, in red or blue, unevenly inked."""
    sheet = np.zeros((96, 160), np.uint8)
    if dice.maybe(0.5):
        cv2.rectangle(sheet, (6, 20), (153, 75), 255, 4)
    else:
        cv2.ellipse(sheet, (80, 48), (74, 42), 0, 0, 360, 255, 4)
    if hands.fonts is not None and hands.fonts.printed:
        word = fonts.render(dice.pick(hands.fonts.printed), dice.pick(("PAID", "COPY", "OK", "VOID")), 40)
        lay(sheet, word, 80 - word.shape[1] // 2, 48 - word.shape[0] // 2)
    scale = min(layout.height, layout.width) * dice.between(0.3, 0.9) / 160
    warp = cv2.getRotationMatrix2D((80, 48), dice.near(0, 20), scale)
    warp[:, 2] += np.array([dice.between(-0.1, 1.1) * layout.width - 80, dice.between(-0.1, 1.1) * layout.height - 48])
    turned = np.asarray(cv2.warpAffine(sheet, warp, (layout.width, layout.height), flags=cv2.INTER_AREA), np.uint8)
    uneven = np.clip(0.7 + dice.grain(paper.shape[:2], 1.0) * 0.4, 0, 1)
    colour = np.array(dice.pick(((190, 40, 50), (50, 60, 170), (90, 40, 120))), np.float32)
    return blend(paper, colour, np.asarray(part(turned, dice.between(0.2, 0.6)) * uneven, np.float32))


def staple(paper: Floats, layout: Layout, hands: Hands, dice: Dice) -> Floats:  # noqa: ARG001
    """A staple, a paper clip's wire or a punched hole near the border."""
    x, y = dice.pick((0.06, 0.94)) * layout.width, dice.between(0.05, 0.95) * layout.height
    sheet, size = np.zeros(paper.shape[:2], np.uint8), max(3.0, min(layout.height, layout.width) * dice.between(0.05, 0.12))
    if dice.maybe(0.5):
        angle = dice.between(0, np.pi)
        way = np.array([np.cos(angle), np.sin(angle)]) * size
        ends = np.round((np.array([(x, y), (x, y)]) + np.stack([-way, way])) * 16).astype(np.int32)
        cv2.polylines(sheet, [ends[:, np.newaxis]], False, 255, dice.count(1, 3), cv2.LINE_AA, 4)
        return blend(paper, dice.grey(90, 220), part(sheet))
    cv2.circle(sheet, (round(x), round(y)), max(1, round(size * 0.6)), 255, -1, cv2.LINE_AA)
    return blend(paper, dice.grey(0, 110), part(sheet))


def fold(paper: Floats, layout: Layout, hands: Hands, dice: Dice) -> Floats:  # noqa: ARG001
    """A fold: one side a little darker, the crease itself dark and light."""
    down, across = _grid(paper.shape[:2], dice.near(0, 0.1) + dice.pick((0, np.pi / 2)))
    del across
    at = down - float(down.min()) - dice.between(0.1, 0.9) * float(np.ptp(down))
    side = np.where(at > 0, np.float32(dice.near(0, 6)), 0)
    crease = np.exp(-((at / np.float32(dice.between(0.7, 2) * layout.pixel)) ** 2)) * np.float32(dice.near(0, 30))
    return np.asarray(paper + (side + crease)[..., np.newaxis], np.float32)


def texture(paper: Floats, layout: Layout, hands: Hands, dice: Dice) -> Floats:  # noqa: ARG001
    """Wood, cloth or wall instead of smooth paper: streaks in one direction."""
    noise = dice.rng.standard_normal((layout.height, layout.width), dtype=np.float32)
    long_way, short_way = dice.between(6, 20) * layout.pixel, dice.between(0.5, 1.5) * layout.pixel
    sigma = (long_way, short_way) if dice.maybe(0.5) else (short_way, long_way)
    streaks = cv2.GaussianBlur(noise, (0, 0), sigmaX=sigma[0], sigmaY=sigma[1])
    return np.asarray(
        paper + (streaks / max(float(streaks.std()), 1e-6) * np.float32(dice.between(2, 12)))[..., np.newaxis], np.float32
    )


INGREDIENTS: dict[str, tuple[Ingredient, float]] = {  # and how often each comes up on paper
    "texture": (texture, 0.06),
    "rules": (rules, 0.28),
    "underline": (underline, 0.06),
    "show_through": (show_through, 0.10),
    "printed": (printed, 0.10),
    "stain": (stain, 0.08),
    "smears": (smears, 0.06),
    "frame": (frame, 0.10),
    "rubber_stamp": (rubber_stamp, 0.03),
    "staple": (staple, 0.03),
    "fold": (fold, 0.06),
}


def lay_paper(layout: Layout, hands: Hands, dice: Dice) -> tuple[Floats, bool]:
    """Makes the paper of a scene, (H, W, 3) in 0..255, and tells whether it is dark."""
    paper, dark = plain(layout, dice)
    for ingredient, chance in INGREDIENTS.values():
        if dice.maybe(chance, "papers"):
            paper = ingredient(paper, layout, hands, dice)
    if layout.cells:
        paper = cells(paper, layout, hands, dice)
    return paper, dark
