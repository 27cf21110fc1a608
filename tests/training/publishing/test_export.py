"""Export: one file, checked against torch."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from tests.conftest import STUB_METADATA
from training.errors import ExportError
from training.learning.evaluate import infer
from training.learning.networks import MODELS
from training.publishing.calibrate import Calibration
from training.publishing.export import OPSET, export, metadata, prove

Excerpt = tuple[NDArray[np.uint8], NDArray[np.uint8]]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return MODELS["small"]().eval()


@pytest.fixture(scope="module")
def exported(model: nn.Module, excerpt: Excerpt, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    export(model, STUB_METADATA, torch.from_numpy(excerpt[0]), path)
    return path


SERVED = "open"  # the others are exported by the long tests


@pytest.mark.parametrize("name", [name if name == SERVED else pytest.param(name, marks=pytest.mark.long) for name in MODELS])
def test_each_network_is_exported_and_agrees_with_torch(name: str, excerpt: Excerpt, tmp_path: Path) -> None:
    torch.manual_seed(0)

    difference = export(MODELS[name]().eval(), STUB_METADATA, torch.from_numpy(excerpt[0][:50]), tmp_path / "model.onnx")

    assert difference < 1e-4
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]  # one file, weights inside


@pytest.mark.parametrize("batch", [1, 2, 64, 257])
def test_the_batch_axis_is_free(exported: Path, batch: int) -> None:
    session = ort.InferenceSession(exported)

    logits, none = session.run(["logits", "no_digit"], {"input": np.zeros((batch, 1, 28, 28), np.float32)})

    assert (np.asarray(logits).shape, np.asarray(none).shape) == ((batch, 10), (batch, 1))
    assert not np.asarray(none).any()  # this network has no such logit


def test_the_file_says_how_to_use_it_and_nothing_about_the_machine(exported: Path) -> None:
    loaded = onnx.load(exported)

    assert {entry.key: entry.value for entry in loaded.metadata_props} == STUB_METADATA.to_properties()
    assert [(entry.domain, entry.version) for entry in loaded.opset_import] == [("", OPSET)]
    assert b"/" + Path(__file__).parts[1].encode() not in exported.read_bytes()
    assert b".py" not in exported.read_bytes()
    assert all(not node.metadata_props and not node.doc_string for node in loaded.graph.node)


def test_a_file_that_disagrees_with_torch_is_refused(model: nn.Module, exported: Path, excerpt: Excerpt) -> None:
    images = torch.from_numpy(excerpt[0])
    logits = infer(model, images)

    with pytest.raises(ExportError, match=r"in batches of 1: 0 other digits of 500, logits up to 0\.001"):
        prove(exported, images, logits + 1e-3)
    with pytest.raises(ExportError, match="500 other digits of 500"):
        prove(exported, images, -logits)


def test_a_network_that_answers_no_numbers_is_refused(exported: Path, excerpt: Excerpt) -> None:
    """Not a number is neither more nor less than a tolerance, and Python's max passes over it."""
    images = torch.from_numpy(excerpt[0])

    with pytest.raises(ExportError, match="logits up to nan apart"):
        prove(exported, images, torch.full((len(images), 10), torch.nan))


def test_a_refused_export_leaves_no_file(excerpt: Excerpt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.publishing.export.TOLERANCE", 0.0)

    with pytest.raises(ExportError):
        export(MODELS["mlp"](), STUB_METADATA, torch.from_numpy(excerpt[0]), tmp_path / "model.onnx")

    assert list(tmp_path.iterdir()) == []


def test_the_file_holds_the_results_of_calibration() -> None:
    about = metadata(Calibration(temperature=1.5, threshold=0.75, least_energy=2.5))

    assert (about.temperature, about.threshold, about.least_energy) == (1.5, 0.75, 2.5)
