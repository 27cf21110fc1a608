"""What may lie in a model store by mistake or malice: one clear line each, at once."""

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app.errors import StartupError
from app.reading.infer.store import MOST_BYTES, find_model, versions
from app.runtime.loading import load_classifier
from app.settings import Settings
from tests.conftest import MakeStore

Damage = Callable[[Path], object]


def change_record(folder: Path, **fields: object) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def put_golden(folder: Path, data: bytes) -> None:
    """As the published file: its sha256 is the recorded one."""
    (folder / "golden.npz").write_bytes(data)
    sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("model.onnx", "golden.npz")}
    change_record(folder, sha256=sums)


def packed(**arrays: np.ndarray) -> bytes:
    made = io.BytesIO()
    np.savez_compressed(made, **arrays)  # type: ignore[arg-type]
    return made.getvalue()


def damaged_inside() -> bytes:
    data = bytearray(packed(glyphs=np.ones((2, 28, 28), np.uint8), logits=np.ones((2, 10), np.float32)))
    data[60:80] = bytes(20)
    return bytes(data)


def bomb() -> bytes:
    """A gigabyte of zeros in a megabyte."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("glyphs.npy", "w") as member:
        for _ in range(1024):
            member.write(bytes(2**20))
    return made.getvalue()


def replace_by_fifo(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)


def replace_by_link(folder: Path, name: str, target: str) -> None:
    (folder / name).unlink()
    (folder / name).symlink_to(target)


def make_endless(folder: Path, name: str) -> None:
    """A file of a terabyte that takes no place on the disk."""
    with (folder / name).open("r+b") as file:
        file.truncate(2**40)


DAMAGES: dict[str, tuple[Damage, str]] = {
    "another version's record": (lambda folder: change_record(folder, version="2"), "is that of digits/2"),
    "another model's record": (lambda folder: change_record(folder, name="letters"), "is that of letters/1"),
    "a record in UTF-16": (lambda folder: (folder / "model.json").write_text("{}", encoding="utf-16"), "model.json"),
    "a record of brackets": (lambda folder: (folder / "model.json").write_text("[" * 500_000), "model.json"),
    "golden vectors that are text": (lambda folder: put_golden(folder, b"text"), "golden vectors"),
    "golden vectors that are empty": (lambda folder: put_golden(folder, b""), "golden vectors"),
    "golden vectors cut off": (lambda folder: put_golden(folder, (folder / "golden.npz").read_bytes()[:300]), "golden vectors"),
    "golden vectors damaged inside": (lambda folder: put_golden(folder, damaged_inside()), "golden vectors"),
    "golden vectors without logits": (
        lambda folder: put_golden(folder, packed(glyphs=np.zeros((1, 28, 28), np.uint8))),
        "logits",
    ),
    "golden vectors of another shape": (
        lambda folder: put_golden(folder, packed(glyphs=np.zeros(3, np.uint8), logits=np.zeros((3, 10), np.float32))),
        "the glyphs are",
    ),
    "golden vectors without a shape": (
        lambda folder: put_golden(folder, packed(glyphs=np.uint8(3), logits=np.zeros((3, 10), np.float32))),  # type: ignore[arg-type]
        "golden vectors",
    ),
    "a bomb as golden vectors": (lambda folder: put_golden(folder, bomb()), "unpacks to"),
    "a FIFO as record": (lambda folder: replace_by_fifo(folder, "model.json"), "not a plain file"),
    "a FIFO as model": (lambda folder: replace_by_fifo(folder, "model.onnx"), "not a plain file"),
    "a device as record": (lambda folder: replace_by_link(folder, "model.json", "/dev/zero"), "not a plain file"),
    "a device as model": (lambda folder: replace_by_link(folder, "model.onnx", "/dev/zero"), "not a plain file"),
    "a folder as model": (lambda folder: replace_by_link(folder, "model.onnx", "."), "model.onnx"),
    "a link to itself as model": (lambda folder: replace_by_link(folder, "model.onnx", "model.onnx"), "model.onnx"),
    "an endless record": (lambda folder: make_endless(folder, "model.json"), "it may have"),
    "an endless model": (lambda folder: make_endless(folder, "model.onnx"), f"{MOST_BYTES:,}"),
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no FIFOs")
@pytest.mark.parametrize(("damage", "told"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_version_is_refused_in_one_line(make_store: MakeStore, damage: Damage, told: str) -> None:
    store = make_store()
    damage(store / "digits" / "1")

    with pytest.raises(StartupError) as refused:
        load_classifier(Settings(model_store=store, model_version="1"))

    line = str(refused.value)
    assert line.startswith("Model digits/1: ")
    assert told in line
    assert "\n" not in line


@pytest.mark.parametrize("name", ["²", "٣", "1 ", "-1", "1.5", "9" * 40, "x"])
def test_a_folder_whose_name_is_not_a_version_is_passed_over(make_store: MakeStore, name: str) -> None:
    store = make_store()
    (store / "digits" / name).mkdir()

    assert versions(store, "digits") == ["1"]
    assert find_model(store, "digits", "latest").record.version == "1"
