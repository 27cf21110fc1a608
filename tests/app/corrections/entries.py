"""Entries for tests."""

import numpy as np

from app.corrections.entry import Answered, Correction, Entry, Status
from app.corrections.pictures import Encoded
from app.reading.answer import Box, ModelName, Prediction, ReadDigit, Reading
from app.reading.find.measure import Measurements
from app.reading.find.steps import Glyph

BOX = Box(1, 2, 3, 4)
MEASURED = Measurements(contrast=0.8, stroke_width=0.1, edge_width=0.02, strokes=1, slant=0.0)


def glyph(seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A (28, 28) array of its own for each seed."""
    return np.random.default_rng(seed).integers(0, 256, (28, 28), dtype=np.uint8)


def entry(number: int = 1, **other: object) -> Entry:
    """An entry of one digit, 7, by the client with the key "phone"."""
    fields: dict[str, object] = {
        "id": f"{number:032x}",
        "created": 1_000_000.0 + number,
        "client": "key phone",
        "model": "digits/3",
        "text": "7",
        "single": True,
        "confidence": 0.9,
        "accepted": True,
        "boxes": (BOX,),
        "glyphs": glyph(number)[np.newaxis],
    }
    return Entry(**(fields | other))  # type: ignore[arg-type]


def said(kept: Entry, truth: str, status: Status = "accepted", **other: object) -> Correction:
    """A correction of an entry by the client that got the answer."""
    fields: dict[str, object] = {"client": kept.client, "sent": kept.created + 60, "status": status}
    return Correction(kept.id, truth, **(fields | other))  # type: ignore[arg-type]


def answered(seed: int = 1, picture: Encoded | None = None, **other: object) -> Answered:
    """An answer of one digit, 7. other: fields of the prediction."""
    fields: dict[str, object] = {
        "digit": 7,
        "confidence": 0.9,
        "probabilities": [0.01] * 7 + [0.93] + [0.01] * 2,
        "accepted": True,
        "warnings": [],
        "box": BOX,
        "model": ModelName(name="digits", version="3"),
    }
    prediction = Prediction(**(fields | other))
    return Answered(prediction, (Glyph(glyph(seed), BOX, MEASURED),), picture)


def answered_many(glyphs: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Answered:
    """An answer of many digits, 7 each. glyphs: of all places that were looked at (N, 28, 28); every second is a digit."""
    found = glyphs[::2]
    digits = [
        ReadDigit(digit=7, confidence=0.9, probabilities=chances, accepted=True, warnings=[], box=Box(x, 2, 3, 4), line=0)
        for x, chances in enumerate(np.full((len(found), 10), 0.1).tolist())
    ]
    reading = Reading(
        text="7" * len(found),
        confidence=0.9,
        accepted=True,
        lines=[],
        digits=digits,
        alternatives=[],
        marks=[],
        warnings=[],
        model=ModelName(name="digits", version="3"),
    )
    return Answered(reading, tuple(Glyph(each, digit.box, MEASURED) for each, digit in zip(found, digits, strict=True)))
