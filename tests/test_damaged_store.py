"""What may lie in a model store by mistake or malice: one clear line each, at once."""

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import StartupError
from app.reading.infer.store import MOST_BYTES, find_model, versions
from app.runtime.loading import load_model
from app.settings import Settings
from tests.conftest import MakeStore
from tests.versions import change_record, point_to, seal

Damage = Callable[[Path], object]


def put_golden(folder: Path, data: bytes) -> None:
    """As the published file: its sha256 is the recorded one."""
    (folder / "golden.npz").write_bytes(data)
    seal(folder)


def packed(**arrays: np.ndarray) -> bytes:
    made = io.BytesIO()
    np.savez_compressed(made, **arrays)  # type: ignore[arg-type]
    return made.getvalue()


GOLDEN: dict[str, NDArray[Any]] = {
    "glyphs": np.ones((2, 28, 28), np.uint8),
    "logits": np.ones((2, 10), np.float32),
    "no_digit": np.zeros((2, 1), np.float32),
}
PICTURE: dict[str, NDArray[Any]] = {"picture_0": np.ones((5, 4, 3), np.uint8), "picture_answers": np.ones((1, 15), np.float32)}
NO_PICTURES = {"picture_answers": np.zeros((65, 15), np.float32)} | {
    f"picture_{number}": np.ones((1, 1, 3), np.uint8) for number in range(65)
}


def damaged_inside() -> bytes:
    data = bytearray(packed(**GOLDEN))
    data[60:80] = bytes(20)
    return bytes(data)


def bomb() -> bytes:
    """A gigabyte of zeros in a megabyte."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("glyphs.npy", "w") as member:
        for _ in range(1024):
            member.write(bytes(2**20))
    return made.getvalue()


def finder_of(folder: Path) -> Path:
    return folder.parent.with_name("digits_finder") / folder.name / "model.onnx"


def put_finder(folder: Path, data: bytes) -> None:
    """As the published file."""
    finder_of(folder).write_bytes(data)
    seal(folder)


def leave_out(folder: Path, field: str) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != field}))


def leave_out_of_record(folder: Path, part: str) -> None:
    sums = json.loads((folder / "model.json").read_text())["sha256"]
    change_record(folder, sha256={key: value for key, value in sums.items() if part not in key})


def replace_by_fifo(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)


def replace_by_link(folder: Path, name: str, target: str) -> None:
    (folder / name).unlink()
    (folder / name).symlink_to(target)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


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
    "golden vectors without the logit of no digit": (
        lambda folder: put_golden(folder, packed(glyphs=GOLDEN["glyphs"], logits=GOLDEN["logits"])),
        "no_digit",
    ),
    "a golden picture that is grey": (
        lambda folder: put_golden(folder, packed(**(GOLDEN | PICTURE | {"picture_0": np.ones((5, 4), np.uint8)}))),
        "the pictures are uint8 (5, 4)",
    ),
    "a golden picture that is empty": (
        lambda folder: put_golden(folder, packed(**(GOLDEN | PICTURE | {"picture_0": np.ones((5, 0, 3), np.uint8)}))),
        "the pictures are uint8 (5, 0, 3)",
    ),
    "answers to golden pictures of another width": (
        lambda folder: put_golden(folder, packed(**(GOLDEN | PICTURE | {"picture_answers": np.ones((1, 5), np.float32)}))),
        "the picture_answers are float32 (1, 5)",
    ),
    "a golden picture without an answer": (
        lambda folder: put_golden(folder, packed(**(GOLDEN | PICTURE | {"picture_answers": np.ones((2, 15), np.float32)}))),
        "picture_1",
    ),
    "too many golden pictures": (
        lambda folder: put_golden(folder, packed(**(GOLDEN | NO_PICTURES))),
        "the picture_answers are float32 (65, 15)",
    ),
    "golden vectors of another shape": (
        lambda folder: put_golden(folder, packed(**(GOLDEN | {"glyphs": np.zeros(2, np.uint8)}))),
        "the glyphs are",
    ),
    "golden vectors without a shape": (
        lambda folder: put_golden(folder, packed(glyphs=np.uint8(3), logits=np.zeros((3, 10), np.float32))),  # type: ignore[arg-type]
        "golden vectors",
    ),
    "a bomb as golden vectors": (lambda folder: put_golden(folder, bomb()), "unpacks to"),
    "a FIFO as record": (lambda folder: replace_by_fifo(folder, "model.json"), "not a plain file"),
    "no finder": (lambda folder: finder_of(folder).unlink(), "model.onnx cannot be read"),
    "another finder": (lambda folder: finder_of(folder).write_bytes(b"another"), "is not the file that was published"),
    "a finder that is not ONNX": (lambda folder: put_finder(folder, b"text"), "onnxruntime cannot open it"),
    "a classifier as finder": (
        lambda folder: put_finder(folder, (folder / "model.onnx").read_bytes()),
        "its finder does not have the outputs",
    ),
    "a record without a finder": (
        lambda folder: leave_out_of_record(folder, "_finder/"),
        "its record does not name digits_finder/1/model.onnx",
    ),
    "a record of the reader before": (lambda folder: change_record(folder, reader=1), "was made for reader 1"),
    "a record that names no reader": (
        lambda folder: leave_out(folder, "reader"),
        "was made for reader 1, which found digits by rules; this is reader 2",
    ),
    "a record of a reader to come": (lambda folder: change_record(folder, reader=3), "needs reader 3; this is reader 2"),
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
        load_model(Settings(model_store=store, model_version="1"))

    line = str(refused.value)
    assert line.startswith(("Model digits/1: ", "Model digits/1, finder: "))
    assert told in line
    assert "\n" not in line


@pytest.mark.parametrize("name", ["²", "٣", "1 ", "-1", "1.5", "9" * 40, "x"])
def test_a_folder_whose_name_is_not_a_version_is_passed_over(make_store: MakeStore, name: str) -> None:
    store = make_store()
    (store / "digits" / name).mkdir()

    assert versions(store, "digits") == ["1"]


def test_the_pointer_says_which_version_is_served(make_store: MakeStore) -> None:
    store = make_store()
    make_store(version="2")

    served = [find_model(store, "digits", "served").record.version]
    point_to(store, "2")
    served.append(find_model(store, "digits", "served").record.version)

    assert served == ["1", "2"]


POINTERS: dict[str, tuple[Damage, str]] = {
    "none": (lambda pointer: pointer.unlink(), "Model digits: nothing says which version is served: "),
    "an empty one": (lambda pointer: pointer.write_text(""), "says that '' is served, which is not the number of a version"),
    "a word": (lambda pointer: pointer.write_text("newest"), "says that 'newest' is served, which is not the number"),
    "a path": (lambda pointer: pointer.write_text("../1"), "says that '../1' is served, which is not the number"),
    "another script": (lambda pointer: pointer.write_text("١", encoding="utf-8"), "which is not the number of a version"),
    "a missing version": (lambda pointer: pointer.write_text("7\n"), "Model digits/7, to which "),
    "a long text": (lambda pointer: pointer.write_text("1" * 65), "it may have 64"),
    "a folder": (replace_by_folder, "cannot be read"),
    "a device": (lambda pointer: replace_by_link(pointer.parent, "served", "/dev/zero"), "not a plain file"),
}


@pytest.mark.parametrize(("damage", "told"), POINTERS.values(), ids=POINTERS.keys())
def test_a_pointer_that_points_nowhere_is_refused_in_one_line(make_store: MakeStore, damage: Damage, told: str) -> None:
    store = make_store()
    damage(store / "digits" / "served")

    with pytest.raises(StartupError) as refused:
        load_model(Settings(model_store=store))

    assert told in str(refused.value)
    assert str(store) in str(refused.value)
    assert "\n" not in str(refused.value)
    load_model(Settings(model_store=store, model_version="1"))  # a number needs no pointer


def test_a_store_without_a_pointer_says_which_versions_it_has(make_store: MakeStore) -> None:
    store = make_store()
    (store / "digits" / "served").unlink()

    with pytest.raises(StartupError, match=r"It has the versions 1\.$"):
        find_model(store, "digits", "served")
