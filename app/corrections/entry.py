"""What is kept of an answer, and what a person said it should have been."""

import re
import time
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.corrections.pictures import Encoded
from app.reading.answer import Box, Prediction, Reading
from app.reading.find.steps import Glyph

Status = Literal["new", "accepted", "refused"]
Reason = Literal["confirmed", "wrong-digit", "wrong-lines", "no-digit"]
STATUSES: tuple[Status, ...] = ("new", "accepted", "refused")

Glyphs: TypeAlias = NDArray[np.uint8]  # (N, 28, 28)

ID = r"[0-9a-f]{32}"
TEXT = r"[0-9]*(\n[0-9]+)*"  # lines of digits; empty where there is no digit
MOST_TEXT = 2_000  # characters: as many as a page of digits has
NO_DIGIT_TEXT = ""  # the text of a picture that shows no digit


def epoch_seconds() -> float:
    """Seconds since 1970: when something was kept or sent, which is told to people. Deadlines go by a monotonic clock."""
    return time.time()


class Answered(NamedTuple):
    """An answer of one or many digits, with what it was read from.

    glyphs: of each digit; picture: or None where only the glyphs are kept.
    """

    answer: Prediction | Reading
    glyphs: tuple[Glyph, ...]
    picture: Encoded | None = None


class Entry(NamedTuple):
    """An answer as it is kept.

    created: seconds since 1970; client: the name of a key, or a digest of that day; picture: a file encoded anew, or None.
    """

    id: str
    created: float
    client: str
    model: str
    text: str
    single: bool
    confidence: float
    accepted: bool
    boxes: tuple[Box, ...]
    glyphs: Glyphs
    picture: bytes | None = None

    @property
    def size(self) -> int:
        """Bytes of what it was read from."""
        return int(self.glyphs.nbytes) + len(self.picture or b"")


def is_doubtful(answer: Prediction | Reading) -> bool:
    """Whether an answer has a warning or was not accepted."""
    return not answer.accepted or bool(answer.warnings)


@dataclass(frozen=True, slots=True)
class Correction:
    """What an answer should have been.

    truth: digits and line breaks, NO_DIGIT_TEXT for no digit; client: who said so last; sent: when, seconds since 1970;
    disputed: whether different clients said different things.
    """

    id: str
    truth: str
    client: str
    sent: float
    status: Status = "new"
    disputed: bool = False


@dataclass(frozen=True, slots=True)
class Corrected:
    """An entry with its correction."""

    entry: Entry
    correction: Correction

    @property
    def reason(self) -> Reason:
        """In what the answer was wrong, if in anything."""
        return reason_of(self.entry.text, self.correction.truth)


def reason_of(text: str, truth: str) -> Reason:
    """In what an answer was wrong, if in anything."""
    if text == truth:
        return "confirmed"
    if text.replace("\n", "") == truth.replace("\n", ""):
        return "wrong-lines"
    return "wrong-digit" if truth else "no-digit"


def is_text(text: str) -> bool:
    """Whether a string can be what a picture shows."""
    return len(text) <= MOST_TEXT and re.fullmatch(TEXT, text) is not None


def to_pairs(corrected: Corrected) -> list[tuple[NDArray[np.uint8], int | None]]:
    """The glyphs of an entry with the digits that they show, None for what is not a digit.

    Empty where the truth has more or fewer digits than the answer: nobody knows then which glyph is which.
    """
    glyphs, truth = corrected.entry.glyphs, corrected.correction.truth.replace("\n", "")
    if not truth:
        return [(glyph, None) for glyph in glyphs]
    if len(truth) != len(glyphs):
        return []
    return [(glyph, int(digit)) for glyph, digit in zip(glyphs, truth, strict=True)]
