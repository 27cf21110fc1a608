"""What the service takes and answers. Written by clients/generate.py; do not edit."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict


class Alternative(TypedDict):
    """What all digits may be instead."""

    text: str
    confidence: float


class BatchResult(TypedDict):
    """One answer or problem for each picture, in the order in which they were sent."""

    results: list[Prediction | Problem]


class Box(TypedDict):
    """The rectangle around the ink, in pixels. x and y: its upper left corner."""

    x: int
    y: int
    width: int
    height: int


class Health(TypedDict):
    """The service can do its work."""

    status: str
    provider: NotRequired[str | None]
    """Where the model really runs: cpu or cuda."""


class Line(TypedDict):
    """A line of digits."""

    text: str
    """Its digits, from left to right."""
    confidence: float
    """The calibrated probability that all of its text is right."""
    accepted: bool
    box: Box
    digits: list[int]
    """The indices of its digits."""


class Mark(TypedDict):
    """A sign among the digits that is not a digit."""

    kind: Literal["point", "comma", "minus", "other"]
    box: Box
    line: int
    """The line that it stands in, from 0."""
    after: int
    """How many digits of its line stand before it."""


class ModelInfo(TypedDict):
    """The model that is being served, and where it runs."""

    name: str
    version: str
    chosen_by: Literal["pointer", "setting", "activation"]
    """Who chose the version: the store's `pointer`, the `setting`, or an `activation` since the start."""
    sha256: str
    """Of the classifier's ONNX file."""
    editions: dict[str, str]
    """The sha256 of each ONNX file that /model/file hands out, by its edition."""
    provider: str
    """Where it really runs: cpu or cuda."""
    accuracy: dict[str, float]
    """The share of right answers that was measured, by data set, 0 to 1."""
    metadata: ModelMetadata


class ModelMetadata(TypedDict):
    """Metadata of the ONNX file: how to feed it and how to read its logits."""

    labels: list[str]
    """The meaning of each logit, in order."""
    mean: float
    """Mean of Normalize, for pixels in 0..1."""
    std: float
    """Standard deviation of Normalize, for pixels in 0..1."""
    temperature: float
    """Logits are divided by it before the softmax."""
    threshold: float
    """Answers below this confidence are not accepted."""
    least_energy: float
    """Answers with a lower energy score are not accepted: unlike the training digits."""
    input_layout: str
    """Order of the input's axes."""
    preprocessing: str
    """Version of glyph and tensor that the model was trained for."""


class ModelName(TypedDict):
    """The model that answered."""

    name: str
    version: str


class Prediction(TypedDict):
    """The digit in a picture."""

    digit: int
    confidence: float
    """The digit's calibrated probability."""
    probabilities: list[float]
    """Probabilities of the digits 0 to 9; they sum to 1."""
    accepted: bool
    """False if the model is unsure, the ink is unlike a digit, or there are several digits."""
    warnings: list[ReadingWarning]
    box: Box
    model: ModelName
    id: NotRequired[str | None]
    """Where the service keeps answers: what to name in a correction of this one."""
    glyph: NotRequired[str | None]
    """With include=glyph: the 28×28 PNG that the model saw, as a data URL."""


class Problem(TypedDict):
    """Why there is no answer: problem details of RFC 9457, with a stable code and the request's id."""

    type: NotRequired[str]
    """The title is the status's; the code tells more."""
    title: str
    status: int
    detail: str
    code: str
    """Stable name, for programs."""
    request_id: str
    """Also in the header X-Request-ID, and in the service's log."""


class ReadDigit(TypedDict):
    """One digit of a reading."""

    digit: int
    confidence: float
    """The digit's calibrated probability."""
    probabilities: list[float]
    """Probabilities of the digits 0 to 9; they sum to 1."""
    accepted: bool
    """False if the model is unsure or the ink is unlike a digit."""
    warnings: list[ReadingWarning]
    box: Box
    line: int
    """The line that it stands in, from 0."""
    glyph: NotRequired[str | None]
    """With include=glyph: the 28×28 PNG that the model saw, as a data URL."""


class Reading(TypedDict):
    """All digits in a picture."""

    text: str
    """The digits in reading order, with line breaks."""
    confidence: float
    """The calibrated probability that all of the text is right."""
    accepted: bool
    """Whether the confidence suffices for the risk that the model states."""
    lines: list[Line]
    """From top to bottom."""
    digits: list[ReadDigit]
    """In reading order: line by line, from left to right."""
    alternatives: list[Alternative]
    """The next likely texts, the likeliest first."""
    marks: list[Mark]
    warnings: list[ReadingWarning]
    """Doubts about the whole."""
    model: ModelName
    id: NotRequired[str | None]
    """Where the service keeps answers: what to name in a correction of this one."""


class ReadingBatchResult(TypedDict):
    """One reading or problem for each picture, in the order in which they were sent."""

    results: list[Reading | Problem]


class ReadingWarning(TypedDict):
    """A doubt about a glyph: a stable code, the measured value, and a sentence for people."""

    code: str
    value: float
    detail: str
