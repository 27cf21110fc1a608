"""Versions of the model for tests: copies of the shipped one under other numbers, and what changes their records."""

import hashlib
import json
import shutil
from pathlib import Path

from app.reading.infer.record import EDITIONS, FOLDERS, Edition, ModelRecord
from app.reading.infer.store import RECORD, SERVED
from app.settings import Settings

SHIPPED = "3"  # the version in the repository; a user may have published others
FOR_PEOPLE = ("card.md", "report.md")  # the record does not name them
LEFT_OUT = shutil.ignore_patterns("*.pth", "*.png")


def add_version(store: Path, number: str, threshold: float | None = None) -> Path:
    """Copies the shipped version into a store under another number, and returns the folder of its record.

    threshold: another threshold of acceptance, so that it is not the shipped one in other clothes; its finder is then another
    file, too. The first version that a store gets is the one that is served.
    """
    for name in (each.format("digits") for each in FOLDERS.values()):
        shutil.copytree(Settings().model_store / name / SHIPPED, store / name / number, ignore=LEFT_OUT)
    if threshold is not None:
        for edition in ("float32", "uint8"):
            _set_threshold(onnx_file(store, number, edition), threshold)
        _sign(onnx_file(store, number, "finder"), f"threshold {threshold}")
    folder = store / "digits" / number
    change_record(folder, version=number)
    seal(folder)
    if not (store / "digits" / SERVED).exists():
        point_to(store, number)
    return folder


def copy_shipped(store: Path) -> None:
    """Makes a store that serves the shipped version, with its weights."""
    for name in (each.format("digits") for each in FOLDERS.values()):
        shutil.copytree(Settings().model_store / name / SHIPPED, store / name / SHIPPED)
    point_to(store, SHIPPED)


def point_to(store: Path, number: str) -> None:
    """Makes a version the one that is served."""
    (store / "digits" / SERVED).write_text(f"{number}\n", encoding="ascii")


def onnx_file(store: Path, number: str, edition: Edition) -> Path:
    """An edition's file."""
    return store / FOLDERS[edition].format("digits") / number / EDITIONS[edition]


def change_record(folder: Path, **fields: object) -> None:
    """Sets fields of the record in a version's folder."""
    path = folder / RECORD
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | fields), encoding="utf-8")


def seal(folder: Path) -> None:
    """Writes the sha256 of each file of a version into its record."""
    record, store = ModelRecord.model_validate_json((folder / RECORD).read_bytes()), folder.parent.parent
    folders = [onnx_file(store, record.version, edition).parent for edition in FOLDERS]
    files = [file for each in folders if each.is_dir() for file in each.iterdir() if file.name not in (RECORD, *FOR_PEOPLE)]
    sums = {file.relative_to(store).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files)}
    change_record(folder, sha256=sums)


def _set_threshold(path: Path, threshold: float) -> None:
    import onnx  # noqa: PLC0415  whoever changes no network needs none of it

    model = onnx.load(path)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, properties | {"threshold": str(threshold)})
    onnx.save(model, path)


def _sign(path: Path, text: str) -> None:
    import onnx  # noqa: PLC0415  as above

    model = onnx.load(path)
    model.doc_string = text
    onnx.save(model, path)
