"""The light on the paper, and what is around the paper. Each ingredient changes the light, (H, W) float32 around 1."""

from collections.abc import Callable

import cv2
import numpy as np

from training.data.dice import Colour, Dice, Floats
from training.data.layouts import Layout

Ingredient = Callable[[Floats, Layout, Dice], Floats]


def _across(shape: tuple[int, int], angle: float, centre: tuple[float, float] = (0.5, 0.5)) -> Floats:
    """Each pixel's distance from the centre in the angle's direction, in pixels."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    across = (x - shape[1] * centre[0]) * np.cos(angle) + (y - shape[0] * centre[1]) * np.sin(angle)
    return np.asarray(across, np.float32)


def _angle(dice: Dice) -> float:
    return dice.between(0, 2 * np.pi)


def falloff(light: Floats, layout: Layout, dice: Dice) -> Floats:  # noqa: ARG001
    """Darker towards one side."""
    across = _across(light.shape, _angle(dice))
    return np.asarray(light * (1 - dice.between(0, 0.6) * (across - across.min()) / max(float(np.ptp(across)), 1)), np.float32)


def shadow(light: Floats, layout: Layout, dice: Dice) -> Floats:
    """A shadow with an edge, hard or soft, straight or wavy, of a hand or a phone."""
    angle = _angle(dice)
    away = _across(light.shape, angle, (dice.between(0.1, 0.9), dice.between(0.1, 0.9)))
    if dice.maybe(0.5):
        along = _across(light.shape, angle + np.pi / 2)
        size = max(layout.height, layout.width)
        away = away + np.float32(size * dice.between(0.03, 0.12)) * np.sin(along / np.float32(size * dice.between(0.04, 0.25)))
    if dice.maybe(0.3):
        away = np.minimum(away, np.float32(max(layout.height, layout.width) * dice.between(0.1, 0.4)) - away)
    inside = np.clip(away / np.float32(dice.scale(1, 40) * layout.pixel) + 0.5, 0, 1)
    return np.asarray(light * (1 - dice.between(0.08, 0.7) * inside), np.float32)


def flash(light: Floats, layout: Layout, dice: Dice) -> Floats:
    """A bright spot: the reflection of a flash or a lamp."""
    y, x = np.mgrid[0 : layout.height, 0 : layout.width].astype(np.float32)
    size = max(layout.height, layout.width) * dice.between(0.1, 0.6)
    far = ((x - dice.between(0, 1) * layout.width) ** 2 + (y - dice.between(0, 1) * layout.height) ** 2) / size**2
    return np.asarray(light + dice.between(0.1, 0.9) * np.exp(-far), np.float32)


def vignette(light: Floats, layout: Layout, dice: Dice) -> Floats:
    """Darker towards the corners."""
    y, x = np.mgrid[-1 : 1 : layout.height * 1j, -1 : 1 : layout.width * 1j].astype(np.float32)
    return np.asarray(light * (1 - dice.between(0.1, 0.5) * (x**2 + y**2) / 2), np.float32)


def uneven(light: Floats, layout: Layout, dice: Dice) -> Floats:
    """Crumpled or wavy paper."""
    return np.asarray(
        light * (1 + dice.waves((layout.height, layout.width), dice.count(3, 7)) * dice.between(0.02, 0.12)), np.float32
    )


def dim(light: Floats, layout: Layout, dice: Dice) -> Floats:  # noqa: ARG001
    """Too little light, or against the light."""
    return np.asarray(light * dice.between(0.2, 0.75), np.float32)


def moire(light: Floats, layout: Layout, dice: Dice) -> Floats:
    """The waves (moiré) of a photographed screen."""
    across = _across(light.shape, _angle(dice))
    return np.asarray(
        light * (1 + dice.between(0.01, 0.08) * np.sin(across / np.float32(dice.between(0.5, 5) * layout.pixel))), np.float32
    )


INGREDIENTS: dict[str, tuple[Ingredient, float]] = {
    "falloff": (falloff, 0.85),
    "shadow": (shadow, 0.30),
    "flash": (flash, 0.07),
    "vignette": (vignette, 0.12),
    "uneven": (uneven, 0.15),
    "dim": (dim, 0.15),
    "moire": (moire, 0.02),
}


def shine(layout: Layout, dice: Dice) -> Floats:
    """The light on the page, (H, W); at 1 the page has the paper's own colour."""
    light = np.ones((layout.height, layout.width), np.float32)
    for ingredient, chance in INGREDIENTS.values():
        if dice.maybe(chance, "lights"):
            light = ingredient(light, layout, dice)
    return light


def table(picture: Floats, layout: Layout, dice: Dice) -> Floats:
    """Ends the sheet on one or all sides, where a table, a hand or another sheet begins."""
    angle, ground = _angle(dice), dice.grey(0, 220, 25)
    for quarter in range(1 if dice.maybe(0.65) else dice.count(2, 4)):
        picture = table_edge(picture, layout, angle + quarter * np.pi / 2, ground, dice)
    return picture


def table_edge(picture: Floats, layout: Layout, angle: float, colour: Colour, dice: Dice) -> Floats:
    """One edge of the sheet, in that direction, outside all characters."""
    away = _across((layout.height, layout.width), angle)
    outmost = max(
        (
            (item.centre[0] - layout.width / 2) * np.cos(angle)
            + (item.centre[1] - layout.height / 2) * np.sin(angle)
            + item.side * 0.62
            for item in layout.items
        ),
        default=0.0,
    )
    start = max(outmost, dice.between(0.2, 0.5) * min(layout.height, layout.width))
    mask = np.clip((away - start) / np.float32(dice.scale(0.7, 4) * layout.pixel), 0, 1)[..., np.newaxis]
    ground = colour + (dice.waves((layout.height, layout.width), 12) * dice.between(0, 18))[..., np.newaxis]
    dark_edge = np.exp(-(((away - start) / np.float32(dice.between(2, 8) * layout.pixel)) ** 2))[..., np.newaxis] * np.float32(
        dice.between(0, 0.4)
    )
    return np.asarray((picture * (1 - mask) + ground * mask) * (1 - dark_edge), np.float32)


def spiral(picture: Floats, layout: Layout, dice: Dice) -> Floats:
    """The rings of a notebook along one border."""
    sheet = np.zeros((layout.height, layout.width), np.uint8)
    pitch, radius = max(6, layout.width // dice.count(6, 14)), max(2, layout.width // dice.count(30, 60))
    for x in range(pitch // 2, layout.width, pitch):
        cv2.ellipse(
            sheet, (x, 0), (radius, radius * dice.count(2, 4)), dice.near(0, 8), 0, 360, 255, dice.count(1, 2), cv2.LINE_AA
        )
    mask = sheet.astype(np.float32)[..., np.newaxis] / 255
    return np.asarray(picture * (1 - mask) + dice.grey(20, 200) * mask, np.float32)
