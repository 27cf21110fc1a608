"""Finds the digits of a picture: a first look at all of it, a second one at a small digit, then ink and glyph.

    begin ─► look ─► pick ─► look again ─► draw

Looks are the caller's, who runs those of many pictures together; find_digits does all of it for one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from app.errors import NoDigitFound
from app.reading.answer import Box, ReadingWarning
from app.reading.decode.picture import Picture
from app.reading.find.blank import blank
from app.reading.find.detect import LEAST, MOST, Detections, detect, refine
from app.reading.find.finder import Finder, Floats, Look
from app.reading.find.glyph import VISIBLE, Ink, bounds, gate, is_normalised, place
from app.reading.find.measure import Measurements, Under, as_scalar, look_under, measure
from app.reading.find.window import Area, Window, cut_around, cut_whole, to_area

__all__ = ["MOST", "Begun", "Glyph", "Picked", "Steps", "alike", "begin", "draw", "find_digits", "pick"]

LARGE = 40  # pixels of a window; a digit whose longer side is as long is not looked at again
SIBLING = 0.6  # of the digit's height; a neighbour at least so high counts as another digit
BLANK = 4  # grey levels from the first pixel to any other, in each channel, of a picture that shows nothing

FAINT_CONTRAST = 0.2  # 0 to 1, below which ink is called faint
TINY = 12  # pixels of the longer side in the original, below which a digit is called tiny
BLURRED = 0.13  # edge width over the digit's longer side from which it is called blurred: as wide as MNIST's strokes
COARSE = 3  # pixels; a narrower edge is as sharp as pixels can show


@dataclass(frozen=True)
class Glyph:
    """A digit in the form of MNIST.

    pixels: (28, 28) uint8, bright ink on black; box: its position, in pixels of the upright original;
    measurements: of the digit; warnings: doubts about it.
    """

    pixels: NDArray[np.uint8]
    box: Box
    measurements: Measurements
    warnings: tuple[ReadingWarning, ...] = ()


@dataclass(frozen=True)
class Begun:
    """A picture before its first look, which is at the window."""

    picture: Picture
    window: Window


@dataclass(frozen=True)
class Sight:
    """A digit as one look saw it. area: in pixels of the window."""

    window: Window
    look: Look
    area: Area

    @property
    def is_large(self) -> bool:
        """Whether the digit is large enough to be drawn as it was seen."""
        return max(self.area[2:]) >= LARGE

    @property
    def place(self) -> Area:
        """Where it is in the picture, in its pixels."""
        return self.window.to_picture(self.area)


@dataclass(frozen=True)
class Picked:
    """A picture after its first look. sights: the digits that are asked for, the most prominent first; others: of each."""

    picture: Picture
    detections: Detections
    sights: tuple[Sight, ...]
    others: tuple[int, ...]

    @property
    def windows(self) -> list[Window]:
        """What is looked at again."""
        return [cut_around(self.picture.pixels, sight.place) for sight in self.sights if not sight.is_large]


@dataclass(frozen=True)
class Steps:
    """The steps to a glyph. A picture that is a glyph already has none between.

    first, second: how the digit was seen, second where it was looked at again; detections: all digits of the first look.
    """

    glyph: Glyph
    first: Sight | None = None
    second: Sight | None = None
    detections: Detections | None = None


def find_digits(finder: Finder, picture: Picture, most: int = 1) -> tuple[Steps, ...]:
    """The digits in a picture, at most so many, the most prominent first. The same picture always gives the same glyphs.

    Raises:
        NoDigitFound: nothing in the picture looks like a digit.
    """
    begun = begin(picture)
    if not isinstance(begun, Begun):
        return begun
    picked = pick(begun, finder.look([begun.window])[0], most)
    windows = picked.windows
    return draw(picked, windows, finder.look(windows))


def begin(picture: Picture) -> Begun | tuple[Steps, ...]:
    """The window of the first look. A picture that is a glyph already is kept.

    Raises:
        NoDigitFound: the picture is blank.
    """
    if is_normalised(picture.pixels):
        return (_keep(picture),)
    window = cut_whole(picture.pixels)
    if _is_flat(window.pixels) and _is_flat(picture.pixels):  # a hairline on a large page does not show in the window
        raise blank(picture.pixels, "The picture is blank: all of it has one colour. Write a digit and send the picture again.")
    return Begun(picture, window)


def _is_flat(pixels: NDArray[np.uint8]) -> bool:
    """Whether all pixels (H, W, 3) have one colour."""
    return cv2.norm(cv2.absdiff(pixels, as_scalar(pixels[0, 0])), cv2.NORM_INF) <= BLANK


def pick(begun: Begun, look: Look, most: int = 1) -> Picked:
    """The most prominent digits of the first look, at most so many: large ones that were surely found.

    Raises:
        NoDigitFound: there is none.
    """
    found = detect(look)
    if not len(found.scores):
        raise NoDigitFound(
            f"Nothing in the picture looks like a digit: the likeliest place has a score of {look.scores.max():.0%}, and a "
            f"digit needs {LEAST:.0%}. A larger or sharper picture of the digit may help."
        )
    order = np.argsort(-found.scores * np.sqrt(found.boxes[:, 2:].max(axis=1)), kind="stable")[:most]
    sights = tuple(Sight(begun.window, look, to_area(found.boxes[index])) for index in order)
    return Picked(begun.picture, found, sights, tuple(_others(found, int(index)) for index in order))


def _others(found: Detections, index: int) -> int:
    """How many of the digits are about as high as one of them."""
    heights = found.boxes[:, 3]
    return int(np.count_nonzero(alike(heights, float(heights[index])))) - 1


def alike(heights: Floats, height: float) -> NDArray[np.bool_]:
    """Which heights (K,) are about as high as a digit, so that what has them may be another one: (K,) bool."""
    return (heights >= SIBLING * height) & (heights <= height / SIBLING)


def draw(picked: Picked, windows: Sequence[Window], looks: Sequence[Look]) -> tuple[Steps, ...]:
    """The picked digits as glyphs, without those whose ink is not visible. windows, looks: of those that were looked at again.

    Raises:
        NoDigitFound: none has visible ink.
    """
    again = iter(zip(windows, looks, strict=True))
    drawn = []
    for first, others in zip(picked.sights, picked.others, strict=True):
        second = None if first.is_large else _see_again(first, *next(again))
        glyph = _draw(picked.picture, second or first, others)
        if glyph:
            drawn.append(Steps(glyph, first, second, picked.detections))
    if not drawn:
        raise NoDigitFound("What looks like a digit in the picture has no visible strokes. A sharper picture of it may help.")
    return tuple(drawn)


def _see_again(first: Sight, window: Window, look: Look) -> Sight:
    return Sight(window, look, refine(look, window.from_picture(first.place)))


def _draw(picture: Picture, sight: Sight, others: int) -> Glyph | None:
    ink = gate(sight.look.ink, sight.area)
    pixels = place(ink)
    return None if pixels is None else describe_glyph(picture, sight, ink, pixels, others)


def describe_glyph(picture: Picture, sight: Sight, ink: Ink, pixels: NDArray[np.uint8], others: int = 0) -> Glyph:
    """A glyph (28, 28) with what is measured of it in the picture. others: digits that it was chosen from."""
    under = look_under(picture.pixels, sight.window, sight.look.ink, sight.place)
    mask = (ink.levels >= VISIBLE).view(np.uint8)
    measured = measure(under.levels, under.contrast, mask, pixels)
    box = to_original(under.area, picture)
    return Glyph(pixels, box, measured, tuple(_doubts(under, measured, box, others)))


def _doubts(under: Under, measured: Measurements, box: Box, others: int) -> Iterator[ReadingWarning]:
    if others:
        yield ReadingWarning(
            "several-digits",
            others + 1,
            "There is more than one digit; the most prominent was read. POST /read reads all of them.",
        )
    if under.touches:
        yield ReadingWarning("touches-border", under.touches, "The ink touches the border: part of the digit may be missing.")
    if measured.contrast < FAINT_CONTRAST:
        yield ReadingWarning("faint", measured.contrast, "The ink barely stands out from its ground; more light may help.")
    if max(box.width, box.height) < TINY:
        detail = "The digit is only a few pixels high; a larger picture of it may help."
        yield ReadingWarning("tiny", max(box.width, box.height), detail)
    if measured.edge_width >= max(BLURRED, COARSE / max(under.levels.shape)):
        yield ReadingWarning(
            "blurred", measured.edge_width, "The edges of the strokes are as wide as strokes; a sharper picture may help."
        )


def _keep(picture: Picture) -> Steps:
    """The steps of a picture that is a glyph already."""
    pixels = picture.pixels[..., 0].copy()
    box = bounds(pixels)
    levels = pixels[box.y : box.y + box.height, box.x : box.x + box.width]
    return Steps(Glyph(pixels, box, measure(levels, float(pixels.max()) / 255, pixels, pixels)))


def to_original(area: Area, picture: Picture) -> Box:
    """In pixels of the picture -> in whole pixels of the upright original, within it."""
    scale = picture.scale
    x, y, width, height = (each * scale for each in area)
    left, top = (max(0, round(middle - side / 2)) for middle, side in ((x, width), (y, height)))
    right, bottom = round(x + width / 2), round(y + height / 2)
    left, top = min(left, picture.width - 1), min(top, picture.height - 1)
    return Box(left, top, max(1, min(right, picture.width) - left), max(1, min(bottom, picture.height) - top))
