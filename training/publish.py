"""A run's model -> the model store: the next version, complete with record, golden vectors and card."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import nn

from app.store import ModelRecord, versions
from training.data import CLASSES, SHA256, Split
from training.errors import RunError
from training.evaluate import infer
from training.export import INPUT, OUTPUT, prove
from training.files import write_text
from training.models import MODELS, count_parameters
from training.train import load_checkpoint, load_config

NAME = "digits"
LIBRARIES = ("torch", "torchvision", "onnx", "onnxruntime", "numpy")

CONFIG_PBTXT = f"""\
name: "{NAME}"
platform: "onnxruntime_onnx"
max_batch_size: 64
input [ {{ name: "{INPUT}", data_type: TYPE_FP32, dims: [ 1, 28, 28 ] }} ]
output [ {{ name: "{OUTPUT}", data_type: TYPE_FP32, dims: [ {CLASSES} ] }} ]
dynamic_batching {{ }}
version_policy: {{ latest: {{ num_versions: 1 }} }}
"""


def publish(run: Path, store: Path, validation: Split) -> Path:
    """Puts a run's model into store/digits/ as the next version, all or nothing; returns its folder.

    The golden vectors are the validation split's first digit of each label, with the checkpoint's logits.

    Raises:
        RunError: the run was not trained to its end, or not exported.
        ExportError: model.onnx is of another checkpoint.
    """
    for name in ("model.pth", "metrics.json", "model.onnx"):
        if not (run / name).is_file():
            raise RunError(f"{run / name} is missing: finish `train --resume` and `export` on this run first.")
    family = store / NAME
    family.mkdir(parents=True, exist_ok=True)
    number = str(max(map(int, versions(store, NAME)), default=0) + 1)
    beside = family / f".{number}.partial"
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir()
        for name in ("model.onnx", "model.pth"):
            shutil.copyfile(run / name, beside / name)
        _write_golden(beside, load_checkpoint(beside / "model.pth", load_config(run).model), validation)
        record = _record(run, beside, number)
        write_text(beside / "model.json", record.model_dump_json(indent=2) + "\n")
        write_text(beside / "card.md", card(record))
        write_text(family / "config.pbtxt", CONFIG_PBTXT)
        os.sync()
        return beside.rename(family / number)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _write_golden(folder: Path, checkpoint: nn.Module, validation: Split) -> None:
    first = torch.stack([torch.nonzero(validation.labels == label).flatten()[0] for label in range(CLASSES)])
    glyphs = validation.images[first]
    logits = infer(checkpoint, glyphs)
    prove(folder / "model.onnx", glyphs, logits)
    np.savez_compressed(folder / "golden.npz", glyphs=glyphs.numpy(), logits=logits.numpy())


def _record(run: Path, folder: Path, number: str) -> ModelRecord:
    config = load_config(run)
    return ModelRecord(
        name=NAME,
        version=number,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        architecture=config.model,
        parameters=count_parameters(MODELS[config.model]()),
        seed=config.seed,
        commit=_commit(),
        config=asdict(config),
        data_sha256={} if config.smoke else SHA256,
        metrics=json.loads((run / "metrics.json").read_text(encoding="utf-8")),
        libraries={name: version(name) for name in LIBRARIES},
        sha256={file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())},
    )


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=True)  # noqa: S603, S607
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", ".", "../app") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


SMOKE_NOTE = """\
**Made by a smoke run, on a few digits: to try the path, not to read with. What follows on data and figures does not hold.**

"""


def card(record: ModelRecord) -> str:
    """The model card in Markdown, after Mitchell et al. 2019, Model Cards for Model Reporting, arXiv:1810.03993."""
    note = SMOKE_NOTE if record.config["smoke"] else ""
    return f"""\
{note}# {record.name} {record.version}

Reads one handwritten digit, 0 to 9, in a 28×28 glyph as MNIST has them: bright ink on black, the longer side 20
pixels, the centre of mass in the middle. Finding the glyph in a photo is the service's work, not the model's.

| | |
|---|---|
| architecture | `{record.architecture}`, {record.parameters:,} parameters |
| input | `{INPUT}`: float32 (N, 1, 28, 28), normalised with the mean and deviation in the file's metadata |
| output | `{OUTPUT}`: float32 (N, 10); their softmax is not calibrated yet |
| made | {record.created}, seed {record.seed}, commit {record.commit} |

## Data

MNIST (Y. LeCun, C. Cortes, C. Burges; CC BY-SA 3.0): 54,000 digits to train on, 6,000 to choose by, stratified and
seeded. The 10,000 test digits were looked at once, after the checkpoint had been chosen. Its writers are American: a 1
with a flag, a closed 4 or a crossed 7 are rare in it, and are read less well.

## Figures

| split | right | wrong | cross-entropy |
|---|---|---|---|
{_figures(record.metrics, "validation")}
{_figures(record.metrics, "test")}

The checkpoint is the best on validation of {record.metrics["evaluations"]} evaluations. Confidence is the
uncalibrated softmax, and answers under 0.5 are not accepted. Neither are those whose energy score (arXiv:2010.03759) is
lower than that of 98 in 100 validation digits: most letters and signs.

## Looking inside

`pip install netron && netron model.onnx` draws the graph in the browser, with shapes, weights and metadata.
"""


def _figures(metrics: Mapping[str, float], split: str) -> str:
    accuracy, errors, loss = (metrics[f"mnist_{split}_{key}"] for key in ("accuracy", "errors", "loss"))
    return f"| {split} | {accuracy:.2%} | {errors} | {loss:.4f} |"
