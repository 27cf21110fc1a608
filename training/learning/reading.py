"""Reads pictures of any size with a finder and a classifier, many at a time: the reader module's way, its windows by OpenCV.

The reader module says what is computed. Here the service's own code cuts the windows, to the bit alike and faster, so that the
classifier learns the glyphs that it will be given.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.reading.find.detect import LEAST
from app.reading.find.steps import LARGE
from app.reading.find.window import Window, cut_around, cut_whole, to_area
from training.learning.detections import detect
from training.learning.finder import Look, Looking
from training.learning.reader_module import (
    GLYPH,
    MOST,
    GlyphClassifier,
    cut_glyphs,
    is_normalised,
    normalised,
    refine,
)
from training.learning.windows import in_picture

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

BATCH = 128  # windows a run of the network


@dataclass(frozen=True)
class Found:
    """Digits of a picture, best first: boxes (K, 4), centre in x and y, width and height in its pixels; scores (K,); glyphs.

    glyphs: (K, 28, 28) uint8, black where there was no ink. looks: how many times the finder looked.
    """

    boxes: Floats
    scores: Floats
    glyphs: Pixels
    looks: int


def frames_of(windows: Sequence[Window]) -> Tensor:
    """The frames of windows, as training.learning.windows has them: (K, 4)."""
    frames = [(window.x, window.y, window.across, window.down) for window in windows]
    return torch.tensor(frames, dtype=torch.float32).view(-1, 4)


class Reading:
    """Finds the digits of pictures (H, W, 3) uint8, RGB, and cuts their glyphs."""

    def __init__(self, finder: nn.Module, *, least: float = LEAST, most: int = MOST, large: float = LARGE) -> None:
        """least: score from which on a digit counts; large: pixels of a look from which on there is no second one."""
        self._look = Looking(finder).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._least, self._most, self._large = least, most, large

    @torch.inference_mode()
    def find(self, pictures: Sequence[Pixels], asked: Sequence[Floats] | None = None) -> list[Found]:
        """The digits of each picture; asked: further boxes (K, 4) to cut glyphs from, which come last, with score 0."""
        windows = [cut_whole(picture) for picture in pictures]
        first, frames = self.look(windows), frames_of(windows)
        found = [self._pick(first, number) for number in range(len(pictures))]
        own = [torch.from_numpy(boxes) for boxes in asked] if asked else [torch.zeros(0, 4)] * len(pictures)
        places = [
            torch.cat((in_picture(boxes, frame), more))
            for (boxes, _), more, frame in zip(found, own, frames.split(1), strict=True)
        ]
        again = [self._small(boxes, more) for (boxes, _), more in zip(found, own, strict=True)]
        closer = self._look_closer(pictures, [place[small] for place, small in zip(places, again, strict=True)])
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

    def look(self, windows: Sequence[Window]) -> Look:
        """What the finder sees in windows that are all of one size."""
        parts = [self._run(windows[start : start + BATCH]) for start in range(0, len(windows), BATCH)]
        return Look(*(torch.cat(maps) for maps in zip(*parts, strict=True)))

    def _run(self, windows: Sequence[Window]) -> Look:
        pixels = torch.from_numpy(np.stack([window.pixels for window in windows])).permute(0, 3, 1, 2)
        look: Look = self._look(pixels)
        return look

    def _pick(self, look: Look, number: int) -> tuple[Tensor, Tensor]:
        detections = detect(Look(*(maps[number : number + 1] for maps in look)), self._most, self._least)
        there = detections.scores[0] > 0
        return detections.boxes[0][there], detections.scores[0][there]

    def _small(self, boxes: Tensor, asked: Tensor) -> Tensor:
        return torch.cat((boxes[:, 2:].amax(dim=1) < self._large, torch.ones(len(asked), dtype=torch.bool)))

    def _look_closer(self, pictures: Sequence[Pixels], places: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Glyphs (K, 28, 28) and boxes (K, 4) of a second look at the boxes (K, 4) of each picture."""
        counts = [len(place) for place in places]
        if not sum(counts):
            return [(torch.zeros(0, GLYPH, GLYPH), torch.zeros(0, 4))] * len(pictures)
        areas = torch.cat(list(places))
        owners = [picture for picture, count in zip(pictures, counts, strict=True) for _ in range(count)]
        windows = [cut_around(picture, to_area(area)) for picture, area in zip(owners, areas.numpy(), strict=True)]
        look, frames = self.look(windows), frames_of(windows)
        boxes = refine(look, areas, frames)
        glyphs, seen = cut_glyphs(look.ink, boxes), in_picture(boxes, frames)
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
    logits, none = GlyphClassifier(classifier.eval())(torch.from_numpy(glyphs).float())
    return logits, none


@dataclass(frozen=True)
class Digits:
    """All digits of a picture, best first: where, logits (K, 10), and the logit of no digit (K,)."""

    found: Found
    logits: NDArray[np.float32]
    none: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.found.scores)

    @property
    def labels(self) -> NDArray[np.int64]:
        """(K,)."""
        return np.asarray(self.logits.argmax(axis=1), np.int64)

    @property
    def most_prominent(self) -> int:
        """Index of the digit that a picture of one digit is of: a large one that was surely found."""
        size = self.found.boxes[:, 2:].max(axis=1)
        return int((self.found.scores * np.sqrt(size)).argmax())


def read_digits(reading: Reading, classifier: nn.Module, pictures: Sequence[Pixels]) -> list[Digits]:
    """The digits of each picture (H, W, 3) that have ink."""
    found = [_with_ink(each) for each in reading.find(pictures)]
    glyphs = np.concatenate([each.glyphs for each in found])
    logits, none = classify(classifier, glyphs)
    ends = np.cumsum([len(each.scores) for each in found])[:-1]
    parts = zip(np.split(logits.numpy(), ends), np.split(none.numpy(), ends), strict=True)
    return [Digits(each, *part) for each, part in zip(found, parts, strict=True)]


def _with_ink(found: Found) -> Found:
    inked = found.glyphs.max(axis=(1, 2), initial=0) > 0
    return replace(found, boxes=found.boxes[inked], scores=found.scores[inked], glyphs=found.glyphs[inked])
