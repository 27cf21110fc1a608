"""Export and publication: checked against torch, complete, all or nothing."""

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from app.reading.infer.classifier import DigitClassifier
from app.reading.infer.store import ModelRecord, find_model
from tests.conftest import STUB_METADATA
from training.data.mnist import Split
from training.errors import ExportError, RunError
from training.files import write_json
from training.learning.config import TrainConfig
from training.learning.evaluate import infer
from training.learning.networks import MODELS
from training.publishing.calibrate import Calibration
from training.publishing.card import SPLITS
from training.publishing.export import OPSET, export, metadata, prove
from training.publishing.publish import FILES, PICTURES, publish
from training.publishing.uint8_edition import write_uint8

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


@pytest.mark.parametrize("name", MODELS)
def test_each_network_is_exported_and_agrees_with_torch(name: str, excerpt: Excerpt, tmp_path: Path) -> None:
    torch.manual_seed(0)

    difference = export(MODELS[name]().eval(), STUB_METADATA, torch.from_numpy(excerpt[0]), tmp_path / "model.onnx")

    assert difference < 1e-4
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]  # one file, weights inside


@pytest.mark.parametrize("batch", [1, 2, 64, 257])
def test_the_batch_axis_is_free(exported: Path, batch: int) -> None:
    session = ort.InferenceSession(exported)

    (logits,) = session.run(None, {"input": np.zeros((batch, 1, 28, 28), np.float32)})

    assert np.asarray(logits).shape == (batch, 10)


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


def test_a_refused_export_leaves_no_file(excerpt: Excerpt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.publishing.export.TOLERANCE", 0.0)

    with pytest.raises(ExportError):
        export(MODELS["mlp"](), STUB_METADATA, torch.from_numpy(excerpt[0]), tmp_path / "model.onnx")

    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def run(model: nn.Module, exported: Path, tmp_path: Path) -> Path:
    """The folder of a finished run."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(exported.read_bytes())
    write_uint8(folder / "model.onnx", np.zeros((1, 28, 28), np.uint8))
    torch.save(model.state_dict(), folder / "model.pth")
    write_json(folder / "config.json", asdict(TrainConfig()))
    judged = {f"{split}_{key}": 0.5 for split in SPLITS for key in ("accuracy", "loss", "errors")}
    write_json(folder / "metrics.json", {**judged, "parameters": 72_666, "evaluations": 1})
    confidence = {f"{s}_{k}": 0.25 for s in SPLITS for k in ("ece", "ece_uncalibrated", "coverage", "accepted_accuracy")}
    limits = {"temperature": 1.5, "threshold": 0.75, "least_energy": 2.5}
    write_json(folder / "calibration.json", {**confidence, **limits, "outliers_validation_coverage": 0.125})
    for name in PICTURES:
        (folder / name).write_bytes(b"a picture")
    return folder


@pytest.fixture
def validation(excerpt: Excerpt) -> Split:
    return Split(torch.from_numpy(excerpt[0][:70]), torch.from_numpy(excerpt[1][:70]).long())


def test_a_published_model_is_complete_and_serves(run: Path, validation: Split, tmp_path: Path) -> None:
    folder = publish(run, tmp_path / "store", validation)

    made = {"golden.npz", "reference.json", *FILES, *PICTURES}
    assert {path.name for path in folder.iterdir()} == {"model.json", "card.md", *made}
    record = ModelRecord.model_validate_json((folder / "model.json").read_text())
    published = find_model(tmp_path / "store", "digits", "latest")
    for name, digest in record.sha256.items():
        assert hashlib.sha256(published.path(name).read_bytes()).hexdigest() == digest
    assert set(record.sha256) == {*made, "model.uint8.onnx"}
    assert len(record.data_sha256) == 4
    classifier = DigitClassifier.load(published, "cpu", 1)
    assert classifier.infer(excerpt_glyphs(validation)).shape == (10, 10)


def excerpt_glyphs(validation: Split) -> NDArray[np.uint8]:
    glyphs: NDArray[np.uint8] = validation.images[:10].numpy()
    return glyphs


def test_versions_count_up_and_never_change(run: Path, validation: Split, tmp_path: Path) -> None:
    first = publish(run, tmp_path / "store", validation)
    before = (first / "model.json").read_bytes()

    second = publish(run, tmp_path / "store", validation)

    assert (first.name, second.name) == ("1", "2")
    assert (first / "model.json").read_bytes() == before


def test_an_unfinished_run_is_not_published(run: Path, validation: Split, tmp_path: Path) -> None:
    (run / "metrics.json").unlink()

    with pytest.raises(RunError, match=r"metrics\.json is missing"):
        publish(run, tmp_path / "store", validation)
    assert not (tmp_path / "store").exists()


def test_an_onnx_file_of_another_checkpoint_is_not_published(run: Path, validation: Split, tmp_path: Path) -> None:
    torch.manual_seed(1)
    torch.save(MODELS["small"]().state_dict(), run / "model.pth")

    with pytest.raises(ExportError, match="disagrees with torch"):
        publish(run, tmp_path / "store", validation)
    assert list((tmp_path / "store/digits").iterdir()) == []


def test_a_publication_that_fails_leaves_no_version(
    run: Path, validation: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> str:
        raise OSError("No space left on device")

    monkeypatch.setattr("training.publishing.publish.card", fail)
    with pytest.raises(OSError, match="No space left"):
        publish(run, tmp_path / "store", validation)

    assert list((tmp_path / "store/digits").iterdir()) == []


def test_the_card_and_tritons_config_say_what_the_model_is(run: Path, validation: Split, tmp_path: Path) -> None:
    folder = publish(run, tmp_path / "store", validation)

    config = (folder.parent / "config.pbtxt").read_text()
    assert 'platform: "onnxruntime_onnx"' in config
    assert "dims: [ 1, 28, 28 ]" in config
    card = (folder / "card.md").read_text()
    assert "72,666 parameters" in card
    assert "netron model.onnx" in card
    for figure in ("divided by 1.5", "at least 0.75", "2.5, as for all", "12.5% are accepted", "| 50.00% | – | 0.5 |"):
        assert figure in card
    assert "of one seed" in card
    assert json.loads((folder / "model.json").read_text())["config"]["model"] == "small"


def test_the_card_gives_mean_and_spread_over_the_seeds(run: Path, validation: Split, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(run, other)
    metrics = json.loads((run / "metrics.json").read_text())
    write_json(other / "metrics.json", metrics | {"mnist_test_accuracy": 0.7})

    folder = publish(run, tmp_path / "store", validation, (run, other))

    card = (folder / "card.md").read_text()
    assert "the best of 2 on validation (test, over the seeds: 60.00% ± 14.14)" in card
    assert "| mnist test | 50.00% | 60.00% ± 14.14 |" in card


def test_the_file_holds_the_results_of_calibration() -> None:
    about = metadata(Calibration(temperature=1.5, threshold=0.75, least_energy=2.5))

    assert (about.temperature, about.threshold, about.least_energy) == (1.5, 0.75, 2.5)
