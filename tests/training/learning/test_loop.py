"""The training loop: seeded, resumable bit for bit after a kill, and never half-written."""

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray

from tests.conftest import write_mnist
from tests.training.commands import training
from training.data.mnist import BACKGROUND, Split, load_digits
from training.data.run_data import RunData
from training.errors import RunError
from training.files import write_text
from training.learning import loop as module
from training.learning.augment import NAMES
from training.learning.checkpoints import METRICS, load_checkpoint
from training.learning.classifier_task import ClassifierTask, epoch_order
from training.learning.config import TrainConfig
from training.learning.evaluate import evaluate, infer
from training.learning.finder import FINDERS
from training.learning.loop import Evaluation, Progress, train
from training.learning.networks import MODELS

CPU = torch.device("cpu")
CONFIG = TrainConfig(model="small", epochs=2, batch_size=32, eval_every=5, augment=NAMES, ema=0.9)


@pytest.fixture(scope="module")
def data(excerpt: tuple[NDArray[np.uint8], NDArray[np.uint8]], tmp_path_factory: pytest.TempPathFactory) -> RunData:
    folder = write_mnist(tmp_path_factory.mktemp("data"), *excerpt)
    digits = load_digits(folder, verify=False, validation_size=100)
    return RunData(((digits.train, len(digits.train)),), digits.validation, {})


@pytest.fixture(scope="module")
def whole(data: RunData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing interrupted, to compare with."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    run(folder, data)
    return folder


def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


def run(
    folder: Path, data: RunData, config: TrainConfig = CONFIG, *, resume: bool = False, stop_after: int | None = None
) -> Progress:
    def report(step: int, _: Evaluation | None) -> None:
        if step == stop_after:
            raise KeyboardInterrupt

    return train(config, ClassifierTask(config, data, CPU), folder, fabric(), report, resume=resume)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(folder / "model.pth", weights_only=True)
    return state


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_same_seed_gives_the_same_weights(whole: Path, data: RunData, tmp_path: Path) -> None:
    torch.rand(7)  # what else drew random numbers does not matter
    run(tmp_path / "b", data)

    assert_same_weights(whole, tmp_path / "b")
    assert (whole / "history.jsonl").read_text() == (tmp_path / "b/history.jsonl").read_text()


def test_another_seed_gives_other_weights(whole: Path, data: RunData, tmp_path: Path) -> None:
    run(tmp_path / "b", data, replace(CONFIG, seed=1))

    assert not torch.equal(weights(whole)["classify.weight"], weights(tmp_path / "b")["classify.weight"])


@pytest.mark.parametrize("stop_after", [0, 3, 5, 12, 17, 23])
def test_a_resumed_run_ends_where_an_uninterrupted_one_ends(
    whole: Path, data: RunData, tmp_path: Path, stop_after: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", data, stop_after=stop_after)

    run(tmp_path / "cut", data, resume=True)

    assert_same_weights(whole, tmp_path / "cut")
    assert (whole / "history.jsonl").read_text() == (tmp_path / "cut/history.jsonl").read_text()


def test_a_finished_run_can_be_resumed_without_harm(whole: Path, data: RunData, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "a")

    progress = run(tmp_path / "a", data, resume=True)

    history = [json.loads(line) for line in (whole / "history.jsonl").read_text().splitlines()]
    assert [asdict(line) for line in progress.history] == history
    assert_same_weights(whole, tmp_path / "a")


@pytest.mark.long
def test_a_run_killed_by_sigkill_is_resumed_to_the_bit(mnist_dir: Path, tmp_path: Path) -> None:
    """The real command, killed for real once its first evaluation is on disk."""
    flags = ["--smoke", "--model", "cnn", "--epochs", "3", "--eval-every", "2", "--data-dir", str(mnist_dir)]
    training("train", *flags, "--run", tmp_path / "whole")
    process = subprocess.Popen(
        [sys.executable, "-m", "training", "train", *flags, "--run", str(tmp_path / "cut")], stdout=subprocess.DEVNULL
    )
    while not (tmp_path / "cut" / "last.pth").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "cut" / "metrics.json").exists()

    training("train", "--run", tmp_path / "cut", "--resume", "--data-dir", mnist_dir)

    assert_same_weights(tmp_path / "whole", tmp_path / "cut")
    for name in ("history.jsonl", "metrics.json"):
        assert (tmp_path / "whole" / name).read_text() == (tmp_path / "cut" / name).read_text()


def test_history_holds_means_since_the_previous_line(data: RunData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    updates: list[torch.Tensor] = []
    original = module._update  # noqa: SLF001  each step's figures, of which history holds means

    def record(*arguments: object) -> torch.Tensor:
        updates.append(original(*arguments))  # type: ignore[arg-type]
        return updates[-1]

    monkeypatch.setattr(module, "_update", record)

    history = run(tmp_path / "a", data).history

    assert [line.step for line in history] == [5, 10, 15, 20, 25, 26]
    loss, pictures, right, counted = torch.stack(updates[:5]).sum(dim=0).tolist()
    assert (pictures, counted) == (160, 160)
    assert history[0].train_loss == pytest.approx(loss / 160)
    assert history[0].train_accuracy == pytest.approx(right / 160)
    assert [json.loads(line)["step"] for line in (tmp_path / "a/history.jsonl").read_text().splitlines()] == [
        5,
        10,
        15,
        20,
        25,
        26,
    ]


def test_the_checkpoint_is_the_best_on_validation(data: RunData, tmp_path: Path) -> None:
    progress = run(tmp_path / "a", data, replace(CONFIG, epochs=4))

    judged = evaluate(load_checkpoint(tmp_path / "a/model.pth", "small"), data.validation)

    assert judged.accuracy == progress.history[progress.best].validation_accuracy
    assert judged.accuracy == max(line.validation_accuracy for line in progress.history)


def line(step: int, accuracy: float, loss: float = 1.0) -> Evaluation:
    return Evaluation(step, step / 10, 0, 0, loss, accuracy, 0)


def test_the_best_checkpoint_has_the_highest_accuracy_then_the_least_loss_then_comes_first() -> None:
    assert Progress(0, [line(1, 0.5), line(2, 0.9), line(3, 0.8)]).best == 1
    assert Progress(0, [line(1, 0.9), line(2, 0.9, 0.5), line(3, 0.9, 0.7)]).best == 1
    assert Progress(0, [line(1, 0.9), line(2, 0.9)]).best == 0


def test_patience_ends_a_run_that_no_longer_improves() -> None:
    history = [line(1, 0.9), line(2, 0.8), line(3, 0.8)]

    assert Progress(0, history).out_of_patience(2)
    assert not Progress(0, history).out_of_patience(3)
    assert not Progress(0, []).out_of_patience(1)


def test_a_run_stops_early(data: RunData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Progress, "best", 0)

    history = run(tmp_path / "a", data, replace(CONFIG, patience=2)).history

    assert [line.step for line in history] == [5, 10, 15]


def test_a_folder_that_holds_a_run_is_not_overwritten(whole: Path, data: RunData) -> None:
    before = {path: path.read_bytes() for path in whole.iterdir()}

    with pytest.raises(RunError, match="already holds a run"):
        run(whole, data)

    assert {path: path.read_bytes() for path in whole.iterdir()} == before


def test_resuming_with_another_config_is_refused(whole: Path, data: RunData) -> None:
    with pytest.raises(RunError, match="another configuration"):
        run(whole, data, replace(CONFIG, seed=1), resume=True)


def test_resuming_nothing_is_refused(data: RunData, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run"):
        run(tmp_path / "a", data, resume=True)


@pytest.mark.parametrize("killed_before", ["model.pth", "history.jsonl", "last.pth"])
def test_a_kill_between_two_files_of_the_last_evaluation_loses_nothing(
    whole: Path, data: RunData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_before: str
) -> None:
    original = Path.replace

    def replace_unless_killed(self: Path, target: Path) -> Path:
        if target.name == killed_before and "cut" in target.parts and done.step >= 25:
            raise KeyboardInterrupt
        return original(self, target)

    done = Progress()

    def report(step: int, _: Evaluation | None) -> None:
        done.step = step

    monkeypatch.setattr(Path, "replace", replace_unless_killed)
    with contextlib.suppress(KeyboardInterrupt):  # there is no model.pth to write where the last evaluation was no better
        train(CONFIG, ClassifierTask(CONFIG, data, CPU), tmp_path / "cut", fabric(), report, resume=False)
    monkeypatch.undo()

    run(tmp_path / "cut", data, resume=True)

    assert_same_weights(whole, tmp_path / "cut")
    assert (whole / "history.jsonl").read_text() == (tmp_path / "cut/history.jsonl").read_text()


def test_a_damaged_config_is_reported(whole: Path, data: RunData, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "a")
    (tmp_path / "a/config.json").write_text('{"model": ')

    with pytest.raises(RunError, match="is not a configuration of a run"):
        run(tmp_path / "a", data, resume=True)


def test_a_damaged_checkpoint_is_reported(whole: Path, data: RunData, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "a")
    (tmp_path / "a/last.pth").write_bytes((whole / "last.pth").read_bytes()[:1000])

    with pytest.raises(RunError, match=r"last\.pth is damaged"):
        run(tmp_path / "a", data, resume=True)


@pytest.mark.parametrize(("model", "ended"), [("mlp", False), ("finder", True)], ids=["unfinished", "a finder"])
def test_only_a_finished_classifier_teaches(model: str, ended: bool, data: RunData, tmp_path: Path) -> None:
    write_text(tmp_path / "config.json", json.dumps({"model": model}))
    torch.save((MODELS | FINDERS)[model]().state_dict(), tmp_path / "model.pth")
    if ended:
        write_text(tmp_path / METRICS, "{}")

    with pytest.raises(RunError, match=r"is not the run of a classifier" if ended else r"metrics\.json is missing"):
        ClassifierTask(replace(CONFIG, teachers=(str(tmp_path),)), data, CPU)


def test_a_full_disk_leaves_the_last_good_state(data: RunData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "a", data, stop_after=7)
    before = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    original = os.fsync

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        run(tmp_path / "a", data, resume=True)
    monkeypatch.setattr(os, "fsync", original)

    assert {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()} == before
    run(tmp_path / "a", data, resume=True)


@pytest.mark.long
def test_a_full_disk_ends_the_command_with_one_clear_line(mnist_dir: Path, tmp_path: Path) -> None:
    """The kernel refuses to write files of more than 400 kB, as a full disk would: model.pth fits, last.pth does not."""
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000));"
        "import sys; from training.cli.app import main;"
        f"sys.argv = ['training', 'train', '--smoke', '--run', 'run', '--data-dir', {str(mnist_dir)!r}]; main()"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "training: [Errno 27] File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"config.json", "model.pth", "history.jsonl"}


def test_a_file_is_replaced_completely_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "one")
    write_text(path, "two")

    assert path.read_text() == "two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_images_of_a_part_repeat_only_after_all_were_used(data: RunData) -> None:
    part = data.parts[0][0]
    dealt = RunData(((part, 400), (part, 150)), data.validation, {})

    epochs = [epoch_order(0, epoch, dealt) for epoch in range(8)]

    for order in epochs:
        assert sorted(order[order < 400].tolist()) == list(range(400))
        assert (order >= 400).sum() == 150
    seen = torch.cat([order[order >= 400] for order in epochs])
    assert torch.bincount(seen - 400).tolist() == [3] * 400  # 1,200 cards of a pack of 400
    assert not torch.equal(epochs[0], epochs[1])


def test_pictures_without_a_digit_get_low_energy(data: RunData, tmp_path: Path) -> None:
    part = data.parts[0][0]
    stripes = torch.zeros_like(part.images)
    stripes[:, ::3] = 255
    none = Split(stripes, torch.full_like(part.labels, BACKGROUND))
    config = replace(CONFIG, model="mlp", outliers=0.5, augment=(), ema=0.0, epochs=4)

    run(tmp_path / "a", RunData(((part, 400), (none, 200)), data.validation, {}), config)

    model = load_checkpoint(tmp_path / "a/model.pth", "mlp")
    digit, other = (infer(model, images[:50]).logsumexp(dim=1) for images in (data.validation.images, stripes))
    assert digit.median() > 1
    assert other.max() < -1


def test_the_averaged_weights_are_kept(data: RunData, tmp_path: Path) -> None:
    run(tmp_path / "a", data, replace(CONFIG, ema=0.9, eval_every=26, epochs=1))
    run(tmp_path / "b", data, replace(CONFIG, ema=0.0, eval_every=26, epochs=1))

    last = torch.load(tmp_path / "a/last.pth", weights_only=True)
    assert not torch.equal(weights(tmp_path / "a")["classify.weight"], last["model"]["classify.weight"])
    assert torch.equal(weights(tmp_path / "b")["classify.weight"], last["model"]["classify.weight"])


def test_a_student_learns_the_answers_of_its_teachers(data: RunData, tmp_path: Path) -> None:
    run(tmp_path / "teacher", data, replace(CONFIG, model="mlp", epochs=4))
    write_text(tmp_path / "teacher" / METRICS, "{}")
    taught = replace(CONFIG, model="mlp", seed=1, teachers=(str(tmp_path / "teacher"),), distil=1.0)
    nonsense = Split(data.parts[0][0].images, data.parts[0][0].labels.flip(0))

    run(tmp_path / "pupil", RunData(((nonsense, 400),), data.validation, {}), replace(taught, epochs=4))

    teacher, pupil = (load_checkpoint(tmp_path / name / "model.pth", "mlp") for name in ("teacher", "pupil"))
    agreed = infer(teacher, data.validation.images).argmax(1) == infer(pupil, data.validation.images).argmax(1)
    assert agreed.float().mean() > 0.9


@pytest.mark.long
def test_two_processes_give_the_same_weights_as_one(mnist_dir: Path, tmp_path: Path) -> None:
    """By gloo. Without batch normalisation, whose statistics each CPU process takes of its own share."""
    flags = ["--smoke", "--model", "mlp", "--epochs", "2", "--data-dir", str(mnist_dir)]
    training("train", *flags, "--run", tmp_path / "1")
    command = [sys.executable, "-m", "training", "train", *flags, "--devices", "2", "--run", str(tmp_path / "2")]
    subprocess.run(command, check=True, capture_output=True, timeout=300)

    one, two = weights(tmp_path / "1"), weights(tmp_path / "2")
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-5)
    assert len((tmp_path / "1/history.jsonl").read_text().splitlines()) == len(
        (tmp_path / "2/history.jsonl").read_text().splitlines()
    )
