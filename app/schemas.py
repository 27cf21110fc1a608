"""The public JSON: what goes in and what comes out, with examples."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from app.glyph import Finding
from app.store import Edition, ModelMetadata
from app.strokes import Box


class ModelName(BaseModel):
    """Which model answered."""

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
    probabilities: list[float] = Field(min_length=10, max_length=10, description="Of the digits 0 to 9; their sum is 1.")
    accepted: bool = Field(description="False where the model is not sure, the ink is unlike a digit, or there are several.")
    warnings: list[Finding]
    box: Box
    model: ModelName
    glyph: str | None = Field(None, description="With include=glyph: the 28×28 PNG that the model saw, as a data URL.")


_PROBLEM: dict[str, Any] = {
    "type": "about:blank",
    "title": "Unprocessable Entity",
    "status": 422,
    "detail": "Nothing stands out: the contrast is 1.2% of full scale, a digit needs 4% here.",
    "code": "no-digit-found",
    "request_id": "6f1c1f2e9d5c4a6bb1f0c1d2e3f4a5b6",
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


class CanvasRequest(BaseModel):
    """A drawing, as canvas.toDataURL() gives it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"image": "data:image/png;base64,iVBORw0KGgo…"}]})

    image: Annotated[str, Field(min_length=1, description="The picture's bytes in base64, bare or as a data URL.")]


class ModelInfo(BaseModel):
    """The model that is being served, and where it runs."""

    name: str
    version: str
    sha256: str = Field(description="Of the ONNX file that is served.")
    editions: dict[Edition, str] = Field(description="The sha256 of each ONNX file that /model/file hands out, by its edition.")
    provider: str = Field(description="Where it really runs: cpu or cuda.")
    accuracy: dict[str, float] = Field(description="The share of right answers that was measured, by data set, 0 to 1.")
    metadata: ModelMetadata


class Version(BaseModel):
    """A version of the model in the store, and what it measured when it was published."""

    version: str
    active: bool = Field(description="It gives the answers.")
    shadow: bool = Field(description="It answers too, unseen, to be compared.")
    created: str | None = Field(None, description="UTC, ISO 8601.")
    architecture: str | None = None
    parameters: int | None = None
    sha256: str | None = Field(None, description="Of the ONNX file, as published.")
    accuracy: dict[str, float] = Field(default_factory=dict, description="As in ModelInfo.")
    problem: str | None = Field(None, description="Why its record cannot be read, where it cannot.")


class ShadowInfo(BaseModel):
    """How often the version that answers unseen agrees with the active one, over all workers, since it began."""

    version: str
    compared: int = Field(description="Glyphs that both have read.")
    agreed: int = Field(description="Of these, those in which both read the same digit.")
    dropped: int = Field(description="Glyphs passed over, since the shadow could not keep up.")
    failed: int = Field(description="Glyphs at which the shadow failed.")


class Models(BaseModel):
    """The versions in the store, and which of them answer: the same whichever worker is asked."""

    name: str
    active: str = Field(description="The version that answers.")
    previous: str | None = Field(description="The version that a rollback goes back to.")
    shadow: ShadowInfo | None
    versions: list[Version] = Field(description="Oldest first.")


class Health(BaseModel):
    """The service can do its work."""

    status: str = Field(examples=["ready"])
    provider: str | None = Field(None, description="Where the model really runs: cpu or cuda.")
