"""Reads whole pictures with a finder and a classifier: one digit, or all of them as lines of text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from training.learning.reading import Found, Pixels, Reading, classify

LEVEL = 0.5  # of the lower digit's height: two digits whose centres are no further apart are in one line
SCALES = (96, 144, 216, 320, 480)  # pixels of the longer side that a picture of many digits is looked at with
ENLARGED = 3.0  # times: a picture is not looked at larger than so
WORTH = 0.3  # of a score: a weaker digit counts against its scale
READABLE = (10.0, 70.0)  # pixels of a look: the longer side of digits that are seen well


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

    def take(self, index: NDArray[np.intp]) -> "Digits":
        """Some of them, in that order."""
        found = replace(
            self.found, boxes=self.found.boxes[index], scores=self.found.scores[index], glyphs=self.found.glyphs[index]
        )
        return Digits(found, self.logits[index], self.none[index])


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


def as_text(digits: Digits) -> str:
    """The digits in reading order, lines from top to bottom, each from left to right; line breaks between them."""
    lines: list[list[int]] = []
    boxes = digits.found.boxes
    for index in np.argsort(boxes[:, 1], kind="stable").tolist():
        line = next((line for line in lines if _level(boxes[line], boxes[index])), None)
        if line is None:
            lines.append([index])
        else:
            line.append(index)
    lines.sort(key=lambda line: float(boxes[line, 1].mean()))
    return "\n".join("".join(str(digits.labels[index]) for index in sorted(line, key=lambda i: boxes[i, 0])) for line in lines)


def _level(line: NDArray[np.float32], box: NDArray[np.float32]) -> bool:
    nearest = line[np.abs(line[:, 0] - box[0]).argmin()]
    return bool(abs(nearest[1] - box[1]) < LEVEL * max(nearest[3], box[3]))


def read_rows(reading: Reading, classifier: nn.Module, picture: Pixels) -> Digits:
    """The digits of a picture of many, looked at with the scale of SCALES at which most of them are seen well.

    Then each is looked at in a window of its own. The scale is that of the highest sum of what scores are above WORTH.
    """
    boxes, scores = max(_looks(reading, picture), key=_worth)
    glyphs, seen = reading.look_closer([picture], [torch.from_numpy(boxes)])[0]
    found = _with_ink(Found(seen.numpy(), scores, np.asarray(glyphs.round().byte().numpy(), np.uint8), 1 + len(boxes)))
    logits, none = classify(classifier, found.glyphs)
    return Digits(found, logits.numpy(), none.numpy())


def _looks(reading: Reading, picture: Pixels) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    longer = max(picture.shape[:2])
    for scale in SCALES:
        if scale == SCALES[0] or scale <= ENLARGED * longer:
            boxes, scores = reading.find_at(picture, scale)
            size = boxes[:, 2:].max(axis=1, initial=0) * scale / longer
            seen = (size >= READABLE[0]) & (size <= READABLE[1])
            yield boxes[seen], scores[seen]


def _worth(look: tuple[NDArray[np.float32], NDArray[np.float32]]) -> float:
    return float((look[1] - WORTH).sum())
