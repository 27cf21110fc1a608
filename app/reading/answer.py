"""The answer of a reading: the prediction, the position of the digit, and any doubts."""

import base64
from dataclasses import dataclass
from io import BytesIO
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field


@dataclass(frozen=True)
class ReadingWarning:
    """A doubt about a glyph: a stable code, the measured value, and a sentence for people."""

    code: str
    value: float
    detail: str


@dataclass(frozen=True)
class Box:
    """The rectangle around the ink, in pixels. x and y: its upper left corner."""

    x: int
    y: int
    width: int
    height: int


class ModelName(BaseModel):
    """The model that answered."""

    name: str
    version: str


KeptId = Annotated[
    str | None,
    Field(
        exclude_if=lambda identity: identity is None,
        description="Where the service keeps answers: what to name in a correction of this one.",
    ),
]

_PREDICTION: dict[str, Any] = {
    "digit": 7,
    "confidence": 0.9971,
    "probabilities": [0.0, 0.0004, 0.0003, 0.0001, 0.0, 0.0, 0.0, 0.9971, 0.0, 0.0021],
    "accepted": True,
    "warnings": [],
    "box": {"x": 120, "y": 84, "width": 310, "height": 402},
    "model": {"name": "digits", "version": "3"},
    "glyph": None,
}


class Prediction(BaseModel):
    """The digit in a picture."""

    model_config = ConfigDict(json_schema_extra={"examples": [_PREDICTION]})

    digit: int = Field(ge=0, le=9)
    confidence: float = Field(ge=0, le=1, description="The digit's calibrated probability.")
    probabilities: list[float] = Field(
        min_length=10, max_length=10, description="Probabilities of the digits 0 to 9; they sum to 1."
    )
    accepted: bool = Field(description="False if the model is unsure, the ink is unlike a digit, or there are several digits.")
    warnings: list[ReadingWarning]
    box: Box
    model: ModelName
    id: KeptId = None
    glyph: str | None = Field(None, description="With include=glyph: the 28×28 PNG that the model saw, as a data URL.")


_DIGIT: dict[str, Any] = {key: value for key, value in _PREDICTION.items() if key != "model"}
_READING: dict[str, Any] = {
    "text": "47",
    "confidence": 0.95,
    "accepted": True,
    "lines": [
        {
            "text": "47",
            "confidence": 0.95,
            "accepted": True,
            "box": {"x": 20, "y": 80, "width": 410, "height": 406},
            "digits": [0, 1],
        }
    ],
    "digits": [
        {
            **_DIGIT,
            "digit": 4,
            "probabilities": [0.0, 0.0004, 0.0003, 0.0001, 0.9971, 0.0, 0.0, 0.0, 0.0, 0.0021],
            "box": {"x": 20, "y": 80, "width": 90, "height": 400},
            "line": 0,
        },
        {**_DIGIT, "line": 0},
    ],
    "alternatives": [{"text": "41", "confidence": 0.02}],
    "marks": [{"kind": "point", "box": {"x": 112, "y": 470, "width": 9, "height": 9}, "line": 0, "after": 1}],
    "warnings": [],
    "model": {"name": "digits", "version": "3"},
}


class ReadDigit(BaseModel):
    """One digit of a reading."""

    digit: int = Field(ge=0, le=9)
    confidence: float = Field(ge=0, le=1, description="The digit's calibrated probability.")
    probabilities: list[float] = Field(
        min_length=10, max_length=10, description="Probabilities of the digits 0 to 9; they sum to 1."
    )
    accepted: bool = Field(description="False if the model is unsure or the ink is unlike a digit.")
    warnings: list[ReadingWarning]
    box: Box
    line: int = Field(ge=0, description="The line that it stands in, from 0.")
    glyph: str | None = Field(None, description="With include=glyph: the 28×28 PNG that the model saw, as a data URL.")


class Line(BaseModel):
    """A line of digits."""

    text: str = Field(description="Its digits, from left to right.")
    confidence: float = Field(ge=0, le=1, description="The calibrated probability that all of its text is right.")
    accepted: bool
    box: Box
    digits: list[int] = Field(description="The indices of its digits.")


class Alternative(BaseModel):
    """What all digits may be instead."""

    text: str
    confidence: float = Field(ge=0, le=1)


class Mark(BaseModel):
    """A sign among the digits that is not a digit."""

    kind: Literal["point", "comma", "minus", "other"]
    box: Box
    line: int = Field(ge=0, description="The line that it stands in, from 0.")
    after: int = Field(ge=0, description="How many digits of its line stand before it.")


class Reading(BaseModel):
    """All digits in a picture."""

    model_config = ConfigDict(json_schema_extra={"examples": [_READING]})

    text: str = Field(description="The digits in reading order, with line breaks.")
    confidence: float = Field(ge=0, le=1, description="The calibrated probability that all of the text is right.")
    accepted: bool = Field(description="Whether the confidence suffices for the risk that the model states.")
    lines: list[Line] = Field(description="From top to bottom.")
    digits: list[ReadDigit] = Field(description="In reading order: line by line, from left to right.")
    alternatives: list[Alternative] = Field(max_length=5, description="The next likely texts, the likeliest first.")
    marks: list[Mark]
    warnings: list[ReadingWarning] = Field(description="Doubts about the whole.")
    model: ModelName
    id: KeptId = None


def to_data_url(glyph: NDArray[np.uint8]) -> str:
    """A (28, 28) glyph as the data URL of a PNG."""
    file = BytesIO()
    Image.fromarray(glyph).save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
