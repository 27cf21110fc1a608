"""``python -m training learn``: what it turns down, and that it never changes what is served; test_learning_circle has the rest."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sqlalchemy")

from app.corrections.entry import Corrected, Status
from app.corrections.journal import Journal
from app.reading.infer.store import read_pointer
from app.settings import Settings
from tests.app.corrections.entries import entry, said
from tests.training.commands import Done, training
from tests.versions import SHIPPED, copy_shipped, onnx_file
from training.publishing.gate import Paired, judge


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped version, with its weights."""
    store = tmp_path_factory.mktemp("store")
    copy_shipped(store)
    return store


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


def test_corrections_that_nobody_accepted_are_not_learned_from(
    tmp_path: Path, store: Path, mnist_dir: Path, excerpt: tuple[np.ndarray, np.ndarray]
) -> None:
    images, labels = (part[:100] for part in excerpt)
    correct(tmp_path, by("key careless", images, labels, "new", wrong=1))

    refused = learn(tmp_path, store, mnist_dir, status=1)

    assert "0 corrections were accepted and can be learned from; 50 are missing to 50" in refused.stderr


@pytest.mark.long
def test_a_learned_run_is_complete_though_no_candidate_can_be_written(
    tmp_path: Path, store: Path, mnist_dir: Path, excerpt: tuple[np.ndarray, np.ndarray]
) -> None:
    """So that `publish` can go on with it. The candidate of a whole one takes half a minute: test_learning_circle."""
    images, labels = (part[:100] for part in excerpt)
    correct(tmp_path, by("key careful", images, labels, "accepted"))
    (tmp_path / "candidates").write_text("a file where the folder should be")

    learned = learn(tmp_path, store, mnist_dir, status=1)

    assert "learns from 75 glyphs of 1 clients; 25 are held out, 0 were set aside" in learned.stdout
    assert str(tmp_path / "candidates") in learned.stderr
    assert {"model.pth", "model.onnx", "model.uint8.onnx", "metrics.json"} <= {
        path.name for path in (tmp_path / "run").iterdir()
    }


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

    assert "learns from 75 glyphs of 1 clients; 25 are held out, 0 were set aside" in learned.stdout
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
    verdict = judge({"held": held, "MNIST": usual}, "held")

    assert verdict.passes == passes
    assert reason in verdict.reason
