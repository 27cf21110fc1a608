"""Entries for tests."""

import numpy as np

from app.corrections.entry import Answered, Correction, Entry, Status
from app.reading.answer import Box
from app.reading.decode.picture import Picture

BOX = Box(1, 2, 3, 4)


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


def answered(seed: int = 1, picture: Picture | None = None, **other: object) -> Answered:
    """An answer of one digit, 7."""
    fields: dict[str, object] = {
        "text": "7",
        "single": True,
        "confidence": 0.9,
        "accepted": True,
        "doubtful": False,
        "model": "digits/3",
        "boxes": (BOX,),
        "glyphs": (glyph(seed),),
        "picture": picture,
    }
    return Answered(**(fields | other))  # type: ignore[arg-type]
