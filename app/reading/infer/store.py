"""The model store on disk, in the layout of Triton and OpenVINO Model Server.

A version is one unit in several folders, each with the one ONNX file that other servers expect there:

    NAME/served                           the number of the version that is served
    NAME/VERSION/                         model.onnx, the classifier; golden.npz, reference.json, card.md, and the record of
                                          the whole version: model.json
    NAME_finder/VERSION/model.onnx        where the digits are
    NAME_uint8/VERSION/model.uint8.onnx   the classifier, from glyphs to probabilities
    NAME_reader/VERSION/model.onnx        the whole way from a picture to its digits
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
from threading import Lock
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import StartupError

_APP = Path(__file__).resolve().parents[2]
_IN_WHEEL, _IN_CLONE = _APP / "model_store", _APP.parent / "model_store"
MODEL_STORE = _IN_WHEEL if _IN_WHEEL.is_dir() else _IN_CLONE
READER = 2  # the reader that this code is; 1 found digits by rules
SERVED = "served"  # names the version that the pointer of that name points to
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
REFERENCE = "reference.json"
RECORD = "model.json"
VERSION = re.compile(r"[0-9]{1,9}")
MOST_BYTES = 2**29  # of a file in the store; the largest network that was tried has 13 MB
MOST_RECORD_BYTES = 2**20
MOST_POINTER_BYTES = 64
MOST_GOLDEN_BYTES = 2**26  # of the golden vectors, once they are unpacked
PICTURE_ANSWERS = "picture_answers"  # in golden.npz, next to picture_0 and so on
MOST_PICTURES = 64  # in golden.npz


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


@dataclass(frozen=True)
class Golden:
    """golden.npz: what a version must answer.

    glyphs: (N, 28, 28) uint8, with their logits (N, 10) and no_digit (N,); pictures: (H, W, 3) uint8 each, with the answers
    (M, 15) to the most prominent digit of each: box as left, top, width and height in pixels, ten logits, and no_digit.
    """

    glyphs: NDArray[np.uint8]
    logits: NDArray[np.float32]
    no_digit: NDArray[np.float32]
    pictures: tuple[NDArray[np.uint8], ...]
    answers: NDArray[np.float32]


@dataclass(frozen=True)
class StoredModel:
    """One version in the store: the folder of its record and classifier, and the record."""

    folder: Path
    record: ModelRecord

    @property
    def title(self) -> str:
        """Name and version, for messages: digits/1."""
        return f"{self.record.name}/{self.record.version}"

    @property
    def store(self) -> Path:
        """The model store that it lies in."""
        return self.folder.parent.parent

    def path(self, edition: Edition) -> Path:
        """The path of an edition's ONNX file."""
        return self.store / self.record.edition(edition)

    def read_onnx(self) -> bytes:
        """The bytes of the classifier's model.onnx.

        Raises:
            StartupError: the file is missing, or is not the one that was published.
        """
        return self._read(self.record.edition("float32"))

    def read_finder_onnx(self) -> bytes:
        """The bytes of the finder's model.onnx.

        Raises:
            StartupError: as for read_onnx.
        """
        return self._read(self.record.edition("finder"))

    def read_editions(self) -> dict[Edition, bytes]:
        """The bytes of the ONNX file of each published edition.

        Raises:
            StartupError: a file is missing, or is not the one that was published.
        """
        return {edition: self._read(self.record.edition(edition)) for edition in self.record.editions}

    def read_golden(self) -> Golden:
        """What the version must answer to glyphs and pictures.

        Raises:
            StartupError: the file is missing, or is not the one that was published.
        """
        data = self._read(self.record.key("golden.npz"))
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
        key = self.record.key(REFERENCE)
        if key not in self.record.sha256:
            return None
        try:
            return Reference.model_validate_json(self._read(key))
        except ValidationError as error:
            raise StartupError(f"Model {self.title}: {REFERENCE} is not a valid reference: {error}") from error

    def verify(self) -> None:
        """Compares each file that the record names with its sha256.

        Raises:
            StartupError: a file is missing, or is not the one that was published.
        """
        for key in self.record.sha256:
            self._read(key)

    def _read(self, key: str) -> bytes:
        if key not in self.record.sha256:
            raise StartupError(f"Model {self.title}: its record does not name {key}. Restore it, or publish the model again.")
        try:
            data = read_file(self.store / key, MOST_BYTES)
        except OSError as error:
            raise StartupError(f"Model {self.title}: {Path(key).name} cannot be read: {error}") from error
        if hashlib.sha256(data).hexdigest() != self.record.sha256[key]:
            raise StartupError(
                f"Model {self.title}: {self.store / key} is not the file that was published (its sha256 differs "
                "from model.json's). Restore it, or publish the model again."
            )
        return data


def uint8_name(name: str) -> str:
    """The name of the uint8 edition of a model."""
    return FOLDERS["uint8"].format(name)


def versions(store: Path, name: str) -> list[str]:
    """The versions of a model in the store, oldest first; a version is a folder whose name is a number."""
    folder = store / name
    try:
        found = [entry.name for entry in folder.iterdir() if VERSION.fullmatch(entry.name) and entry.is_dir()]
    except OSError:  # it is not there, or may not be looked at
        return []
    return sorted(found, key=int)


def read_pointer(store: Path, name: str) -> str:
    """The number of the version that is served, as the store's pointer says: the file NAME/served.

    Raises:
        StartupError: the pointer is missing, or does not hold a number.
    """
    path = store / name / SERVED
    remedy = f"Write a version's number into it, or set the version. {_what_is_there(store, name)}"
    try:
        told = read_file(path, MOST_POINTER_BYTES).decode("ascii", "replace").strip()
    except FileNotFoundError as error:
        raise StartupError(f"Model {name}: nothing says which version is served: {path} is missing. {remedy}") from error
    except OSError as error:
        raise StartupError(f"Model {name}: {path}, which says which version is served, cannot be read: {error}.") from error
    if not VERSION.fullmatch(told):
        raise StartupError(f"Model {name}: {path} says that {told!r} is served, which is not the number of a version. {remedy}")
    return told


def find_model(store: Path, name: str, version: str) -> StoredModel:
    """The model of that name and version; ``served`` takes the version that the store's pointer names.

    Raises:
        StartupError: the model is not in the store, its record cannot be read, or it needs another reader than this one.
    """
    pointed = version == SERVED
    wanted = read_pointer(store, name) if pointed else version
    if wanted not in versions(store, name):
        told = f", to which {store / name / SERVED} points," if pointed else ""
        raise StartupError(f"Model {name}/{wanted}{told} is not in {store}. {_what_is_there(store, name)}")
    record = read_record(store / name / wanted)
    if (record.name, record.version) != (name, wanted):
        raise StartupError(
            f"Model {name}/{wanted}: {store / name / wanted / RECORD} is that of {record.name}/{record.version}. Restore it, "
            "or publish the model again."
        )
    if record.reader != READER:
        raise StartupError(f"Model {name}/{wanted}: {_why_not(record.reader)}")
    return StoredModel(store / name / wanted, record)


def read_record(folder: Path) -> ModelRecord:
    """The record in a version's folder, whatever reader it needs.

    Raises:
        StartupError: it cannot be read.
    """
    title, path = f"{folder.parent.name}/{folder.name}", folder / RECORD
    try:
        return ModelRecord.model_validate_json(read_file(path, MOST_RECORD_BYTES))
    except (OSError, ValidationError) as error:
        raise StartupError(f"Model {title}: {path} cannot be read: {_first_line(error)}") from error


def _why_not(reader: int) -> str:
    if reader < READER:
        return (
            f"it was made for reader {reader}, which found digits by rules; this is reader {READER}. Publish the model "
            "again, or serve it from the last commit that had it: docs/model-store.md."
        )
    return f"it needs reader {reader}; this is reader {READER}. Update Numeral, or serve another version."


def _what_is_there(store: Path, name: str) -> str:
    found = versions(store, name)
    return f"It has the versions {', '.join(found)}." if found else "It has no version of this model."


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


_ONE_BY_ONE = Lock()  # CPython 3.11 counts the depth of its parser, which numpy calls, over all threads: gh-106905


def _unpack_golden(data: bytes) -> Golden:
    """Glyphs, pictures and answers.

    Raises:
        ValueError, KeyError, OSError, EOFError, RuntimeError, TypeError, zipfile.BadZipFile, zlib.error, MemoryError: they are
            not there.
    """
    with zipfile.ZipFile(BytesIO(data)) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > MOST_GOLDEN_BYTES:
        raise ValueError(f"it unpacks to {size:,} bytes; it may to {MOST_GOLDEN_BYTES:,}")
    with _ONE_BY_ONE, np.load(BytesIO(data)) as golden:
        answers = golden[PICTURE_ANSWERS] if PICTURE_ANSWERS in golden else np.zeros((0, 15), np.float32)
        pictures = tuple(golden[f"picture_{number}"] for number in range(min(len(answers), MOST_PICTURES)))
        glyphs, logits, no_digit = golden["glyphs"], golden["logits"], golden[NO_DIGIT]
    count = len(glyphs)
    _check(glyphs, np.uint8, (count, 28, 28), "glyphs")
    _check(logits, np.float32, (count, 10), "logits")
    _check(no_digit, np.float32, (count, 1), NO_DIGIT)
    _check(answers, np.float32, (len(pictures), 15), PICTURE_ANSWERS)
    for picture in pictures:
        _check(picture, np.uint8, (*picture.shape[:2], 3), "pictures")
    if not count:
        raise ValueError("there are no glyphs")
    return Golden(glyphs, logits, no_digit[:, 0], pictures, answers)


def _check(array: NDArray[Any], dtype: type, shape: tuple[int, ...], name: str) -> None:
    if array.dtype != dtype or array.shape != shape or 0 in array.shape[1:]:
        raise ValueError(f"the {name} are {array.dtype} {array.shape}")
