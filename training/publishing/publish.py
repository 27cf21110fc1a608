"""A run's model -> the model store: the next version, complete with record, golden vectors and card."""

import hashlib
import json
import os
import shutil
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from app.reading.infer.store import (
    EDITIONS,
    ENERGY,
    GLYPH,
    INPUT,
    LOGITS,
    PROBABILITIES,
    ModelRecord,
    StoredModel,
    find_model,
    uint8_folder,
    uint8_name,
    versions,
)
from training.data.mnist import CLASSES, SHA256, Split
from training.errors import RunError
from training.files import write_text
from training.learning.checkpoints import load_checkpoint, load_config
from training.learning.evaluate import infer
from training.learning.networks import MODELS, count_parameters
from training.publishing.card import card
from training.publishing.drift_reference import write_reference
from training.publishing.export import NO_DIGIT, prove
from training.publishing.uint8_edition import prove_uint8, write_uint8

NAME = "digits"
FILES = ("model.onnx", "model.pth")
PICTURES = ("reliability.png", "risk-coverage.png")
LIBRARIES = ("torch", "torchvision", "onnx", "onnxruntime", "numpy")

UINT8_NAME = uint8_name(NAME)

# For Triton. A scalar of each row cannot be told otherwise than as one number that is reshaped.
CONFIGS = {
    NAME: f"""\
name: "{NAME}"
platform: "onnxruntime_onnx"
max_batch_size: 64
input [ {{ name: "{INPUT}", data_type: TYPE_FP32, dims: [ 1, 28, 28 ] }} ]
output [ {{ name: "{LOGITS}", data_type: TYPE_FP32, dims: [ {CLASSES} ] }} ]
dynamic_batching {{ }}
version_policy: {{ latest: {{ num_versions: 1 }} }}
""",
    UINT8_NAME: f"""\
name: "{UINT8_NAME}"
platform: "onnxruntime_onnx"
default_model_filename: "{EDITIONS["uint8"]}"
max_batch_size: 64
input [ {{ name: "{GLYPH}", data_type: TYPE_UINT8, dims: [ 28, 28 ] }} ]
output [
  {{ name: "{PROBABILITIES}", data_type: TYPE_FP32, dims: [ {CLASSES} ] }},
  {{ name: "{ENERGY}", data_type: TYPE_FP32, dims: [ 1 ], reshape: {{ shape: [ ] }} }}
]
dynamic_batching {{ }}
version_policy: {{ latest: {{ num_versions: 1 }} }}
""",
}


def publish(run: Path, store: Path, validation: Split, seeds: Sequence[Path] = (), number: str | None = None) -> Path:
    """Puts a run's model into store/digits/ as that version or the next one, all or nothing; returns its folder.

    The golden vectors are the validation split's first digit of each label, with the checkpoint's logits. seeds: runs
    of the same recipe, this one included, whose mean and spread the card tells.

    Raises:
        RunError: the run was not trained to its end, or not exported.
        ExportError: model.onnx is of another checkpoint, or its uint8 edition of another model.onnx.
    """
    for name in (*FILES, *PICTURES, EDITIONS["uint8"], "metrics.json", "calibration.json"):
        if not (run / name).is_file():
            raise RunError(f"{run / name} is missing: finish `train --resume` and `export` on this run first.")
    family = store / NAME
    family.mkdir(parents=True, exist_ok=True)
    number = number or str(max(map(int, versions(store, NAME)), default=0) + 1)
    beside = family / f".{number}.partial"
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir()
        for name in (*FILES, *PICTURES):
            shutil.copyfile(run / name, beside / name)
        glyphs = _first_of_each(validation)
        _write_golden(beside, load_checkpoint(beside / "model.pth", load_config(run).model), glyphs)
        record = _record(run, number, seeds)
        write_reference(StoredModel(beside, _seal(record, beside)), validation)
        shutil.copyfile(run / EDITIONS["uint8"], beside / EDITIONS["uint8"])
        prove_uint8(beside / EDITIONS["uint8"], beside / "model.onnx", glyphs.numpy())
        record = _seal(record, beside)
        write_text(beside / "model.json", record.model_dump_json(indent=2) + "\n")
        write_text(beside / "card.md", card(record))
        _write_configs(store)
        os.sync()
        _place_edition(beside / EDITIONS["uint8"], family / number)
        return beside.rename(family / number)
    except BaseException:
        for folder in (beside, uint8_folder(family / number)):
            shutil.rmtree(folder, ignore_errors=True)
        raise


def add_editions(store: Path) -> list[Path]:
    """Writes the uint8 edition of each version in store/digits/ that was published without it, and returns their files.

    Raises:
        StartupError: a version's files are not those that were published.
        ExportError: write_uint8's.
    """
    _write_configs(store)
    models = [find_model(store, NAME, number) for number in versions(store, NAME)]
    return [_add_edition(model) for model in models if EDITIONS["uint8"] not in model.record.sha256]


def _add_edition(model: StoredModel) -> Path:
    model.read_onnx()  # refuses what is not the published file
    path = write_uint8(model.folder / EDITIONS["float32"], model.read_golden()[0])
    path = _place_edition(path, model.folder)
    digests = {**model.record.sha256, path.name: _sha256(path)}
    record = model.record.model_copy(update={"sha256": dict(sorted(digests.items()))})
    write_text(model.folder / "model.json", record.model_dump_json(indent=2) + "\n")
    return path


def _write_configs(store: Path) -> None:
    for name, config in CONFIGS.items():
        (store / name).mkdir(exist_ok=True)
        write_text(store / name / "config.pbtxt", config)


def _place_edition(file: Path, version: Path) -> Path:
    """Moves a uint8 edition to where it belongs beside a version's folder."""
    folder = uint8_folder(version)
    folder.mkdir(exist_ok=True)
    return file.replace(folder / file.name)


def _first_of_each(validation: Split) -> Tensor:
    """The first glyph of each label: (10, 28, 28) uint8."""
    first = torch.stack([torch.nonzero(validation.labels == label).flatten()[0] for label in range(CLASSES)])
    return validation.images[first]


def _write_golden(folder: Path, checkpoint: nn.Module, glyphs: Tensor) -> None:
    logits = infer(checkpoint, glyphs)
    prove(folder / "model.onnx", glyphs, logits)
    arrays = {"glyphs": glyphs.numpy(), "logits": logits[:, :CLASSES].numpy()}
    if logits.shape[1] > CLASSES:
        arrays[NO_DIGIT] = logits[:, CLASSES:].numpy()
    np.savez_compressed(folder / "golden.npz", allow_pickle=False, **arrays)


def _record(run: Path, number: str, seeds: Sequence[Path]) -> ModelRecord:
    """What a version is; _seal adds the sha256 of its files."""
    config = load_config(run)
    return ModelRecord(
        name=NAME,
        version=number,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        architecture=config.model,
        parameters=count_parameters(MODELS[config.model]()),
        seed=config.seed,
        commit=commit(),
        config=asdict(config),
        data_sha256={} if config.smoke else SHA256,
        metrics=_figures_of(run) | _spread([_figures_of(seed) for seed in seeds]),
        libraries={name: version(name) for name in LIBRARIES},
        sha256={},
    )


def _seal(record: ModelRecord, folder: Path) -> ModelRecord:
    """The record with the sha256 of each file in the folder."""
    return record.model_copy(update={"sha256": {file.name: _sha256(file) for file in sorted(folder.iterdir())}})


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _figures_of(run: Path) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name in ("metrics.json", "calibration.json"):
        if (run / name).is_file():
            figures |= json.loads((run / name).read_text(encoding="utf-8"))
    return figures


def _spread(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean and standard deviation of each split's accuracy over the seeds, and how many they are."""
    if len(runs) < 2:
        return {}
    spread: dict[str, float] = {"seeds": len(runs)}
    for name in (name for name in runs[0] if name.endswith("_accuracy") and all(name in run for run in runs)):
        values = [run[name] for run in runs]
        spread |= {f"{name}_mean": statistics.mean(values), f"{name}_std": statistics.stdev(values)}
    return spread


def commit() -> str:
    """The git commit that the code is of, or unknown."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=True)  # noqa: S603, S607
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "..", "../../app") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
