"""Reads pictures of any size with a finder and a classifier, many at a time: the reader module's way, its windows by OpenCV.

The reader module says what is computed; here the windows are cut by other means, since they are most of its cost. Both are
held against each other by a test.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.reading.find.detect import LEAST
from app.reading.find.steps import LARGE
from app.reading.find.window import FILL, LEAST_SIDE
from training.learning.detections import detect
from training.learning.finder import SIDE, STEP, Look, Looking
from training.learning.reader_module import (
    GLYPH,
    MOST,
    Classifying,
    cut_glyphs,
    is_normalised,
    normalised,
    refine,
)
from training.learning.windows import in_picture

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

BATCH = 128  # windows a run of the network
MARGIN = 2  # pixels around what a window covers, so that its edge is not the picture's


@dataclass(frozen=True)
class Found:
    """Digits of a picture, best first: boxes (K, 4), centre in x and y, width and height in its pixels; scores (K,); glyphs.

    glyphs: (K, 28, 28) uint8, black where there was no ink. looks: how many times the finder looked.
    """

    boxes: Floats
    scores: Floats
    glyphs: Pixels
    looks: int


def cut_window(picture: Pixels, x: float, y: float, length: float, side: int = SIDE) -> Pixels:
    """The square (side, side, 3) of a picture (H, W, 3) around a place in its pixels; outside of it its border goes on."""
    height, width = picture.shape[:2]
    left, right = (int(min(max(edge, 0), width)) for edge in (x - length / 2 - MARGIN, x + length / 2 + MARGIN + 1))
    top, bottom = (int(min(max(edge, 0), height)) for edge in (y - length / 2 - MARGIN, y + length / 2 + MARGIN + 1))
    left, top = min(left, width - 1), min(top, height - 1)
    part = picture[top : max(bottom, top + 1), left : max(right, left + 1)]
    step = length / side
    if step > 1:
        size = max(1, round(part.shape[1] / step)), max(1, round(part.shape[0] / step))
        reduced = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    else:
        reduced = part
    across, down = reduced.shape[1] / part.shape[1], reduced.shape[0] / part.shape[0]
    start_x, start_y = x - length / 2 + step / 2 - left, y - length / 2 + step / 2 - top
    inverse = np.array([[step * across, 0, start_x * across - 0.5], [0, step * down, start_y * down - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(reduced, inverse, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def square_around(picture: Pixels) -> Floats:
    """The square (3,) of a picture (H, W, 3): centre in x and y, and its side."""
    height, width = picture.shape[:2]
    return np.array([width / 2, height / 2, max(width, height)], np.float32)


def squares_around(boxes: Tensor) -> Tensor:
    """Squares (K, 3), centre in x and y and side, in whose middle boxes (K, 4) lie and of which they fill FILL."""
    side = (boxes[:, 2:].amax(dim=1, keepdim=True) / FILL).clamp(min=LEAST_SIDE)
    return torch.cat((boxes[:, :2], side), dim=1)


def frames_of(squares: Tensor) -> Tensor:
    """The frames (K, 4) of windows of squares (K, 3), centre in x and y and side."""
    side = squares[:, 2:]
    return torch.cat((squares[:, :2] - side / 2, (side / SIDE).expand(-1, 2)), dim=1)


class Reading:
    """Finds the digits of pictures (H, W, 3) uint8, RGB, and cuts their glyphs."""

    def __init__(self, finder: nn.Module, *, least: float = LEAST, most: int = MOST, large: float = LARGE) -> None:
        """least: score from which on a digit counts; large: pixels of a look from which on there is no second one."""
        self._look = Looking(finder).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._least, self._most, self._large = least, most, large

    @torch.inference_mode()
    def find(self, pictures: Sequence[Pixels], asked: Sequence[Floats] | None = None) -> list[Found]:
        """The digits of each picture; asked: further boxes (K, 4) to cut glyphs from, which come last, with score 0."""
        squares = [square_around(picture) for picture in pictures]
        first = self.look([cut_window(picture, *square) for picture, square in zip(pictures, squares, strict=True)])
        found = [self._pick(first, number) for number in range(len(pictures))]
        own = [torch.from_numpy(boxes) for boxes in asked] if asked else [torch.zeros(0, 4)] * len(pictures)
        places = [
            torch.cat((in_picture(boxes, frames_of(torch.from_numpy(square[None]))), more))
            for (boxes, _), more, square in zip(found, own, squares, strict=True)
        ]
        again = [self._small(boxes, more) for (boxes, _), more in zip(found, own, strict=True)]
        closer = self.look_closer(pictures, [place[small] for place, small in zip(places, again, strict=True)])
        results = []
        for number, (picture, (boxes, scores), place, small) in enumerate(zip(pictures, found, places, again, strict=True)):
            glyphs = torch.zeros(len(place), GLYPH, GLYPH)
            large = ~small
            glyphs[large] = cut_glyphs(first.ink[number].expand(int(large.sum()), -1, -1), boxes[large[: len(boxes)]])
            glyphs[small], place[small] = closer[number]
            if picture.shape[:2] == (GLYPH, GLYPH):
                glyphs = _kept(picture, glyphs)
            all_scores = torch.cat((scores, torch.zeros(len(place) - len(scores))))
            results.append(Found(place.numpy(), all_scores.numpy(), _to_uint8(glyphs), 1 + int(small.sum())))
        return results

    def look(self, windows: Sequence[Pixels]) -> Look:
        """What the finder sees in windows (S, S, 3), all of one size."""
        parts = [self._run(windows[start : start + BATCH]) for start in range(0, len(windows), BATCH)]
        return Look(*(torch.cat(maps) for maps in zip(*parts, strict=True)))

    @torch.inference_mode()
    def find_at(self, picture: Pixels, longer: int) -> tuple[Floats, Floats]:
        """Boxes (K, 4), in pixels of the picture, and scores (K,) of its digits, its longer side made so many pixels."""
        height, width = picture.shape[:2]
        scale = longer / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        reduced = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        right, below = (-side % STEP + STEP for side in size)
        sheet = cv2.copyMakeBorder(reduced, STEP, below, STEP, right, cv2.BORDER_REPLICATE)
        boxes, scores = self._pick(self.look([np.asarray(sheet, np.uint8)]), 0)
        boxes[:, :2] -= STEP
        return (boxes * torch.tensor([width / size[0], height / size[1]] * 2)).numpy(), scores.numpy()

    def _run(self, windows: Sequence[Pixels]) -> Look:
        pixels = torch.from_numpy(np.stack(windows)).permute(0, 3, 1, 2)
        look: Look = self._look(pixels)
        return look

    def _pick(self, look: Look, number: int) -> tuple[Tensor, Tensor]:
        detections = detect(Look(*(maps[number : number + 1] for maps in look)), self._most, self._least)
        there = detections.scores[0] > 0
        return detections.boxes[0][there], detections.scores[0][there]

    def _small(self, boxes: Tensor, asked: Tensor) -> Tensor:
        return torch.cat((boxes[:, 2:].amax(dim=1) < self._large, torch.ones(len(asked), dtype=torch.bool)))

    @torch.inference_mode()
    def look_closer(self, pictures: Sequence[Pixels], places: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Glyphs (K, 28, 28) and boxes (K, 4) of a second look at the boxes (K, 4) of each picture."""
        counts = [len(place) for place in places]
        if not sum(counts):
            return [(torch.zeros(0, GLYPH, GLYPH), torch.zeros(0, 4))] * len(pictures)
        squares = squares_around(torch.cat(list(places)))
        owners = [picture for picture, count in zip(pictures, counts, strict=True) for _ in range(count)]
        look = self.look([cut_window(picture, *square) for picture, square in zip(owners, squares.tolist(), strict=True)])
        boxes = refine(look, torch.cat(list(places)), frames_of(squares))
        glyphs, seen = cut_glyphs(look.ink, boxes), in_picture(boxes, frames_of(squares))
        return list(zip(glyphs.split(counts), seen.split(counts), strict=True))


def _kept(picture: Pixels, glyphs: Tensor) -> Tensor:
    """The picture itself in the place of each glyph, where it already is one."""
    pixels = torch.tensor(picture).permute(2, 0, 1).unsqueeze(0).float()  # a copy: the picture may be read-only
    return normalised(pixels).expand_as(glyphs) if is_normalised(pixels) else glyphs


def _to_uint8(glyphs: Tensor) -> Pixels:
    return np.asarray(glyphs.round().byte().numpy(), np.uint8)


@torch.inference_mode()
def classify(classifier: nn.Module, glyphs: Pixels) -> tuple[Tensor, Tensor]:
    """The digits' logits (K, 10) of glyphs (K, 28, 28), and that of no digit (K,)."""
    logits, none = Classifying(classifier.eval())(torch.from_numpy(glyphs).float())
    return logits, none
