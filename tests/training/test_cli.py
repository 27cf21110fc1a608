"""``python -m training``: the whole training in seconds, and clear errors."""

import io
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from app.reading.infer.store import find_model
from tests.conftest import MakeStore
from tests.training.commands import training
from tests.versions import add_version
from training.cli import runs
from training.data.mnist import Split
from training.learning.checkpoints import METRICS
from training.learning.config import TrainConfig
from training.learning.loop import Evaluation
from training.publishing.candidate import choose_finder
from training.publishing.plots import plot_confusion, plot_mistakes


def test_a_few_digits_go_through_the_whole_training(mnist_dir: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    data = ("--data-dir", mnist_dir)

    trained = training("train", "--smoke", "--run", run, "--model", "small", "--augment", "all", "--tensorboard", *data)
    training("export", "--run", run, *data)
    report = training("report", run)

    names = {
        "model.pth",
        "last.pth",
        "config.json",
        "history.jsonl",
        "metrics.json",
        "calibration.json",
        "model.onnx",
        "model.uint8.onnx",
    }
    pictures = {"curves.png", "confusion.png", "mistakes.png", "reliability.png", "risk-coverage.png"}
    found = {path.name for path in run.iterdir()}
    assert {name for name in found if not name.startswith("events.out.tfevents.")} == names | pictures
    assert len(found) == len(names | pictures) + 1  # and the log for TensorBoard
    for name in pictures:
        assert np.asarray(Image.open(run / name).convert("L")).std() > 5  # something is drawn
    assert "validation: loss" in trained.stdout
    assert "epoch  0.38  step     5" in trained.stdout
    assert torch.load(run / "model.pth", weights_only=True).keys()
    assert json.loads((run / "metrics.json").read_text())["mnist_test_accuracy"] <= 1
    assert "small, augment" in report.stdout

    training("average", run, run, "--run", tmp_path / "mean", *data)
    training("export", "--run", tmp_path / "mean", *data)
    again = training("average", run, run, "--run", tmp_path / "mean", *data, status=1)

    assert json.loads((tmp_path / "mean/config.json").read_text())["start"] == f"the mean of {run} and {run}"
    figures, same = (json.loads((folder / "metrics.json").read_text()) for folder in (run, tmp_path / "mean"))
    assert same == {name: value for name, value in figures.items() if name in same}
    assert again.stderr.startswith(f"training: {tmp_path / 'mean'} already holds a run.")


def train_and_export(folder: Path, data: tuple[str, Path]) -> None:
    """A finder, its mean with itself, and a classifier that learns what that finds: folder/finder, folder/mean, folder/run."""
    finder, run = folder / "finder", folder / "run"
    trained = training("train", "--smoke", "--model", "finder", "--scenes", "24", "--run", finder, *data)
    training("average", finder, finder, "--run", folder / "mean", *data)
    found = ("--finder", folder / "mean", "--glyphs", "0.5", "--outliers", "0.1")
    training("train", "--smoke", "--model", "open", *found, "--run", run, *data)
    exported = training("export", "--run", run, *data)

    assert "second look" in trained.stdout
    assert "agrees with torch" in exported.stdout


@pytest.mark.long
def test_a_finder_and_its_classifier_become_a_version_that_is_served(mnist_dir: Path, tmp_path: Path) -> None:
    """The candidate's report compares it with what is served."""
    run, candidates, store = (tmp_path / name for name in ("run", "candidates", "store"))
    data = ("--data-dir", mnist_dir)
    add_version(store, "1")
    train_and_export(tmp_path, data)
    found = choose_finder(tmp_path / "mean", store)

    published = training("publish", "--run", run, "--store", store, "--candidates", candidates, *data)
    report = (candidates / "digits-2/report.md").read_text()
    training("promote", candidates / "digits-2", "--store", store)
    training("select", "2", "--store", store)

    assert (found.record.architecture, found.graph) == ("finder", None)
    assert json.loads((run / "config.json").read_text())["finder"] == str(tmp_path / "mean")
    assert f"python -m training promote {candidates / 'digits-2'}" in published.stdout
    assert "| MNIST | 20 |" in report
    assert (store / "digits_uint8/2/model.uint8.onnx").read_bytes() == (run / "model.uint8.onnx").read_bytes()
    assert find_model(store, "digits", "served").record.version == "2"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["train", "--model", "huge"], 2, "none of mlp, cnn, small, lean, deep"),
        (["train", "--epochs", "0"], 2, "epochs"),
        (["train", "--device", "tpu"], 2, "none of cpu, cuda"),
        (["train", "--augment", "affine,warp"], 2, "warp: none of affine"),
        (["train", "--recipe", "cake"], 2, "none of plain, finder"),
        (["train", "--teacher", "nowhere"], 1, "holds no run"),
        (["train", "--without", "lights"], 2, "small is not a finder"),
        (["train", "--resume"], 1, "Say which run to go on with"),
        (["train", "--run", "nowhere", "--resume"], 1, "holds no run"),
        (["export", "--run", "nowhere"], 1, "holds no run"),
        (["report", "nowhere"], 1, "holds no run"),
        (["fly"], 2, "No such command"),
    ],
    ids=[
        "model",
        "epochs",
        "device",
        "augment",
        "recipe",
        "teacher",
        "without",
        "resume without a run",
        "resume of nothing",
        "export",
        "report",
        "command",
    ],
)
def test_wrong_flags_are_reported(arguments: list[str], status: int, message: str, mnist_dir: Path) -> None:
    data = ["--data-dir", str(mnist_dir), "--smoke"] if arguments[0] == "train" else []

    done = training(*arguments, *data, status=status)

    assert message in done.stderr


def write_run(folder: Path, accuracy: float, **config: object) -> Path:
    """The folder of a finished run, without weights that count."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(asdict(TrainConfig(**config))))  # type: ignore[arg-type]
    figures = {"mnist_validation_accuracy": accuracy, "mnist_test_accuracy": accuracy, "parameters": 1000}
    (folder / METRICS).write_text(json.dumps(figures))
    (folder / "model.pth").write_bytes(b"weights")
    return folder


def test_an_unfinished_run_is_not_exported_averaged_or_published(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", 0.9)
    (run / METRICS).unlink()

    for command in (("export", "--run", run), ("average", run, run, "--run", tmp_path / "mean"), ("publish", "--run", run)):
        done = training(*command, status=1)
        assert "metrics.json is missing: train the run to its end first" in done.stderr


def test_a_finder_is_neither_exported_nor_published_as_a_classifier(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", 0.9, model="finder")

    for command in ("export", "publish"):
        done = training(command, "--run", run, status=1)
        assert "is not the run of a classifier: its network is finder" in done.stderr


def test_the_report_takes_only_runs_that_differ_in_nothing_but_their_seed_for_seeds(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / "0", 0.980, seed=0, epochs=3),
        write_run(tmp_path / "1", 0.982, seed=1, epochs=3),
        write_run(tmp_path / "2", 0.990, seed=0, epochs=12),
        write_run(tmp_path / "3", 0.995, seed=0, augment=("affine",)),
        write_run(tmp_path / "4", 0.500, model="finder"),
    ]

    told = training("report", *runs).stdout

    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in told.splitlines() if line.startswith("│")]
    assert rows == [
        ["small, epochs 3", "1,000", "2", "98.10 ± 0.14", "98.10 ± 0.14"],
        ["small, epochs 12", "1,000", "1", "99.00", "99.00"],
        ["small, augment", "1,000", "1", "99.50", "99.50"],
    ]
    assert f"{runs[-1]} is left out: it is a finder's." in told


def test_a_swapped_file_is_neither_selected_nor_promoted(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store()
    (store / "digits/1/model.onnx").write_bytes(b"another")

    selected = training("select", "1", "--store", store, status=1)
    (store / "digits/served").unlink()  # a candidate has none
    promoted = training("promote", store, "--store", tmp_path / "other", status=1)

    assert "is not the file that was published" in selected.stderr
    assert "is not the file that was published" in promoted.stderr


def test_a_version_is_selected(make_store: MakeStore) -> None:
    make_store()
    store = make_store(version="2")

    done = training("select", "2", "--store", store)

    assert "digits/2 is served from the next start on" in done.stdout
    assert (store / "digits/served").read_text() == "2\n"


def test_the_bar_shows_the_current_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=160)
    monkeypatch.setattr(runs, "console", terminal)

    with runs.reporting(TrainConfig(), 54_000, None, quiet=False) as report:
        report(422, Evaluation(422, 1.0, 0.25, 0.9, 0.2, 0.9375, 0.001))

    assert isinstance(terminal.file, io.StringIO)
    assert "loss 0.250, validation 93.75%" in terminal.file.getvalue()


def test_help_explains_the_commands_in_order() -> None:
    text = training("--help").stdout

    assert all(command in text for command in ("data", "train", "export", "publish", "promote", "select", "renew", "report"))


def test_pictures_of_a_perfect_run_can_be_drawn(tmp_path: Path) -> None:
    split = Split(torch.zeros(10, 28, 28, dtype=torch.uint8), torch.arange(10))

    plot_confusion(torch.eye(10, dtype=torch.int64), tmp_path / "confusion.png")
    plot_mistakes(split, torch.eye(10), tmp_path / "mistakes.png")

    assert (tmp_path / "mistakes.png").stat().st_size > 0
