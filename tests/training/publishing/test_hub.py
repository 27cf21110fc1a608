"""A repository for Hugging Face: its program reads with three packages, its card says what the version's record says."""

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import yaml
from PIL import Image

from app.reading.infer.store import SERVED, find_model
from app.settings import Settings
from tests.training.commands import training
from training.publishing.hub import FILES
from training.publishing.hub_predict import load_picture, predict

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "docs" / "examples"
SEVEN = [279, 134, 110, 220]  # the ink's box in seven.jpg; the graph's boxes are the finder's, with room around the ink


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    training("hub", "--output", folder)
    return folder


@pytest.fixture(scope="module")
def session(hub: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(hub / "model.onnx")


def metadata(hub: Path) -> dict[str, Any]:
    _, front, _ = (hub / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    loaded: dict[str, Any] = yaml.safe_load(front)
    return loaded


def overlap(box: Sequence[float], other: Sequence[float]) -> float:
    """Room that two boxes share, over the room of both; each is left, top, width and height."""
    sides = [
        max(0.0, min(box[axis] + box[axis + 2], other[axis] + other[axis + 2]) - max(box[axis], other[axis])) for axis in (0, 1)
    ]
    shared = sides[0] * sides[1]
    return shared / (box[2] * box[3] + other[2] * other[3] - shared)


def test_its_program_reads_an_example_far_from_the_clone(hub: Path, tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "seven.jpg", tmp_path)

    command = [sys.executable, "-I", str(hub / "predict.py"), "seven.jpg"]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)

    (first, *_) = json.loads(done.stdout)["digits"]
    assert (first["digit"], first["accepted"]) == (7, True)
    assert overlap(first["box"], SEVEN) > 0.5


def test_its_program_needs_what_its_requirements_name_and_nothing_else(hub: Path) -> None:
    tree = ast.parse((hub / "predict.py").read_text(encoding="utf-8"))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [each.name for each in node.names] if isinstance(node, ast.Import)
            else [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        )
    } - set(sys.stdlib_module_names)  # fmt: skip
    named = {line.partition(">=")[0] for line in (hub / "requirements.txt").read_text(encoding="utf-8").splitlines()}

    assert {{"PIL": "pillow"}.get(name, name) for name in imported} == named


@pytest.mark.parametrize(("name", "digit"), [("three.png", 3), ("five.png", 5)])
def test_transparent_drawings_and_light_ink_are_read(session: onnxruntime.InferenceSession, name: str, digit: int) -> None:
    assert predict(session, EXAMPLES / name)[0]["digit"] == digit


def test_a_photo_that_lies_on_its_side_is_turned_upright_and_boxes_are_those_of_the_file(
    session: onnxruntime.InferenceSession, tmp_path: Path
) -> None:
    image = Image.open(EXAMPLES / "seven.jpg").resize((1920, 1440)).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it by 90° clockwise
    image.save(tmp_path / "lying.jpg", exif=exif)

    picture, scale = load_picture(tmp_path / "lying.jpg")
    first = predict(session, tmp_path / "lying.jpg")[0]

    assert picture.shape == (768, 1024, 3)
    assert picture.dtype == np.uint8
    assert scale == pytest.approx(1024 / 1920)
    assert first["digit"] == 7
    assert overlap(first["box"], [3 * side for side in SEVEN]) > 0.5


def test_a_line_of_one_pixel_has_the_shortest_side_that_the_model_takes(
    session: onnxruntime.InferenceSession, tmp_path: Path
) -> None:
    Image.new("RGB", (600, 1), "white").save(tmp_path / "line.png")

    assert predict(session, tmp_path / "line.png") == []


def test_the_card_has_the_metadata_that_the_hub_asks_for(hub: Path) -> None:
    told = metadata(hub)
    record = find_model(Settings().model_store, "digits", SERVED).record
    (result,) = told["model-index"][0]["results"]

    assert (told["license"], told["pipeline_tag"], told["library_name"]) == ("mit", "image-classification", "onnx")
    assert "MIT" in (hub / "LICENSE").read_text(encoding="utf-8")
    assert result["metrics"][0]["value"] == record.metrics["mnist_test_accuracy"]


def test_what_the_card_shows_and_names_is_there_as_it_was_published(hub: Path) -> None:
    text = (hub / "README.md").read_text(encoding="utf-8")
    model = find_model(Settings().model_store, "digits", SERVED)

    assert {edition: (hub / name).read_bytes() for edition, name in FILES.items()} == model.read_editions()
    for picture in ("reliability.png", "risk-coverage.png"):
        assert f"]({picture})" in text
        assert (hub / picture).is_file()
    assert f"# Numeral, digits {model.record.version}" in text
