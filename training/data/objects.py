"""Pictures that people send without paper or a digit: things, faces, signs, logos, pages of text, keyboards, noise."""

from collections.abc import Callable

import cv2
import numpy as np

from training.data import fonts
from training.data.dice import Dice, Floats, Pixels
from training.data.hands import Hands
from training.data.layouts import Layout
from training.data.papers import PROSE, blend, lay, part

Thing = Callable[[Floats, Layout, Hands, Dice], Floats]


def blobs(picture: Floats, layout: Layout, hands: Hands, dice: Dice) -> Floats:  # noqa: ARG001
    """Overlapping round and angular shapes with soft shades, like things and faces out of focus."""
    shape = picture.shape[:2]
    size = max(shape)
    for _ in range(dice.count(2, 12)):
        sheet = np.zeros(shape, np.uint8)
        x, y = dice.count(0, shape[1]), dice.count(0, shape[0])
        if dice.maybe(0.6):
            axes = (dice.count(2, max(3, size // 3)), dice.count(2, max(3, size // 3)))
            cv2.ellipse(sheet, (x, y), axes, dice.between(0, 180), 0, 360, 255, -1, cv2.LINE_AA)
        else:
            corners = np.round(dice.rng.normal((x, y), size / 5, (dice.count(3, 6), 2))).astype(np.int32)
            cv2.fillPoly(sheet, [corners[:, np.newaxis]], 255, cv2.LINE_AA)
        if dice.maybe(0.5):
            sheet = np.asarray(cv2.GaussianBlur(sheet, (0, 0), dice.between(0.5, size / 24)), np.uint8)
        shade = dice.colour(0, 255) + (dice.waves(shape, 3) * dice.between(0, 30))[..., np.newaxis]
        picture = blend(picture, np.asarray(shade, np.float32), part(sheet, dice.between(0.5, 1)))
    return picture


def logo(picture: Floats, layout: Layout, hands: Hands, dice: Dice) -> Floats:  # noqa: ARG001
    """A sign: a flat shape in one colour with a letter, an arrow or a bar in it."""
    shape = picture.shape[:2]
    x, y, radius = shape[1] / 2, shape[0] / 2, min(shape) * dice.between(0.25, 0.48)
    sheet, inner = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    corners = dice.pick((3, 4, 6, 8, 40))
    turn = dice.pick((0.0, np.pi / corners))
    around = np.arange(corners) / corners * 2 * np.pi + turn
    ring = np.stack([x + radius * np.cos(around), y + radius * np.sin(around)], axis=1)
    cv2.fillPoly(sheet, [np.round(ring).astype(np.int32)[:, np.newaxis]], 255, cv2.LINE_AA)
    kind = dice.pick(("bar", "arrow", "word"))
    if kind == "word" and hands.fonts is not None and hands.fonts.printed:
        word = fonts.render(
            dice.pick(hands.fonts.printed), dice.pick(("STOP", "f", "P", "EXIT", "T", "HELP", "A")), max(8, round(radius * 0.7))
        )
        lay(inner, word, round(x - word.shape[1] / 2), round(y - word.shape[0] / 2))
    elif kind == "arrow":
        cv2.arrowedLine(
            inner, (round(x - radius / 2), round(y)), (round(x + radius / 2), round(y)), 255, max(1, round(radius / 6))
        )
    else:
        cv2.rectangle(
            inner,
            (round(x - radius * 0.7), round(y - radius * 0.15)),
            (round(x + radius * 0.7), round(y + radius * 0.15)),
            255,
            -1,
        )
    picture = blend(picture, dice.colour(0, 255), part(sheet))
    return blend(picture, dice.grey(200, 255) if dice.maybe(0.7) else dice.colour(0, 255), part(inner))


def text_page(picture: Floats, layout: Layout, hands: Hands, dice: Dice) -> Floats:
    """A page full of writing or print, too small and too dense to be a digit."""
    if hands.fonts is None:
        return blobs(picture, layout, hands, dice)
    font = dice.pick(hands.fonts.printed) if dice.maybe(0.5) else dice.pick(hands.fonts.written).path
    size = max(6, round(layout.height * dice.scale(0.03, 0.12)))
    sheet: Pixels = np.zeros(picture.shape[:2], np.uint8)
    for top in range(dice.count(0, size), layout.height, round(size * dice.between(1.1, 1.5))):
        start = dice.count(0, 60)
        lay(sheet, fonts.render(font, PROSE[start:] + " " + PROSE[:start], size), dice.count(2, 12), top)
    return blend(picture, dice.grey(0, 110, 10), part(sheet, dice.between(0.4, 1)))


def keys(picture: Floats, layout: Layout, hands: Hands, dice: Dice) -> Floats:
    """Rows of boxes: a keyboard, a wall of tiles, a table, a screen of pictures."""
    columns, gap = dice.count(2, 8), dice.between(0.05, 0.3)
    cell = layout.width / columns
    sheet, letters = np.zeros(picture.shape[:2], np.uint8), np.zeros(picture.shape[:2], np.uint8)
    lettered = dice.maybe(0.5) and hands.fonts is not None
    for row in range(int(layout.height / cell) + 1):
        for column in range(columns):
            left, top = column * cell + (row % 2) * cell * 0.2, row * cell
            ends = (round(left), round(top)), (round(left + cell * (1 - gap)), round(top + cell * (1 - gap)))
            cv2.rectangle(sheet, *ends, 255, -1)
            if lettered and hands.fonts is not None and cell > 12:
                lay(
                    letters,
                    fonts.render(dice.pick(hands.fonts.printed), dice.pick("QWERTYAFHJKXVNM"), round(cell / 3)),
                    ends[0][0] + 3,
                    ends[0][1] + 3,
                )
    picture = blend(picture, dice.colour(0, 255), part(sheet))
    return blend(picture, dice.grey(0, 255), part(letters))


def static(picture: Floats, layout: Layout, hands: Hands, dice: Dice) -> Floats:  # noqa: ARG001
    """Noise of random grain, in grey or colours: leaves, cloth, a screen without a signal, lights at night."""
    shape = picture.shape[:2]
    noise = np.stack([dice.grain(shape, dice.between(0.5, 6)) for _ in range(3)], axis=2)
    noise = noise if dice.maybe(0.4) else np.repeat(noise[..., :1], 3, axis=2)
    if dice.maybe(0.3):
        noise = np.maximum(noise - dice.between(1, 2.5), 0) * 2
    return np.asarray(picture + noise * dice.between(10, 80), np.float32)


def doodle(picture: Floats, layout: Layout, hands: Hands, dice: Dice) -> Floats:  # noqa: ARG001
    """Meaningless lines: curls, zigzags, arrows, a drawn house."""
    sheet = np.zeros(picture.shape[:2], np.uint8)
    for _ in range(dice.count(1, 3)):
        knots = dice.rng.uniform(0, 1, (dice.count(3, 9), 2)) * (layout.width, layout.height)
        smooth = dice.maybe(0.6)
        curve = cv2.resize(knots, (2, len(knots) * 12), interpolation=cv2.INTER_CUBIC) if smooth else knots
        points = np.round(np.asarray(curve) * 16).astype(np.int32)[:, np.newaxis]
        cv2.polylines(sheet, [points], dice.maybe(0.3), 255, dice.count(1, max(2, layout.height // 20)), cv2.LINE_AA, 4)
    return blend(
        picture, dice.grey(0, 120, 20) if picture.mean() > 110 else dice.grey(140, 255, 20), part(sheet, dice.between(0.5, 1))
    )


THINGS: dict[str, tuple[Thing, float]] = {
    "blobs": (blobs, 0.30),
    "logo": (logo, 0.12),
    "text_page": (text_page, 0.18),
    "keys": (keys, 0.10),
    "static": (static, 0.12),
    "doodle": (doodle, 0.18),
}


def show(picture: Floats, layout: Layout, hands: Hands, dice: Dice) -> Floats:
    """Draws one of these over the picture."""
    thing, _ = THINGS[dice.weighted({name: chance for name, (_, chance) in THINGS.items()})]
    return np.clip(thing(picture, layout, hands, dice), 0, 255)
