"""What a version of the model says of itself: the record next to its files, and the metadata in its graphs."""

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Edition = Literal["float32", "uint8", "finder", "reader"]
INPUT, LOGITS, NO_DIGIT = "input", "logits", "no_digit"  # of model.onnx: float32 (N, 1, 28, 28), (N, 10), (N, 1)
GLYPH, PROBABILITIES, ENERGY = (
    "glyph",
    "probabilities",
    "energy",
)  # of model.uint8.onnx: uint8 (N, 28, 28), float32 (N, 10), (N,)
EDITIONS: dict[Edition, str] = {
    "float32": "model.onnx",
    "uint8": "model.uint8.onnx",
    "finder": "model.onnx",
    "reader": "model.onnx",
}  # the file of each edition; the first two are named after the classifier's input
FOLDERS: dict[Edition, str] = {
    "float32": "{}",
    "uint8": "{}_uint8",
    "finder": "{}_finder",
    "reader": "{}_reader",
}  # the folder of each edition, by the name of the model
MEASURES = ("stroke_width", "slant", "contrast")  # fields of app.reading.find.measure.Measurements that a reference holds


class ModelMetadata(BaseModel):
    """Metadata of the ONNX file: how to feed it and how to read its logits."""

    model_config = ConfigDict(frozen=True)

    labels: list[str] = Field(description="The meaning of each logit, in order.")
    mean: float = Field(description="Mean of Normalize, for pixels in 0..1.")
    std: float = Field(gt=0, description="Standard deviation of Normalize, for pixels in 0..1.")
    temperature: float = Field(gt=0, description="Logits are divided by it before the softmax.")
    threshold: float = Field(ge=0, le=1, description="Answers below this confidence are not accepted.")
    least_energy: float = Field(description="Answers with a lower energy score are not accepted: unlike the training digits.")
    input_layout: str = Field(description="Order of the input's axes.")
    preprocessing: str = Field(description="Version of glyph and tensor that the model was trained for.")

    def to_properties(self) -> dict[str, str]:
        """The metadata as ONNX properties: every value is a string, lists are JSON."""
        return {key: value if isinstance(value, str) else json.dumps(value) for key, value in self.model_dump().items()}

    @classmethod
    def from_properties(cls, properties: dict[str, str]) -> "ModelMetadata":
        """Reads ONNX metadata.

        Raises:
            pydantic.ValidationError: a key is missing or its value is out of range.
        """
        known = {key: value for key, value in properties.items() if key in cls.model_fields}
        if "labels" in known:
            return cls.model_validate({**known, "labels": json.loads(known["labels"])})
        return cls.model_validate(known)


class FinderRecord(BaseModel):
    """The finder of a version, and how it was made."""

    architecture: str
    parameters: int
    commit: str = Field(description="The git commit that it was exported from.")
    config: dict[str, Any] = Field(description="The configuration of the training run.")
    metrics: dict[str, Any] = Field(description="Measured figures, by split and kind of scene.")


class StringWeights(BaseModel):
    """How strings of digits are weighed; fitted on made scenes by validation's hands, by training.publishing.strings."""

    model_config = ConfigDict(frozen=True)

    features: tuple[float, ...] = Field(
        (1.25, 0.45, 0.83, -1.22, -1.62, 0.42, -1.07, 0.63, 0.0, -1.11),
        min_length=10,
        max_length=10,
        description="Of FEATURES of app.reading.numbers.evidence, and a constant: the log odds that there is a digit.",
    )
    classifier: float = Field(0.7, description="Of the logarithm of the classifier's probability of a label.")
    finder: float = Field(0.7, description="Of the logarithm of the finder's score of a label.")
    string: tuple[float, float, float] = Field(
        (1.06, 0.07, -0.4),
        description="Of a string's own log odds, the logarithm of its length, and a constant: the log odds that it is right.",
    )
    accepted: float = Field(0.97, ge=0, le=1, description="Strings of this confidence or more are accepted.")


class ModelRecord(BaseModel):
    """model.json: what the version is, how it was made, its measured figures, and the sha256 of its files in all folders."""

    name: str
    version: str
    reader: int = Field(1, description="The reader that the version needs; records of the first name none.")
    created: str = Field(description="UTC, ISO 8601.")
    architecture: str
    parameters: int
    seed: int
    commit: str = Field(description="The git commit that the model was published from.")
    config: dict[str, Any] = Field(description="The configuration of the training run.")
    data_sha256: dict[str, str]
    metrics: dict[str, int | float]
    libraries: dict[str, str]
    finder: FinderRecord | None = None
    strings: StringWeights = StringWeights()
    sha256: dict[str, str] = Field(description="sha256 of each published file, by its path in the store.")

    @property
    def accuracy(self) -> dict[str, float]:
        """The measured accuracy by data set, 0 to 1."""
        return {key.removesuffix("_accuracy"): value for key, value in self.metrics.items() if key.endswith("_accuracy")}

    def key(self, file: str) -> str:
        """The path in the store of a file next to the record: digits/3/golden.npz."""
        return f"{self.name}/{self.version}/{file}"

    def edition(self, edition: Edition) -> str:
        """The path in the store of an edition's ONNX file: digits_finder/3/model.onnx."""
        return f"{FOLDERS[edition].format(self.name)}/{self.version}/{EDITIONS[edition]}"

    @property
    def editions(self) -> dict[Edition, str]:
        """The sha256 of each edition that was published."""
        return {edition: digest for edition in EDITIONS if (digest := self.sha256.get(self.edition(edition)))}


class Reference(BaseModel):
    """reference.json: the pictures that the model was made for and its answers to them, in figures, to detect drift."""

    model_config = ConfigDict(frozen=True)

    pictures: int = Field(description="Number of pictures that were measured.")
    digits: list[float] = Field(min_length=10, max_length=10, description="Share of each digit among the answers, 0 to 1.")
    rejected: float = Field(description="Share of the answers that were not accepted, 0 to 1.")
    means: dict[str, float] = Field(
        description="Means of stroke_width, slant and contrast, as app.reading.find.measure measures them."
    )
    deviations: dict[str, float] = Field(description="Standard deviations of the same measures.")


def uint8_name(name: str) -> str:
    """The name of the uint8 edition of a model."""
    return FOLDERS["uint8"].format(name)
