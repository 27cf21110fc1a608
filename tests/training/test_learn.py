"""``python -m training learn``: what it turns down, and that it never changes what is served; test_learning_circle has the rest."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("sqlalchemy")

from app.corrections.entry import Corrected, Status
from app.corrections.journal import Journal
from app.reading.infer.store import read_pointer
from app.settings import Settings
from tests.app.corrections.entries import entry, said
from tests.training.commands import Done, training
from tests.versions import SHIPPED, copy_shipped, onnx_file
from training.learning.checkpoints import METRICS
from training.learning.networks import MODELS
from training.learning.recipes import CORRECTING
from training.publishing.gate import Comparison, Paired, judge


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped version, with its weights."""
    store = tmp_path_factory.mktemp("store")
    copy_shipped(store)
    return store


@pytest.fixture
def learned_run(tmp_path: Path) -> Path:
    """The folder of a run that learned from corrections that are not there."""
    run, version = tmp_path / "learned", Settings().model_store / "digits" / SHIPPED
    config = replace(CORRECTING, start=str(version), finder=str(version), corrections="of others", smoke=True)
    run.mkdir()
    (run / "config.json").write_text(json.dumps(asdict(config)))
    (run / METRICS).write_text("{}")
    torch.save(MODELS["open"]().state_dict(), run / "model.pth")
    return run


def correct(folder: Path, corrected: list[Corrected]) -> None:
    journal = Journal.open(Settings(data_dir=folder))
    journal.restore(corrected)
    journal.close()


def by(client: str, images: np.ndarray, labels: np.ndarray, status: Status, wrong: int = 0) -> list[Corrected]:
    kept = [entry(hash((client, n)) % 2**64, client=client, glyphs=images[n][np.newaxis]) for n in range(len(images))]
    return [Corrected(each, said(each, str((label + wrong) % 10), status)) for each, label in zip(kept, labels, strict=True)]


def learn(folder: Path, store: Path, mnist: Path, *more: str | Path, status: int = 0) -> Done:
    places = ("--store", store, "--candidates", folder / "candidates", "--run", folder / "run")
    return training("learn", "--smoke", "--corrections", folder, *places, "--data-dir", mnist, *more, status=status)


def assert_a_fifth_is_held_out(learned: Done) -> None:
    told = re.search(r"learns from (\d+) glyphs of 1 clients; (\d+) are held out, 0 were set aside", learned.stdout)
    assert told
    assert int(told[1]) + int(told[2]) == 100
    assert 10 <= int(told[2]) <= 30


def test_corrections_that_nobody_accepted_are_not_learned_from(
    tmp_path: Path, store: Path, mnist_dir: Path, excerpt: tuple[np.ndarray, np.ndarray]
) -> None:
    images, labels = (part[:100] for part in excerpt)
    correct(tmp_path, by("key careless", images, labels, "new", wrong=1))

    refused = learn(tmp_path, store, mnist_dir, status=1)

    assert "0 corrections were accepted and can be learned from; 50 are missing to 50" in refused.stderr


@pytest.mark.long
def test_a_learned_run_is_finished_though_no_candidate_could_be_written(
    tmp_path: Path, store: Path, mnist_dir: Path, excerpt: tuple[np.ndarray, np.ndarray]
) -> None:
    """By ``learn --resume``, or by ``publish``, which asks about the held-out corrections, too."""
    images, labels = (part[:100] for part in excerpt)
    correct(tmp_path, by("key careful", images, labels, "accepted"))
    (tmp_path / "candidates").write_text("a file where the folder should be")

    learned = learn(tmp_path, store, mnist_dir, status=1)

    assert_a_fifth_is_held_out(learned)
    assert str(tmp_path / "candidates") in learned.stderr
    assert {"model.pth", "model.onnx", "model.uint8.onnx", "metrics.json"} <= {
        path.name for path in (tmp_path / "run").iterdir()
    }

    weights = (tmp_path / "run" / "model.pth").read_bytes()
    (tmp_path / "run" / "model.onnx").unlink()
    training("export", "--run", tmp_path / "run", "--data-dir", mnist_dir)
    places = ("--run", tmp_path / "run", "--store", store, "--data-dir", mnist_dir, "--corrections", tmp_path)
    training("publish", *places, "--candidates", tmp_path / "published")
    (tmp_path / "candidates").unlink()
    learn(tmp_path, store, mnist_dir, "--resume")

    assert (tmp_path / "run" / "model.pth").read_bytes() == weights
    for folder in ("published", "candidates"):
        (report,) = (tmp_path / folder).rglob("report.md")
        assert "| corrections, held out |" in report.read_text()


def test_a_learned_run_is_not_published_without_its_corrections(
    learned_run: Path, tmp_path: Path, mnist_dir: Path, excerpt: tuple[np.ndarray, np.ndarray]
) -> None:
    images, labels = (part[:100] for part in excerpt)
    data = ("--data-dir", mnist_dir, "--store", tmp_path / "none", "--candidates", tmp_path / "candidates")

    missing = training("publish", "--run", learned_run, *data, status=1)
    correct(tmp_path, by("key careful", images, labels, "accepted"))
    others = training("publish", "--run", learned_run, "--corrections", tmp_path, *data, status=1)

    assert "There are no corrections in" in missing.stderr
    assert "name the service's data folder by --corrections" in missing.stderr
    assert f"These are not the corrections that {learned_run} learned from." in others.stderr
    assert not (tmp_path / "candidates").exists()


def test_a_learned_run_is_gone_on_with_by_learn_and_only_with_its_corrections(
    learned_run: Path, tmp_path: Path, store: Path, mnist_dir: Path, excerpt: tuple[np.ndarray, np.ndarray]
) -> None:
    images, labels = (part[:100] for part in excerpt)
    correct(tmp_path, by("key careful", images, labels, "accepted"))

    trained = training("train", "--resume", "--run", learned_run, "--data-dir", mnist_dir, status=1)
    others = learn(tmp_path, store, mnist_dir, "--resume", "--run", learned_run, status=1)
    nothing = training("learn", "--resume", status=1)

    assert f"Go on with it: python -m training learn --resume --run {learned_run}" in trained.stderr
    assert f"{learned_run} was begun with other corrections, flags, or another served version" in others.stderr
    assert "Say which run to go on with" in nothing.stderr


def test_what_the_gate_cannot_do_without_is_looked_at_before_the_training(
    tmp_path: Path, mnist_dir: Path, excerpt: tuple[np.ndarray, np.ndarray]
) -> None:
    images, labels = (part[:100] for part in excerpt)
    correct(tmp_path, by("key careful", images, labels, "accepted"))
    own = tmp_path / "own"
    copy_shipped(own)

    unlabelled = learn(tmp_path, own, mnist_dir, "--pictures", mnist_dir, status=1)
    onnx_file(own, SHIPPED, "finder").write_bytes(b"another")
    damaged = learn(tmp_path, own, mnist_dir, status=1)

    assert unlabelled.stderr.startswith(f"training: There is no labels.csv in {mnist_dir}")
    assert "is not the file that was published" in damaged.stderr
    assert len((unlabelled.stderr + damaged.stderr).splitlines()) == 2
    assert not (tmp_path / "run").exists()


@pytest.mark.long
def test_a_hundred_wrong_corrections_by_one_client_change_nothing_that_is_served(
    tmp_path: Path, store: Path, mnist_dir: Path, excerpt: tuple[np.ndarray, np.ndarray]
) -> None:
    """Though accepted: the gate judges, and nothing is served without being selected. test_learning_circle has it for right ones."""
    files = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    images, labels = (part[:100] for part in excerpt)
    correct(tmp_path, by("key careless", images, labels, "accepted", wrong=1))

    learned = learn(tmp_path, store, mnist_dir)

    assert_a_fifth_is_held_out(learned)
    assert read_pointer(store, "digits") == SHIPPED
    assert {path: path.read_bytes() for path in files} == files


@pytest.mark.parametrize(
    ("held", "usual", "passes", "reason"),
    [
        (Paired(40, 30, 20, 12, 2), Paired(1_000, 980, 981, 4, 5), True, "better on held: 10 more of 40"),
        (Paired(40, 20, 20, 2, 2), Paired(1_000, 990, 981, 10, 1), False, "not better on held"),
        (Paired(40, 21, 20, 1, 0), Paired(1_000, 980, 980, 0, 0), False, "a chance of 1, and less than 0.05 is asked"),
        (Paired(117, 106, 104, 3, 1), Paired(1_000, 980, 980, 0, 0), False, "not significantly better on held: 2 more of 117"),
        (Paired(40, 25, 20, 5, 0), Paired(1_000, 980, 980, 0, 0), False, "a chance of 0.062"),
        (Paired(40, 26, 20, 6, 0), Paired(1_000, 980, 980, 0, 0), True, "a chance of 0.031"),
        (Paired(40, 30, 20, 12, 2), Paired(1_000, 960, 981, 4, 25), False, "significantly worse on MNIST"),
    ],
    ids=[
        "better there, as good elsewhere",
        "no better there",
        "a single digit better there",
        "a few digits better there",
        "five of five better there",
        "six of six better there",
        "worse elsewhere",
    ],
)
def test_the_gate_wants_more_than_chance_on_held_out_corrections_and_nothing_worse(
    held: Paired, usual: Paired, passes: bool, reason: str
) -> None:
    verdict = judge({"held": Comparison(held), "MNIST": Comparison(usual)}, "held")

    assert verdict.passes == passes
    assert reason in verdict.reason
