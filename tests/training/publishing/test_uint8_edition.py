"""The uint8 edition: one file gives the service's own numbers, and is made the same each time."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from app.reading.infer.classifier import DigitClassifier
from app.reading.infer.store import StoredModel, find_model
from app.settings import Settings
from tests.conftest import STUB_METADATA, MakeStore
from tests.versions import SHIPPED
from training.errors import ExportError
from training.publishing import uint8_edition
from training.publishing.uint8_edition import to_uint8, write_uint8

Excerpt = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def random_glyphs(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, 28, 28), np.uint8)


def shipped() -> StoredModel:
    return find_model(Settings().model_store, "digits", SHIPPED)


GLYPHS: dict[str, Callable[[Excerpt], NDArray[np.uint8]]] = {
    "golden": lambda _: shipped().read_golden().glyphs,
    "the excerpt": lambda excerpt: excerpt[0],
    "random": lambda _: random_glyphs(200),
    "blank and full": lambda _: np.stack([np.zeros((28, 28), np.uint8), np.full((28, 28), 255, np.uint8)]),
}


@pytest.mark.parametrize("batch", [1, 64])
@pytest.mark.parametrize("kind", GLYPHS)
def test_the_edition_gives_the_services_numbers(kind: str, batch: int, excerpt: Excerpt) -> None:
    stored, glyphs = shipped(), GLYPHS[kind](excerpt)
    served = DigitClassifier.load(stored, "cpu", 1).predict(glyphs)
    session = ort.InferenceSession(stored.path("uint8"), providers=["CPUExecutionProvider"])

    answers = [session.run(None, {"glyph": glyphs[at : at + batch]}) for at in range(0, len(glyphs), batch)]
    probabilities, energy = (np.concatenate(parts) for parts in zip(*answers, strict=True))

    np.testing.assert_allclose(probabilities, served.probabilities, atol=2e-6)
    np.testing.assert_allclose(energy, served.energy, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), served.probabilities.argmax(axis=1))


def test_the_edition_describes_its_inputs_outputs_and_model() -> None:
    stored = shipped()
    path = stored.path("uint8")
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    model, original = onnx.load(path), onnx.load(stored.path("float32"))

    assert [(put.name, put.type, put.shape) for put in session.get_inputs()] == [("glyph", "tensor(uint8)", ["batch", 28, 28])]
    assert [(put.name, put.type, put.shape) for put in session.get_outputs()] == [
        ("probabilities", "tensor(float)", ["batch", 10]),
        ("energy", "tensor(float)", ["batch"]),
    ]
    assert list(model.metadata_props) == list(original.metadata_props)
    assert {node.domain for node in model.graph.node} == {""}  # standard operators only
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in model.graph.initializer)  # one file


def test_the_stored_edition_is_the_one_made_from_the_stored_model(tmp_path: Path) -> None:
    stored = shipped()
    shutil.copy(stored.path("float32"), tmp_path)

    made = write_uint8(tmp_path / "model.onnx", random_glyphs(2))

    assert made.read_bytes() == stored.path("uint8").read_bytes()


def test_mean_deviation_and_temperature_come_from_the_file(make_store: MakeStore) -> None:
    about = STUB_METADATA.model_copy(update={"mean": 0.5, "std": 0.25, "temperature": 3.0})
    path = make_store(about, logits=(3, *[0] * 9)) / "digits/1/model.onnx"

    session = ort.InferenceSession(write_uint8(path, random_glyphs(2)))
    probabilities = session.run(["probabilities"], {"glyph": random_glyphs(1)})[0]

    assert np.asarray(probabilities)[0, 0] == pytest.approx(np.e / (np.e + 9))


def test_an_edition_with_different_answers_is_not_kept(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_store(STUB_METADATA.model_copy(update={"temperature": 2.0})) / "digits/1/model.onnx"
    before = sorted(path.parent.iterdir())

    def forget_to_calibrate(model: onnx.ModelProto) -> onnx.ModelProto:
        onnx.helper.set_model_props(model, STUB_METADATA.to_properties())
        return to_uint8(model)

    monkeypatch.setattr(uint8_edition, "to_uint8", forget_to_calibrate)
    with pytest.raises(ExportError, match=r"answers otherwise than the model: up to 0\.0"):
        write_uint8(path, random_glyphs(2))

    assert sorted(path.parent.iterdir()) == before


def test_an_edition_of_a_network_that_answers_no_numbers_is_not_kept(make_store: MakeStore) -> None:
    """Not a number is neither more nor less than a tolerance, and Python's max passes over it."""
    path = make_store(no_digit=float("nan")) / "digits/1/model.onnx"

    with pytest.raises(ExportError, match="up to nan apart"):
        write_uint8(path, random_glyphs(2))
    assert not path.with_name("model.uint8.onnx").exists()
