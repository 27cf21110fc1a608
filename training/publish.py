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
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from app.store import (
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
from training.calibrate import REFUSED, TARGET
from training.data import CLASSES, SHA256, Split
from training.edition import write_uint8
from training.errors import RunError
from training.evaluate import infer
from training.export import prove
from training.files import write_text
from training.models import MODELS, count_parameters
from training.reference import write_reference
from training.train import load_checkpoint, load_config

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


def publish(run: Path, store: Path, validation: Split, seeds: Sequence[Path] = ()) -> Path:
    """Puts a run's model into store/digits/ as the next version, all or nothing; returns its folder.

    The golden vectors are the validation split's first digit of each label, with the checkpoint's logits. seeds: runs
    of the same recipe, this one included, whose mean and spread the card tells.

    Raises:
        RunError: the run was not trained to its end, or not exported.
        ExportError: model.onnx is of another checkpoint.
    """
    for name in (*FILES, *PICTURES, "metrics.json", "calibration.json"):
        if not (run / name).is_file():
            raise RunError(f"{run / name} is missing: finish `train --resume` and `export` on this run first.")
    family = store / NAME
    family.mkdir(parents=True, exist_ok=True)
    number = str(max(map(int, versions(store, NAME)), default=0) + 1)
    beside = family / f".{number}.partial"
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir()
        for name in (*FILES, *PICTURES):
            shutil.copyfile(run / name, beside / name)
        glyphs = _first_of_each(validation)
        _write_golden(beside, load_checkpoint(beside / "model.pth", load_config(run).model), glyphs)
        write_reference(StoredModel(beside, _record(run, beside, number, seeds)), validation)
        write_uint8(beside / "model.onnx", glyphs.numpy())
        record = _record(run, beside, number, seeds)
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
    np.savez_compressed(folder / "golden.npz", glyphs=glyphs.numpy(), logits=logits.numpy())


def _record(run: Path, folder: Path, number: str, seeds: Sequence[Path]) -> ModelRecord:
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
        metrics=_figures_of(run) | _spread([_figures_of(seed) for seed in seeds]),
        libraries={name: version(name) for name in LIBRARIES},
        sha256={file.name: _sha256(file) for file in sorted(folder.iterdir())},
    )


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
    metrics, config = record.metrics, record.config
    note = SMOKE_NOTE if config["smoke"] else ""
    made = bool(config["photos"] or config["drawings"] or config["outliers"])
    return f"""\
{note}# {record.name} {record.version}

Reads one handwritten digit, 0 to 9, in a 28×28 glyph as MNIST has them: bright ink on black, the longer side 20
pixels, the centre of mass in the middle. Finding the glyph in a photo is the service's work, not the model's.

| | |
|---|---|
| architecture | `{record.architecture}`, {record.parameters:,} parameters |
| input | `{INPUT}`: float32 (N, 1, 28, 28), normalised with the mean and deviation in the file's metadata |
| output | `{LOGITS}`: float32 (N, 10); divided by the temperature, their softmax is the confidence |
| `{EDITIONS["uint8"]}` | `{GLYPH}`: uint8 (N, 28, 28); `{PROBABILITIES}`, calibrated, and `{ENERGY}`: float32 (N, 10), (N,) |
| made | {record.created}, seed {record.seed}, commit {record.commit} |

## Data

MNIST (Y. LeCun, C. Cortes, C. Burges; CC BY-SA 3.0): 54,000 digits to train on, 6,000 to choose by, stratified and
seeded. The 10,000 test digits were looked at once, after the checkpoint had been chosen.{MADE if made else AMERICAN}

## Recipe

{_recipe(config)}

## Figures

| split | right | of the seeds | wrong | cross-entropy | calibration error (before) | accepted | right of these | of the seeds |
|---|---|---|---|---|---|---|---|---|
{chr(10).join(_figures(metrics, split) for split in SPLITS if f"{split}_accuracy" in metrics)}

The checkpoint is the best on validation of {metrics["evaluations"]} evaluations, {_of_seeds(metrics)}; never by a look at the
test set. Figures in the literature that are picked on the test set, or come from several networks together, do not compare.

## Confidence and acceptance

The logits are divided by {metrics["temperature"]:g}, the temperature of least cross-entropy (arXiv:1706.04599) on
validation digits made hard. An answer is accepted where its confidence is at least {metrics["threshold"]:g}, from which on
{TARGET:.1%} of the answers on validation's photos and drawings are right (with 95 % certainty for pictures of their kind), and
where its energy score (arXiv:2010.03759) is at least {metrics["least_energy"]:g}, as for all but {REFUSED:.0%} of those
digits.{_not_digits(metrics)}{_of_test(metrics)}

![Share of right answers against confidence](reliability.png)

![Wrong among the accepted answers against the share accepted](risk-coverage.png)

## Limits

One digit at a time; several in one glyph are no digit to it. It is poor at digits whose strokes are cut off, at strokes
that fill their loops, and it cannot tell a letter that looks like a digit, such as O, l or S, from one. Made
photos are tidier than real ones: figures on them are for comparison.

How it stands noise, shadow, thin pens and the rest is in the project's docs/robustness.md; what it costs beside other
networks in docs/cost.md; how it reads real photos and drawings, USPS, optdigits and real letters, and what was tried, in
docs/experiments.md.

## Licence

The weights are under the project's licence, MIT. The data keep theirs, as above.

## Looking inside

`pip install netron && netron model.onnx` draws the graph in the browser, with shapes, weights and metadata.
"""


AMERICAN = """ Its writers are American: a 1
with a flag, a closed 4 or a crossed 7 are rare in it, and are read less well."""

MADE = """

Pen-Based Recognition of Handwritten Digits (E. Alpaydın, F. Alimoğlu, 1998; UCI, https://doi.org/10.24432/C5MG6K; CC BY 4.0):
pen strokes of 30 writers, 20 to train on, 5 to validate and 5 to test on: 1 with flag and foot, crossed 7 and closed 4,
which MNIST hardly has. They and MNIST's digits were written on made paper and canvases and found there by the service's
own code. What is no digit (letters of Hershey's fonts, signs, scribbles, shapes, textures, digits turned or joined) was
made likewise, others for validation than for training."""

SPLITS = (
    *("mnist_validation", "mnist_test", "photos_validation", "photos_test"),
    *("drawings_validation", "drawings_test"),
)


def _recipe(config: Mapping[str, Any]) -> str:
    lines = (f"| {name} | {', '.join(value) if isinstance(value, list | tuple) else value} |" for name, value in config.items())
    return "\n".join(("| setting | value |", "|---|---|", *lines))


def _figures(metrics: Mapping[str, float], split: str) -> str:
    accuracy, errors, loss = (metrics[f"{split}_{key}"] for key in ("accuracy", "errors", "loss"))
    after, before, coverage, accepted = (
        f"{metrics[f'{split}_{key}']:.2%}" for key in ("ece", "ece_uncalibrated", "coverage", "accepted_accuracy")
    )
    return (
        f"| {split.replace('_', ' ')} | {accuracy:.2%} | {_over_seeds(metrics, f'{split}_accuracy')} | {errors} | {loss:.4f} "
        f"| {after} ({before}) | {coverage} | {accepted} | {_over_seeds(metrics, f'{split}_accepted_accuracy')} |"
    )


def _over_seeds(metrics: Mapping[str, float], name: str) -> str:
    if f"{name}_mean" not in metrics:
        return "–"
    return f"{metrics[f'{name}_mean']:.2%} ± {100 * metrics[f'{name}_std']:.2f}"


def _of_seeds(metrics: Mapping[str, float]) -> str:
    if "seeds" not in metrics:
        return "of one seed"
    mean, deviation = metrics["mnist_test_accuracy_mean"], metrics["mnist_test_accuracy_std"]
    return f"the seed the best of {metrics['seeds']} on validation (test, over the seeds: {mean:.2%} ± {100 * deviation:.2f})"


def _not_digits(metrics: Mapping[str, float]) -> str:
    if "outliers_validation_coverage" not in metrics:
        return ""
    return (
        f" Of validation's made non-digits,\n{metrics['outliers_validation_coverage']:.1%} are accepted. Such are trained on "
        "(outlier exposure, arXiv:1812.04606), against a class of\nbackground whose logit is 0 (after arXiv:1811.04110)."
    )


def _of_test(metrics: Mapping[str, float]) -> str:
    """What became of the threshold's promise on writers that it was not fitted to."""
    if "photos_test_accepted_accuracy" not in metrics:
        return ""
    photos, drawings = (f"{metrics[f'{split}_test_accepted_accuracy']:.2%}" for split in ("photos", "drawings"))
    return (
        f"\nOf what the test's writers wrote, {photos} of the accepted photos are read rightly, and {drawings} of the drawings."
    )
