"""How a picture stands, by its digits: glyphs that look more like digits after a turn speak for it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.reading.answer import Box
from app.reading.decode.picture import Picture
from app.reading.infer.classifier import DigitClassifier
from app.reading.numbers.evidence import MOST_ENERGY


def turn_picture(picture: Picture, turn: int) -> Picture:
    """The picture after so many quarter turns clockwise."""
    size = (picture.width, picture.height) if turn % 2 == 0 else (picture.height, picture.width)
    return Picture(np.ascontiguousarray(np.rot90(picture.pixels, -turn)), *size, picture.frame)


def turn_back(box: Box, picture: Picture, turn: int) -> Box:
    """A box in a turned picture -> the box in the picture before the turn. picture: the turned one."""
    right, bottom = picture.width - box.x - box.width, picture.height - box.y - box.height
    if turn == 1:
        return Box(box.y, right, box.height, box.width)
    if turn == 2:
        return Box(right, bottom, box.width, box.height)
    return Box(bottom, box.x, box.height, box.width) if turn else box


def turn_glyphs(glyphs: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    """Glyphs (N, 28, 28) after so many quarter turns clockwise, placed as glyphs are.

    A glyph's centre of mass lies half a pixel right of and below the middle, so an axis that was reversed moves by a pixel.
    """
    turned = np.rot90(glyphs, -turn, axes=(1, 2))
    return np.roll(turned, (int(turn in (2, 3)), int(turn in (1, 2))), axis=(1, 2))


def odds_by_turn(classifier: DigitClassifier, glyphs: NDArray[np.uint8], turns: Sequence[int]) -> list[float]:
    """For each turn, the sum of the log odds that each of the glyphs (N, 28, 28), so turned, is a digit; 0 for no glyph."""
    if not len(glyphs):
        return [0.0 for _ in turns]
    energy = classifier.predict(np.concatenate([turn_glyphs(glyphs, turn) for turn in turns])).energy
    odds: list[float] = np.clip(energy, -MOST_ENERGY, MOST_ENERGY).reshape(len(turns), -1).sum(axis=1).tolist()
    return odds
