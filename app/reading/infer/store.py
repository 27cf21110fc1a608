"""The model store on disk, in the layout of Triton and OpenVINO Model Server.

NAME/VERSION/ holds model.onnx, golden.npz and model.json; NAME_uint8/VERSION/ holds model.uint8.onnx.
"""

import hashlib
import json
import os
import re
import stat
import zipfile
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import StartupError

_APP = Path(__file__).resolve().parents[2]
_IN_WHEEL, _IN_CLONE = _APP / "model_store", _APP.parent / "model_store"
MODEL_STORE = _IN_WHEEL if _IN_WHEEL.is_dir() else _IN_CLONE
Edition = Literal["float32", "uint8"]
INPUT, LOGITS = "input", "logits"  # of model.onnx: float32 (N, 1, 28, 28), (N, 10)
GLYPH, PROBABILITIES, ENERGY = (
    "glyph",
    "probabilities",
    "energy",
)  # of model.uint8.onnx: uint8 (N, 28, 28), float32 (N, 10), (N,)
EDITIONS: dict[Edition, str] = {
    "float32": "model.onnx",
    "uint8": "model.uint8.onnx",
}  # the file of each edition, named after its input
MEASURES = ("stroke_width", "slant", "contrast")  # fields of app.reading.find.measure.Measurements that a reference holds
REFERENCE = "reference.json"
RECORD = "model.json"
VERSION = re.compile(r"[0-9]{1,9}")
MOST_BYTES = 2**29  # of a file in the store; the largest network that was tried has 13 MB
MOST_RECORD_BYTES = 2**20
MOST_GOLDEN_BYTES = 2**26  # of the golden vectors, once they are unpacked


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


class ModelRecord(BaseModel):
    """model.json: what the model is, how it was made, its measured figures, and the sha256 of the published files."""

    name: str
    version: str
    created: str = Field(description="UTC, ISO 8601.")
    architecture: str
    parameters: int
    seed: int
    commit: str = Field(description="The git commit that the model was published from.")
    config: dict[str, Any] = Field(description="The configuration of the training run.")
    data_sha256: dict[str, str]
    metrics: dict[str, int | float]
    libraries: dict[str, str]
    sha256: dict[str, str] = Field(description="sha256 of each published file, by its name.")

    @property
    def accuracy(self) -> dict[str, float]:
        """The measured accuracy by data set, 0 to 1."""
        return {key.removesuffix("_accuracy"): value for key, value in self.metrics.items() if key.endswith("_accuracy")}


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


@dataclass(frozen=True)
class StoredModel:
    """One version in the store: its folder and its record."""

    folder: Path
    record: ModelRecord

    @property
    def title(self) -> str:
        """Name and version, for messages: digits/1."""
        return f"{self.record.name}/{self.record.version}"

    def path(self, name: str) -> Path:
        """The path of a published file.

        The uint8 edition has a folder of its own, because OpenVINO Model Server opens the first ONNX file that it finds in
        the folder of a version.
        """
        return (uint8_folder(self.folder) if name == EDITIONS["uint8"] else self.folder) / name

    def read_onnx(self) -> bytes:
        """The bytes of model.onnx.

        Raises:
            StartupError: the file is missing, or is not the one that was published.
        """
        return self._read("model.onnx")

    def read_editions(self) -> dict[Edition, bytes]:
        """The bytes of the ONNX file of each published edition.

        Raises:
            StartupError: a file is missing, or is not the one that was published.
        """
        return {edition: self._read(name) for edition, name in EDITIONS.items() if name in self.record.sha256}

    def read_golden(self) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Glyphs (N, 28, 28) and the logits (N, 10) that the model must give for them.

        Raises:
            StartupError: the file is missing, or is not the one that was published.
        """
        data = self._read("golden.npz")
        try:
            return _unpack_golden(data)
        except (
            ValueError,
            KeyError,
            OSError,
            EOFError,
            RuntimeError,
            TypeError,
            zipfile.BadZipFile,
            zlib.error,
            MemoryError,
        ) as error:
            raise StartupError(f"Model {self.title}: golden.npz does not contain golden vectors: {error}") from error

    def read_reference(self) -> Reference | None:
        """The reference of the model, or None if it was published without one.

        Raises:
            StartupError: the file is missing, or is not the one that was published.
        """
        if REFERENCE not in self.record.sha256:
            return None
        try:
            return Reference.model_validate_json(self._read(REFERENCE))
        except ValidationError as error:
            raise StartupError(f"Model {self.title}: {REFERENCE} is not a valid reference: {error}") from error

    def _read(self, name: str) -> bytes:
        try:
            data = read_file(self.path(name), MOST_BYTES)
        except OSError as error:
            raise StartupError(f"Model {self.title}: {name} cannot be read: {error}") from error
        if hashlib.sha256(data).hexdigest() != self.record.sha256.get(name):
            raise StartupError(
                f"Model {self.title}: {self.path(name)} is not the file that was published (its sha256 differs "
                "from model.json's). Restore it, or publish the model again."
            )
        return data


def uint8_folder(version: Path) -> Path:
    """The folder of the uint8 edition of a version: store/digits/2 -> store/digits_uint8/2."""
    return version.parent.with_name(uint8_name(version.parent.name)) / version.name


def uint8_name(name: str) -> str:
    """The name of the uint8 edition of a model."""
    return f"{name}_uint8"


def versions(store: Path, name: str) -> list[str]:
    """The versions of a model in the store, oldest first; a version is a folder whose name is a number."""
    folder = store / name
    try:
        found = [entry.name for entry in folder.iterdir() if VERSION.fullmatch(entry.name) and entry.is_dir()]
    except OSError:  # it is not there, or may not be looked at
        return []
    return sorted(found, key=int)


def find_model(store: Path, name: str, version: str) -> StoredModel:
    """The model of that name and version; ``latest`` takes the highest version.

    Raises:
        StartupError: the model is not in the store, or its record cannot be read.
    """
    found = versions(store, name)
    wanted = found[-1] if version == "latest" and found else version
    if wanted not in found:
        there = f"it has the versions {', '.join(found)}" if found else "it has no version of this model"
        raise StartupError(f"Model {name}/{version} is not in {store}; {there}.")
    folder = store / name / wanted
    try:
        record = ModelRecord.model_validate_json(read_file(folder / RECORD, MOST_RECORD_BYTES))
    except (OSError, ValidationError) as error:
        raise StartupError(f"Model {name}/{wanted}: {folder / RECORD} cannot be read: {_first_line(error)}") from error
    if (record.name, record.version) != (name, wanted):
        raise StartupError(
            f"Model {name}/{wanted}: {folder / RECORD} is that of {record.name}/{record.version}. Restore it, or publish the "
            "model again."
        )
    return StoredModel(folder, record)


def read_file(path: Path, most: int) -> bytes:
    """The bytes of a plain file; neither a pipe nor a device is waited for, and nothing is read of one that is too long.

    Raises:
        OSError: it cannot be read, is something else, or has more bytes than that.
    """
    opened = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(opened, "rb") as file:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{path} is not a plain file")
        if found.st_size > most:
            raise OSError(f"{path} has {found.st_size:,} bytes; it may have {most:,}")
        return file.read(most)


def _first_line(error: Exception) -> str:
    """What is wrong, in one line: pydantic's first finding and where it is."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_input=False)[0]
    return ": ".join(part for part in (".".join(str(part) for part in first["loc"]), first["msg"]) if part)


def _unpack_golden(data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Glyphs and logits.

    Raises:
        ValueError, KeyError, OSError, EOFError, RuntimeError, TypeError, zipfile.BadZipFile, zlib.error, MemoryError: they are
            not there.
    """
    with zipfile.ZipFile(BytesIO(data)) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > MOST_GOLDEN_BYTES:
        raise ValueError(f"it unpacks to {size:,} bytes; it may to {MOST_GOLDEN_BYTES:,}")
    with np.load(BytesIO(data)) as golden:
        glyphs, logits = golden["glyphs"], golden["logits"]
    if glyphs.dtype != np.uint8 or glyphs.shape != (len(glyphs), 28, 28):
        raise ValueError(f"the glyphs are {glyphs.dtype} {glyphs.shape}")
    if logits.dtype != np.float32 or logits.shape != (len(glyphs), 10):
        raise ValueError(f"the logits are {logits.dtype} {logits.shape} for {len(glyphs)} glyphs")
    return glyphs, logits
