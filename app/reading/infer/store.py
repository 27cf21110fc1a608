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
import os
import re
import stat
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from app.errors import StartupError
from app.reading.infer.record import NO_DIGIT, Edition, ModelRecord, Reference

_APP = Path(__file__).resolve().parents[2]
_IN_WHEEL, _IN_CLONE = _APP / "model_store", _APP.parent / "model_store"
MODEL_STORE = _IN_WHEEL if _IN_WHEEL.is_dir() else _IN_CLONE
READER = 2  # the reader that this code is; 1 found digits by rules
SERVED = "served"  # names the version that the pointer of that name points to
REFERENCE = "reference.json"
RECORD = "model.json"
VERSION = re.compile(r"[0-9]{1,9}")
MOST_BYTES = 2**29  # of a file in the store; the largest network that was tried has 13 MB
MOST_RECORD_BYTES = 2**20
MOST_POINTER_BYTES = 64
MOST_GOLDEN_BYTES = 2**26  # of the golden vectors, once they are unpacked
PICTURE_ANSWERS = "picture_answers"  # in golden.npz, next to picture_0 and so on
MOST_PICTURES = 64  # in golden.npz


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

    def read_edition(self, edition: Edition) -> bytes:
        """The bytes of an edition's ONNX file.

        Raises:
            StartupError: the file is missing, or is not the one that was published.
        """
        return self._read(self.record.edition(edition))

    def read_editions(self) -> dict[Edition, bytes]:
        """The bytes of the ONNX file of each published edition.

        Raises:
            StartupError: a file is missing, or is not the one that was published.
        """
        return {edition: self.read_edition(edition) for edition in self.record.editions}

    def read_golden(self) -> Golden:
        """What the version must answer to glyphs and pictures.

        Raises:
            StartupError: the file is missing, or is not the one that was published.
        """
        data = self._read(self.record.key("golden.npz"))
        try:
            return _unpack_golden(data)
        except Exception as error:  # a damaged archive raises nearly anything
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
