"""Variations of one hand's strokes beyond the recorded ones: other forms, bent, with a mouse's corners, shaky.

Fonts repeat each character exactly, and writers wrote each digit only a few times. In a scene no two are the same. Some forms
are common in the world and rare in the collections: a 0 with a slash, a 1 with a flag and a foot, a 7 with a bar.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from training.data.dice import Dice, Points
from training.data.hands import Hand, Hands, Written
from training.data.styles import style_of

MOST_BENT = 0.035  # of the character's longer side
WAVES = 3  # in the smooth field that bends strokes
ANGULAR = 0.15  # share of hands whose strokes have corners, as with mice and touchpads
SHAKY = 0.08  # share of hands that tremble
CORNERS = (0.018, 0.055)  # of the longer side: distance by which corners may leave the stroke
TREMBLE = (0.004, 0.016)
STEP = 0.04  # of the longer side, between the displaced points of a trembling stroke
SLASHED, FLAGGED, CROSSED = 0.18, 0.25, 0.2  # shares of the 0s, slim 1s and 7s that get the form
RISING = 0.8  # share of slashes and bars that rise to the right
UPRIGHT = 0.1, 1.0  # a slash's way across the 0 over its way down: some are nearly upright
SLASH = 0.4, 0.95  # half of a slash, over the half height and width on its way: shorter than the 0, or far beyond it
FOOTED = 0.3  # share of the 1s with a flag that also get a foot
STEEP = 0.6, 1.6  # fall of a flag over its reach; a flatter one would make a 7
ARCHED = 0.3  # most that a flag rises above its straight line, over its reach
SLIM = 0.4  # width over height up to which a 1 is a bare stem
OWN_OUTLINE = 0.5  # share of characters with an outline that keep it, and with it their shape


@dataclass(frozen=True)
class VariedHand:
    """A hand with its manner. corners, tremble: relative to the longer side, 0 for none."""

    hand: Hand
    corners: float
    tremble: float

    def digit(self, dice: Dice, label: int | None = None) -> Written:
        """A digit of the hand, varied anew each time."""
        return vary(self.hand.digit(dice, label), dice, corners=self.corners, tremble=self.tremble)


def choose_hand(hands: Hands, dice: Dice) -> VariedHand:
    """A random hand with a random manner."""
    corners = dice.between(*CORNERS) if dice.maybe(ANGULAR, "pens") else 0.0
    return VariedHand(hands.hand(dice), corners, dice.between(*TREMBLE) if dice.maybe(SHAKY, "pens") else 0.0)


def one(hands: Hands, dice: Dice) -> Written:
    """The digit of a scene of one digit: by a random hand, or the given one unchanged."""
    return hands.given or choose_hand(hands, dice).digit(dice)


def vary(written: Written, dice: Dice, *, corners: float = 0.0, tremble: float = 0.0) -> Written:
    """Changes the character's form or bends its strokes a little; one with its own outline often stays unchanged."""
    added = _other_form(written, dice)
    if not written.strokes or (not added and written.own is not None and dice.maybe(OWN_OUTLINE)):
        return written
    field = _field(dice)
    strokes = [stroke + _bend(stroke, field) for stroke in _fit_box([*written.strokes, *added])]
    if corners:
        strokes = [_with_corners(stroke, corners) for stroke in strokes]
    if tremble:
        strokes = [_shake(stroke, tremble, dice) for stroke in strokes]
    return replace(written, strokes=tuple(strokes), own=None, exact=False)


def _other_form(written: Written, dice: Dice) -> list[Points]:
    """Strokes that give a digit another usual form; mostly none."""
    form = FORMS.get(written.label)
    if form is None or not written.strokes or not dice.maybe(form[0], "pens") or style_of(written.label, written.strokes):
        return []
    return form[1](np.concatenate(written.strokes), dice)


def _slash(zero: Points, dice: Dice) -> list[Points]:
    """Through the middle, mostly from the lower left to the upper right, at times upright, often beyond the 0."""
    low, high = zero.min(axis=0), zero.max(axis=0)
    middle = (low + high) / 2 + (high - low) * dice.rng.uniform(-0.06, 0.06, 2)
    way = (high - low) * (dice.between(*UPRIGHT) * _rise(dice), 1) * dice.between(*SLASH)
    return [_line(tuple(middle - way), tuple(middle + way))]


def _flag(one: Points, dice: Dice) -> list[Points]:
    """From the upper end of a bare stem to the lower left, and at times a foot."""
    (left, top), (right, bottom) = one.min(axis=0), one.max(axis=0)
    height = bottom - top
    if right - left > SLIM * height:
        return []
    x, y = one[one[:, 1].argmin()]
    reach = height * dice.between(0.12, 0.4)
    start = x - reach, y + reach * dice.between(*STEEP)
    strokes = [_arch(start, (x, y), reach * max(0.0, dice.between(-ARCHED, ARCHED)))]
    if dice.maybe(FOOTED):
        foot, under = one[one[:, 1].argmax()], height * dice.between(0.12, 0.35)
        strokes.append(_line((foot[0] - under, foot[1]), (foot[0] + under * dice.between(0.7, 1.3), foot[1])))
    return strokes


def _bar(seven: Points, dice: Dice) -> list[Points]:
    """Across the stem at its middle."""
    (left, top), (right, bottom) = seven.min(axis=0), seven.max(axis=0)
    y = top + (bottom - top) * dice.between(0.4, 0.62)
    near = seven[np.abs(seven[:, 1] - y) < 0.1 * (bottom - top)]
    if not len(near):
        return []
    x, half = float(near[:, 0].mean()), (right - left) * dice.between(0.2, 0.6)
    tilt = half * dice.between(0, 0.5) * -_rise(dice)
    return [_line((x - half, y + tilt), (x + half, y - tilt))]


def _rise(dice: Dice) -> int:
    """-1 for what rises to the right, as most people write it, +1 for what falls."""
    return -1 if dice.maybe(RISING) else 1


FORMS = {0: (SLASHED, _slash), 1: (FLAGGED, _flag), 7: (CROSSED, _bar)}


def _line(start: tuple[float, float], end: tuple[float, float]) -> Points:
    return np.linspace(start, end, 8).astype(np.float32)


def _arch(start: tuple[float, float], end: tuple[float, float], rise: float) -> Points:
    """From one place to another, in the middle so much higher than a straight line."""
    arch = _line(start, end)
    arch[:, 1] -= rise * np.sin(np.linspace(0, np.pi, len(arch), dtype=np.float32))
    return arch


def _fit_box(strokes: list[Points]) -> list[Points]:
    """Moves and scales strokes so that they fill a box whose longer side is 1."""
    every = np.concatenate(strokes)
    low, side = every.min(axis=0), max(float(np.ptp(every, axis=0).max()), 1e-3)
    return [np.asarray((stroke - low) / side, np.float32) for stroke in strokes]


def _field(dice: Dice) -> Points:
    """Direction, phase and strength of some long waves: (WAVES, 5)."""
    waves = np.empty((WAVES, 5), np.float32)
    waves[:, :2] = dice.rng.normal(0, np.pi, (WAVES, 2))
    waves[:, 2] = dice.rng.uniform(0, 2 * np.pi, WAVES)
    waves[:, 3:] = dice.rng.normal(0, dice.between(0, MOST_BENT) / np.sqrt(WAVES), (WAVES, 2))
    return waves


def _bend(stroke: Points, waves: Points) -> Points:
    return np.asarray(np.sin(stroke @ waves[:, :2].T + waves[:, 2]) @ waves[:, 3:], np.float32)


def _with_corners(stroke: Points, corners: float) -> Points:
    """The stroke as a few straight lines."""
    return np.asarray(cv2.approxPolyDP(stroke.reshape(-1, 1, 2), corners, False)[:, 0], np.float32)


def _shake(stroke: Points, tremble: float, dice: Dice) -> Points:
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(stroke, axis=0).T))])
    at = np.linspace(0, along[-1], max(2, int(along[-1] / STEP)))
    even = np.stack([np.interp(at, along, stroke[:, axis]) for axis in (0, 1)], axis=1)
    return np.asarray(even + dice.rng.normal(0, tremble, even.shape), np.float32)
