"""A finished run and a finder -> a version: its files in all their folders, one record that names them, and a card."""

import hashlib
import json
import shutil
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from app.reading.infer.record import FOLDERS, FinderRecord, ModelRecord
from app.reading.infer.store import READER, RECORD, REFERENCE, StoredModel
from training.data.mnist import SHA256, Split
from training.errors import RunError
from training.files import write_text
from training.learning.checkpoints import FINDER_WEIGHTS, METRICS, load_checkpoint, load_config, load_finished
from training.learning.finder import Looking
from training.learning.networks import MODELS, count_parameters
from training.learning.sources import open_finder
from training.publishing.calibrate import Calibration
from training.publishing.card import MISREAD, card
from training.publishing.drift_reference import write_reference
from training.publishing.finder_export import export_finder, prove_finder
from training.publishing.golden import add_pictures, draw_pictures, first_of_each, read_glyphs, write_golden
from training.publishing.reader_export import Portable, export_reader
from training.publishing.triton import write_configs
from training.publishing.uint8_edition import read_metadata, write_uint8

NAME = "digits"
FILES = ("model.onnx", "model.pth")
PICTURES = ("reliability.png", "risk-coverage.png")
LIBRARIES = ("torch", "torchvision", "onnx", "onnxruntime", "numpy")
CARD, REPORT = "card.md", "report.md"  # written from the record, and by the gate
PROOFS = 4  # pictures of noise that the finder's export is proven on


@dataclass(frozen=True)
class Finder:
    """A finder that a version may have: its checkpoint, what it is, and its ONNX file where a version has it already."""

    weights: Path
    record: FinderRecord
    graph: Path | None = None

    @classmethod
    def of_run(cls, run: Path) -> "Finder":
        """The finder that a run has trained.

        Raises:
            RunError: it is not a finished run of a finder, or its checkpoint is damaged.
        """
        config = load_finished(run, "finder")
        record = FinderRecord(
            architecture=config.model,
            parameters=count_parameters(load_checkpoint(run / "model.pth", config.model)),
            commit=commit(),
            config=asdict(config),
            metrics=json.loads((run / METRICS).read_text(encoding="utf-8")),
        )
        return cls(run / "model.pth", record)

    @classmethod
    def of_version(cls, model: StoredModel) -> "Finder":
        """The finder of a version.

        Raises:
            RunError: its checkpoint is not there.
        """
        weights = open_finder(model.folder).weights
        assert model.record.finder  # noqa: S101  otherwise, there is no checkpoint of it
        return cls(weights, model.record.finder, model.path("finder"))


def write_version(  # noqa: PLR0913, PLR0917
    run: Path, finder: Finder, store: Path, number: str, validation: Split, seeds: Sequence[Path]
) -> StoredModel:
    """Writes a run's classifier and a finder into a store as a version, complete.

    The golden vectors are the validation split's first digit of each label, with the checkpoint's logits. seeds: runs
    of the same recipe, this one included, whose mean and spread the card tells.

    Raises:
        RunError: the run is not a classifier's, was not trained to its end, or not exported.
        ExportError: model.onnx is of another checkpoint, or what is exported answers otherwise than torch.
    """
    load_finished(run, "classifier")
    for name in (*FILES, *PICTURES, "calibration.json"):
        if not (run / name).is_file():
            raise RunError(f"{run / name} is missing: `export` this run first.")
    folder = store / NAME / number
    folder.mkdir(parents=True)
    for name in (*FILES, *PICTURES):
        shutil.copyfile(run / name, folder / name)
    record = _record(run, finder, number, seeds)
    write_golden(folder, record, first_of_each(validation))
    _write_finder(finder, store / record.edition("finder"))
    write_configs(store, NAME, number)
    return complete(StoredModel(folder, record), validation)


def _write_finder(finder: Finder, path: Path) -> None:
    """Writes a finder's checkpoint and its ONNX file, which is that of the version that it comes from, if any."""
    path.parent.mkdir(parents=True)
    shutil.copyfile(finder.weights, path.with_name(FINDER_WEIGHTS))
    network = load_checkpoint(finder.weights, finder.record.architecture)
    noise = torch.randint(256, (PROOFS, 3, 96, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    if finder.graph is None:
        export_finder(network, noise, path)
    else:
        shutil.copyfile(finder.graph, path)
        prove_finder(path, Looking(network).eval(), noise)


def complete(model: StoredModel, validation: Split) -> StoredModel:
    """Makes anew what follows from a version's two networks: editions, golden pictures, drift reference, record and card.

    Raises:
        ExportError: what is exported answers otherwise than torch, or model.onnx is of another checkpoint.
    """
    record = model.record.model_copy(update={"reader": READER})
    folder, store = model.folder, model.store
    (folder / REFERENCE).unlink(missing_ok=True)
    glyphs = read_glyphs(folder)
    write_golden(folder, record, glyphs)
    _write_uint8(store, record, glyphs.numpy())
    _write_reader(store, record, glyphs.numpy())
    add_pictures(StoredModel(folder, seal(record, store)))
    write_reference(StoredModel(folder, seal(record, store)), validation)
    record = seal(record, store)
    write_text(folder / RECORD, record.model_dump_json(indent=2) + "\n")
    write_text(folder / CARD, card(record))
    return StoredModel(folder, record)


def _write_uint8(store: Path, record: ModelRecord, glyphs: NDArray[np.uint8]) -> None:
    classifier, path = store / record.edition("float32"), store / record.edition("uint8")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_uint8(classifier, glyphs).replace(path)


def _write_reader(store: Path, record: ModelRecord, glyphs: NDArray[np.uint8]) -> None:
    if record.finder is None:
        raise RunError(f"The record of {record.name}/{record.version} names no finder.")
    finder = load_checkpoint((store / record.edition("finder")).with_name(FINDER_WEIGHTS), record.finder.architecture)
    classifier = load_checkpoint(store / record.key("model.pth"), record.architecture)
    path = store / record.edition("reader")
    path.parent.mkdir(parents=True, exist_ok=True)
    portable = Portable(finder, classifier, read_calibration(store / record.edition("float32")))
    export_reader(portable, [torch.from_numpy(each) for each in draw_pictures(glyphs)], path)


def read_calibration(path: Path) -> Calibration:
    """The calibration that a classifier's ONNX file holds."""
    about = read_metadata(onnx.load(path))
    return Calibration(about.temperature, about.threshold, about.least_energy)


def _record(run: Path, finder: Finder, number: str, seeds: Sequence[Path]) -> ModelRecord:
    """What a version is; seal adds the sha256 of its files."""
    config = load_config(run)
    return ModelRecord(
        name=NAME,
        version=number,
        reader=READER,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        architecture=config.model,
        parameters=count_parameters(MODELS[config.model]()),
        seed=config.seed,
        commit=commit(),
        config=asdict(config),
        data_sha256={} if config.smoke else SHA256,
        metrics=_figures_of(run) | _spread([_figures_of(seed) for seed in seeds]),
        libraries={name: version(name) for name in LIBRARIES},
        finder=finder.record,
        sha256={},
    )


def seal(record: ModelRecord, store: Path) -> ModelRecord:
    """The record with the sha256 of each file in its version's folders, but itself and what is only read by people."""
    folders = [(store / record.edition(edition)).parent for edition in FOLDERS]
    files = sorted(
        file
        for folder in folders
        if folder.is_dir()
        for file in folder.iterdir()
        if file.name not in (RECORD, CARD, REPORT, MISREAD)
    )
    return record.model_copy(update={"sha256": {file.relative_to(store).as_posix(): _sha256(file) for file in files}})


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
