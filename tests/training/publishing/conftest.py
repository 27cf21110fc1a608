"""A candidate, which takes half a minute of CPU to export: it is made once, by the command that makes them."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from app.reading.infer.store import find_model
from app.settings import Settings
from tests.conftest import STUB_METADATA, write_mnist
from tests.once import made_once
from tests.training.commands import training
from tests.versions import SHIPPED, add_version, copy_shipped
from training.data.mnist import Split
from training.files import write_json
from training.learning.config import TrainConfig
from training.learning.networks import MODELS
from training.publishing.candidate import Candidate
from training.publishing.card import SPLITS
from training.publishing.export import export
from training.publishing.publish import PICTURES, Finder

Excerpt = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the candidate's tests first: as the last ones, they would keep one worker busy while the others have nothing to do."""
    items.sort(key=lambda item: "publishing" not in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def validation(excerpt: Excerpt) -> Split:
    return Split(torch.from_numpy(excerpt[0][:70]), torch.from_numpy(excerpt[1][:70]).long())


@pytest.fixture(scope="session")
def finder() -> Finder:
    return Finder.of_version(find_model(Settings().model_store, "digits", SHIPPED))


@pytest.fixture(scope="session")
def finished(excerpt: Excerpt, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished and exported run."""

    def make(folder: Path) -> None:
        torch.manual_seed(0)
        model = MODELS["small"]().eval()
        export(model, STUB_METADATA, torch.from_numpy(excerpt[0]), folder / "model.onnx")
        torch.save(model.state_dict(), folder / "model.pth")
        write_json(folder / "config.json", asdict(TrainConfig(smoke=True)))
        judged = {f"{split}_{key}": 0.5 for split in SPLITS for key in ("accuracy", "loss", "errors")}
        write_json(folder / "metrics.json", {**judged, "parameters": 72_666, "evaluations": 1})
        confidence = {f"{s}_{k}": 0.25 for s in SPLITS for k in ("ece", "ece_uncalibrated", "coverage", "accepted_accuracy")}
        limits = {"temperature": 1.5, "threshold": 0.75, "least_energy": 2.5}
        write_json(folder / "calibration.json", {**confidence, **limits, "outliers_validation_coverage": 0.125})
        for name in PICTURES:
            (folder / name).write_bytes(b"a picture")

    return made_once(tmp_path_factory, "finished", make)


@pytest.fixture(scope="session")
def publishing(finished: Path, excerpt: Excerpt, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where ``training publish`` was run on a finished run: its output, candidates, and a store with versions 1 and 3."""

    def make(place: Path) -> None:
        other, store, data = place / "other", place / "store", write_mnist(place / "data", *excerpt)
        shutil.copytree(finished, other)
        metrics = json.loads((finished / "metrics.json").read_text())
        write_json(other / "metrics.json", metrics | {"mnist_test_accuracy": 0.7})
        copy_shipped(store)
        add_version(store, "1")
        places = ("--store", store, "--candidates", place / "candidates", "--data-dir", data)
        done = training("publish", "--run", finished, "--seeds", finished, "--seeds", other, *places)
        (place / "output.txt").write_text(done.stdout)

    return made_once(tmp_path_factory, "publishing", make)


@pytest.fixture(scope="session")
def made(publishing: Path) -> Candidate:
    """The candidate for version 4, next to a store that has versions 1 and 3; of two seeds."""
    return Candidate.open(publishing / "candidates" / "digits-4")
