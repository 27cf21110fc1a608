"""Manners: variations of one hand's strokes beyond the recorded ones: bent, with corners as drawn by a mouse, shaky.

Fonts repeat each character exactly, and writers wrote each digit only a few times. In a scene no two are the same.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from training.data.dice import Dice, Points
from training.data.hands import Hand, Hands, Written

MOST_BENT = 0.035  # of the character's longer side
WAVES = 3  # in the smooth field that bends strokes
ANGULAR = 0.15  # share of hands whose strokes have corners, as with mice and touchpads
SHAKY = 0.08  # share of hands that tremble
CORNERS = (0.018, 0.055)  # of the longer side: distance by which corners may leave the stroke
TREMBLE = (0.004, 0.016)
STEP = 0.04  # of the longer side, between the displaced points of a trembling stroke
OWN_OUTLINE = 0.5  # share of characters with an outline that keep it, and with it their shape


@dataclass(frozen=True)
class Mannered:
    """A hand with its manner. corners, tremble: relative to the longer side, 0 for none."""

    hand: Hand
    corners: float
    tremble: float

    def digit(self, dice: Dice, label: int | None = None) -> Written:
        """A digit of the hand, varied anew each time."""
        return vary(self.hand.digit(dice, label), dice, corners=self.corners, tremble=self.tremble)


def choose_hand(hands: Hands, dice: Dice) -> Mannered:
    """A random hand with a random manner."""
    corners = dice.between(*CORNERS) if dice.maybe(ANGULAR, "pens") else 0.0
    return Mannered(hands.hand(dice), corners, dice.between(*TREMBLE) if dice.maybe(SHAKY, "pens") else 0.0)


def one(hands: Hands, dice: Dice) -> Written:
    """The digit of a scene of one digit: by a random hand, or the given one unchanged."""
    return hands.given or choose_hand(hands, dice).digit(dice)


def vary(written: Written, dice: Dice, *, corners: float = 0.0, tremble: float = 0.0) -> Written:
    """Bends the character's strokes a little; a character with its own outline often stays unchanged."""
    if not written.strokes or (written.own is not None and dice.maybe(OWN_OUTLINE)):
        return written
    field = _field(dice)
    strokes = [stroke + _bend(stroke, field) for stroke in written.strokes]
    if corners:
        strokes = [_with_corners(stroke, corners) for stroke in strokes]
    if tremble:
        strokes = [_shake(stroke, tremble, dice) for stroke in strokes]
    return replace(written, strokes=tuple(strokes), own=None, exact=False)


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
