"""The answer of a reading: the prediction, the position of the digit, and any doubts."""

import base64
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field


@dataclass(frozen=True)
class Finding:
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


_PREDICTION: dict[str, Any] = {
    "digit": 7,
    "confidence": 0.9971,
    "probabilities": [0.0, 0.0004, 0.0003, 0.0001, 0.0, 0.0, 0.0, 0.9971, 0.0, 0.0021],
    "accepted": True,
    "warnings": [],
    "box": {"x": 120, "y": 84, "width": 310, "height": 402},
    "model": {"name": "digits", "version": "1"},
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
    warnings: list[Finding]
    box: Box
    model: ModelName
    id: str | None = Field(
        None,
        exclude_if=lambda identity: identity is None,
        description="Where the service keeps answers: what to name in a correction of this one.",
    )
    glyph: str | None = Field(None, description="With include=glyph: the 28×28 PNG that the model saw, as a data URL.")


def to_data_url(glyph: NDArray[np.uint8]) -> str:
    """A (28, 28) glyph as the data URL of a PNG."""
    file = BytesIO()
    Image.fromarray(glyph).save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
