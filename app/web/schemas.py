"""The public JSON: what goes in and what comes out, with examples."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from app.reading.answer import _PREDICTION, _READING, Prediction, Reading
from app.reading.infer.record import Edition, ModelMetadata
from app.runtime.catalogue import ChosenBy

PROBLEM_ID = "6f1c1f2e9d5c4a6bb1f0c1d2e3f4a5b6"  # of the examples' requests
_PROBLEM: dict[str, Any] = {
    "type": "about:blank",
    "title": "Unprocessable Entity",
    "status": 422,
    "detail": "The picture is blank: all of it has one colour. Write a digit and send the picture again.",
    "code": "no-digit-found",
    "request_id": PROBLEM_ID,
}


class Problem(BaseModel):
    """Why there is no answer: problem details of RFC 9457, with a stable code and the request's id."""

    model_config = ConfigDict(json_schema_extra={"examples": [_PROBLEM]})

    type: str = Field("about:blank", description="The title is the status's; the code tells more.")
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable name, for programs.")
    request_id: str = Field(description="Also in the header X-Request-ID, and in the service's log.")


class BatchResult(BaseModel):
    """One answer or problem for each picture, in the order in which they were sent."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"results": [_PREDICTION, _PROBLEM]}]})

    results: list[Prediction | Problem]


class ReadingBatchResult(BaseModel):
    """One reading or problem for each picture, in the order in which they were sent."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"results": [_READING, _PROBLEM]}]})

    results: list[Reading | Problem]


class CanvasRequest(BaseModel):
    """A drawing, as canvas.toDataURL() gives it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"image": "data:image/png;base64,iVBORw0KGgo…"}]})

    image: Annotated[str, Field(min_length=1, description="The picture's bytes in base64, bare or as a data URL.")]


Coordinate = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
Stroke = Annotated[list[tuple[Coordinate, Coordinate]], Field(fail_fast=True)]

_STROKES: dict[str, Any] = {"strokes": [[[10, 12], [52, 10], [48, 40], [30, 90]], [[18, 50], [55, 48]]], "width": 8}


class StrokesRequest(BaseModel):
    """Ink as the app has it: strokes of points, in any unit."""

    model_config = ConfigDict(strict=True, json_schema_extra={"examples": [_STROKES]})

    strokes: Annotated[list[Stroke], Field(min_length=1, fail_fast=True)] = Field(
        description="Each from where the pen goes down to where it goes up: points [x, y], x to the right, y downwards. "
        "At most 200 strokes and 5,000 points."
    )
    width: Annotated[float | None, Field(gt=0, le=1e9, allow_inf_nan=False)] = Field(
        None, description="Width of the pen, in the unit of the points; by default a ninth of a large stroke's size."
    )


class ModelInfo(BaseModel):
    """The model that is being served, and where it runs."""

    name: str
    version: str
    chosen_by: ChosenBy = Field(
        description="Who chose the version: the store's `pointer`, the `setting`, or an `activation` since the start."
    )
    sha256: str = Field(description="Of the classifier's ONNX file.")
    editions: dict[Edition, str] = Field(description="The sha256 of each ONNX file that /model/file hands out, by its edition.")
    provider: str = Field(description="Where it really runs: cpu or cuda.")
    accuracy: dict[str, float] = Field(description="The share of right answers that was measured, by data set, 0 to 1.")
    metadata: ModelMetadata


class Health(BaseModel):
    """The service can do its work."""

    status: str = Field(examples=["ready"])
    provider: str | None = Field(None, description="Where the model really runs: cpu or cuda.")
