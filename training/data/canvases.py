"""Canvases of drawing programs: their grounds, what was drawn and erased on them, and the windows around them."""

import cv2
import numpy as np

from training.data.dice import Colour, Dice, Floats
from training.data.hands import Hands
from training.data.layouts import Layout, draw_style
from training.data.papers import blend, part, put
from training.data.pens import Pen, Spot, stamp

WHITE, BLACK = 255.0, 0.0
LUMA = np.array((0.299, 0.587, 0.114), np.float32)


def choose_colours(dice: Dice) -> tuple[Colour, Colour]:
    """Chooses the colours of ground and ink: mostly black and white, some faint, some of any colour, some of equal grey."""
    kind = dice.weighted({"black on white": 0.4, "white on black": 0.28, "greys": 0.1, "faint": 0.1, "colours": 0.12})
    if kind == "colours":
        ground = dice.colour(0, 255)
        return ground, equal_grey(ground, dice) if dice.maybe(0.35) else _apart(ground, dice.colour(0, 255), 60)
    dark = kind == "white on black" or (kind != "black on white" and dice.maybe(0.4))
    ground = np.full(3, BLACK if dark else WHITE, np.float32)
    ink = np.full(3, WHITE - ground[0], np.float32)
    if kind == "greys":
        ground = np.asarray(ground + (1 if dark else -1) * dice.between(2, 60), np.float32)
        ink = dice.grey(150, 255, 5) if dark else dice.grey(0, 110, 5)
    if kind == "faint":
        ink = np.asarray(ground + (ink - ground) * dice.between(0.05, 0.45), np.float32)
    if kind in ("black on white", "white on black") and dice.maybe(0.2):
        ink = _apart(ground, dice.colour(0, 255), 90)
    return ground, ink


def _apart(ground: Colour, ink: Colour, least: float) -> Colour:
    """The ink, or its opposite if the ink is too close to the ground."""
    return ink if np.abs(ink - ground).max() >= least else np.asarray((ground + 128) % 256, np.float32)


def equal_grey(ground: Colour, dice: Dice) -> Colour:
    """Another colour with the ground's grey level, so that only its hue differs."""
    for _ in range(8):
        ink = dice.colour(0, 255)
        ink = np.asarray(ink + (ground - ink) @ LUMA, np.float32)
        if ink.min() >= 0 and ink.max() <= 255 and np.abs(ink - ground).max() > 60:
            return np.asarray(ink, np.float32)
    return _apart(ground, dice.colour(0, 255), 90)


def lay_ground(layout: Layout, ground: Colour, dice: Dice) -> Floats:
    """A ground of one exact colour, sometimes a gradient or a pattern."""
    canvas = np.empty((layout.height, layout.width, 3), np.float32)
    canvas[:] = ground
    if dice.maybe(0.06, "canvases"):
        ramp = np.linspace(-1, 1, layout.width if dice.maybe(0.5) else layout.height, dtype=np.float32) * dice.between(10, 60)
        canvas += ramp[np.newaxis, :, np.newaxis] if len(ramp) == layout.width else ramp[:, np.newaxis, np.newaxis]
    if dice.maybe(0.05, "canvases"):
        y, x = np.mgrid[0 : layout.height, 0 : layout.width]
        step = dice.count(3, 20)
        squares = ((x // step + y // step) % 2)[..., np.newaxis].astype(np.float32)
        canvas += squares * np.float32(dice.near(0, 25))
    return np.clip(canvas, 0, 255)


def erased(canvas: Floats, layout: Layout, hands: Hands, colours: tuple[Colour, Colour], dice: Dice) -> Floats:
    """Draws something and wipes it with a pen of nearly the ground's colour; a few traces remain."""
    ground, ink = colours
    sheet, wiped = np.zeros(canvas.shape[:2], np.uint8), np.zeros(canvas.shape[:2], np.uint8)
    side = min(layout.height, layout.width) * dice.between(0.3, 0.9)
    centre = dice.between(0.2, 0.8) * layout.width, dice.between(0.2, 0.8) * layout.height
    spot = Spot(centre, side, draw_style(dice).shape(dice))
    put(sheet, stamp(hands.hand(dice).digit(dice), spot, Pen(dice.scale(0.02, 0.12)), dice))
    pitch, reach = max(4.0, side * dice.between(0.1, 0.2)), side * dice.between(0.3, 0.7)
    rows = np.arange(centre[1] - side * 0.6, centre[1] + side * 0.6, pitch)
    zigzag = [(centre[0] + (reach if index % 2 else -reach), y + dice.near(0, pitch / 5)) for index, y in enumerate(rows)]
    points = np.round(np.array(zigzag) * 16).astype(np.int32)[:, np.newaxis]
    cv2.polylines(wiped, [points], False, 255, max(2, round(pitch * dice.between(0.8, 1.4))), cv2.LINE_AA, 4)
    canvas = blend(canvas, ink, part(sheet))
    return blend(canvas, ground, part(wiped))


def scribbles(canvas: Floats, layout: Layout, dice: Dice) -> Floats:
    """Lines of other colours under the writing."""
    sheet = np.zeros(canvas.shape[:2], np.uint8)
    for _ in range(dice.count(1, 5)):
        points = dice.rng.uniform(-0.1, 1.1, (dice.count(2, 4), 2)) * (layout.width, layout.height)
        cv2.polylines(
            sheet, [np.round(points * 16).astype(np.int32)[:, np.newaxis]], False, 255, dice.count(1, 10), cv2.LINE_AA, 4
        )
    return blend(canvas, dice.colour(0, 255), part(sheet))


def border(canvas: Floats, layout: Layout, dice: Dice) -> Floats:
    """A line around the canvas, or a strip of what is next to it, along some borders or slightly inside."""
    thick = max(1, round(min(layout.height, layout.width) * dice.scale(0.006, 0.07)))
    inset = dice.count(0, 2 * thick) if dice.maybe(0.3) else 0
    colour = dice.grey(0, 255)
    all_around = dice.maybe(0.5)
    inner = canvas[inset : layout.height - inset, inset : layout.width - inset]
    for edge in (inner[:thick], inner[-thick:], inner[:, :thick], inner[:, -thick:]):
        if all_around or dice.maybe(0.3):
            edge[:] = colour
    return canvas


def window(canvas: Floats, layout: Layout, dice: Dice) -> tuple[Floats, tuple[int, int]]:
    """Puts the canvas in a window with bars and buttons: the screenshot, and the position of the canvas's corner in it."""
    pad = [round(share * max(layout.height, layout.width)) for share in dice.rng.uniform(0.02, 0.3, 4)]
    left, top, right, bottom = pad
    shot = np.empty((layout.height + top + bottom, layout.width + left + right, 3), np.float32)
    shot[:] = dice.grey(20, 60, 3) if dice.maybe(0.4) else dice.grey(205, 250, 3)
    bar = max(2, top // dice.count(1, 3))
    shot[:bar] = dice.colour(30, 240)
    for index in range(dice.count(0, 8)):
        size = max(2, round(bar * dice.between(0.3, 0.7)))
        x, y = round(bar * 0.2) + index * round(size * 1.7), max(0, (bar - size) // 2)
        if dice.maybe(0.4):
            cv2.circle(shot, (x + size // 2, y + size // 2), max(1, size // 2), dice.colour(0, 255).tolist(), -1, cv2.LINE_AA)
        else:
            cv2.rectangle(shot, (x, y), (x + size, y + size), dice.colour(0, 255).tolist(), dice.pick((-1, 1)))
    if bottom > 8:
        for index in range(dice.count(0, 3)):
            x = left + index * (layout.width // 3)
            cv2.rectangle(
                shot,
                (x, top + layout.height + bottom // 4),
                (x + layout.width // 4, top + layout.height + bottom * 3 // 4),
                dice.colour(60, 230).tolist(),
                -1,
            )
    shot[top : top + layout.height, left : left + layout.width] = canvas
    if dice.maybe(0.5):
        cv2.rectangle(shot, (left - 1, top - 1), (left + layout.width, top + layout.height), dice.grey(0, 200).tolist(), 1)
    return shot, (left, top)


def lay_canvas(layout: Layout, hands: Hands, ground: Colour, ink: Colour, dice: Dice) -> Floats:
    """The canvas of a scene before the digit is drawn, (H, W, 3) in 0..255."""
    canvas = lay_ground(layout, ground, dice)
    if dice.maybe(0.04, "canvases"):
        canvas = scribbles(canvas, layout, dice)
    if dice.maybe(0.06, "canvases"):
        canvas = erased(canvas, layout, hands, (ground, ink), dice)
    if dice.maybe(0.10, "canvases"):
        canvas = border(canvas, layout, dice)
    return canvas
