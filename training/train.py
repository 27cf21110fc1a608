"""The training loop: one readable pass, seeded, resumable to the bit.

Every random number is a function of (seed, step) and every order of the digits one of (seed, epoch), so what a run
needs to go on after a kill is its weights, its optimiser and its step, saved at each evaluation.
"""

import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.augment import augment
from training.data import Split
from training.errors import RunError
from training.evaluate import evaluate, normalize, to_unit
from training.files import write_bytes, write_json, write_text
from training.models import MODELS


@dataclass(frozen=True)
class TrainConfig:
    """What an experiment is. Two runs of one config on one machine's CPU end in the same weights."""

    model: str = "small"
    seed: int = 0
    epochs: int = 12
    batch_size: int = 128
    learning_rate: float = 2e-3  # the one-cycle schedule's peak
    weight_decay: float = 1e-2
    augment: bool = False
    pens: int = 0  # with which each digit of the pen strokes is drawn into the training; 0 leaves them out
    eval_every: int = 211  # batches; twice an epoch of 54,000 in batches of 128
    patience: int = 12  # evaluations without a better one on validation before stopping early
    threads: int = 1  # part of the experiment: sums over threads round differently
    smoke: bool = False  # on a few digits of any data set in MNIST's format: no figure of it counts


@dataclass(frozen=True)
class Evaluation:
    """One line of history.jsonl: training figures are means since the line before, validation's are of the whole split."""

    step: int
    epoch: float
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float


@dataclass
class Progress:
    """Where a run stands; grows by one Evaluation at a time."""

    step: int = 0
    history: list[Evaluation] = field(default_factory=list)

    @property
    def best(self) -> int:
        """Index in history of the best evaluation: highest accuracy on validation, then lowest loss, then earliest."""
        key = [(-line.validation_accuracy, line.validation_loss, i) for i, line in enumerate(self.history)]
        return min(key)[2]

    def out_of_patience(self, patience: int) -> bool:
        """Whether the last ``patience`` evaluations brought nothing better."""
        return bool(self.history) and len(self.history) - 1 - self.best >= patience


Report = Callable[[int, Evaluation | None], None]  # steps done so far, and the evaluation if there was one


def train(  # noqa: PLR0913
    config: TrainConfig, digits: tuple[Split, Split], run: Path, device: torch.device, report: Report, *, resume: bool
) -> Progress:
    """Trains on digits (train, validation); leaves model.pth, the best on validation, in the run's folder.

    Also there: config.json, history.jsonl, and last.pth, from which resume=True goes on.

    Raises:
        RunError: the folder holds a run and resume is False, or nothing to resume, or another config's run.
    """
    training, validation = digits
    torch.set_num_threads(config.threads)
    _seed(config.seed)
    model = MODELS[config.model]().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    steps_per_epoch = -(-len(training) // config.batch_size)
    total = config.epochs * steps_per_epoch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=total)
    stateful = {"model": model, "optimizer": optimizer, "schedule": schedule}
    progress = _open_run(config, run, stateful, resume=resume)

    sums = torch.zeros(2)  # loss and right answers since the last evaluation
    seen = 0
    order = _epoch_order(config, progress.step // steps_per_epoch, len(training))
    report(progress.step, None)
    while progress.step < total and not progress.out_of_patience(config.patience):
        epoch, batch = divmod(progress.step, steps_per_epoch)
        if batch == 0:
            order = _epoch_order(config, epoch, len(training))
        digits_of_step = training.take(order[batch * config.batch_size : (batch + 1) * config.batch_size])
        learning_rate = float(schedule.get_last_lr()[0])
        _seed(config.seed, progress.step)
        images = _prepare(digits_of_step, distort=config.augment).to(device, memory_format=torch.channels_last)
        sums += _update(model, optimizer, images, digits_of_step.labels.to(device))
        schedule.step()
        seen += len(digits_of_step)
        progress.step += 1
        line = None
        if progress.step % config.eval_every == 0 or progress.step == total:
            judged = evaluate(model, validation)
            loss, accuracy = (sums / seen).tolist()
            line = Evaluation(
                progress.step, progress.step / steps_per_epoch, loss, accuracy, judged.loss, judged.accuracy, learning_rate
            )
            progress.history.append(line)
            _save(run, stateful, progress)
            sums, seen = torch.zeros(2), 0
        report(progress.step, line)
    return progress


def load_checkpoint(path: Path, name: str) -> nn.Module:
    """The network of that name with the weights of a model.pth, on the CPU, in eval mode."""
    model = MODELS[name]()
    model.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    return model.eval()


def load_config(run: Path) -> TrainConfig:
    """The config that a run's folder was made with.

    Raises:
        RunError: there is none, or it is damaged.
    """
    path = run / "config.json"
    if not path.is_file():
        raise RunError(f"{run} holds no run: {path.name} is missing.")
    try:
        return TrainConfig(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise RunError(f"{path} is no configuration of a run: {error}") from error


def _prepare(batch: Split, *, distort: bool) -> Tensor:
    """The input (N, 1, 28, 28) of a batch, distorted anew where the config says so."""
    images = to_unit(batch.images)
    return normalize(augment(images) if distort else images)


def _update(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> Tensor:
    """One step; returns (summed loss, right answers) of the batch as they were before it."""
    logits = model(images)
    loss = F.cross_entropy(logits, labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    right = (logits.argmax(dim=1) == labels).sum()
    return torch.stack((loss.detach() * len(labels), right.float())).cpu()


def _seed(*key: int) -> None:
    """Seeds torch by a well-mixed hash of the key; plain sums would give neighbouring runs the same numbers."""
    torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))


def _epoch_order(config: TrainConfig, epoch: int, size: int) -> Tensor:
    seed = int(np.random.SeedSequence((config.seed, epoch, 1)).generate_state(1)[0])
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed))


def _open_run(config: TrainConfig, run: Path, stateful: dict[str, Any], *, resume: bool) -> Progress:
    last = run / "last.pth"
    if not resume:
        if (run / "config.json").exists():
            raise RunError(f"{run} already holds a run. Go on with it by --resume, or give another --run folder.")
        run.mkdir(parents=True, exist_ok=True)
        write_json(run / "config.json", asdict(config))
        return Progress()
    if (found := load_config(run)) != config:
        raise RunError(f"{run} was begun with another configuration: {found}. Resume it with the same flags.")
    if not last.exists():
        return Progress()  # killed before the first evaluation: begin again
    state = torch.load(last, weights_only=True, map_location="cpu")
    for name, part in stateful.items():
        part.load_state_dict(state[name])
    return Progress(state["step"], [Evaluation(**line) for line in state["history"]])


def _save(run: Path, stateful: dict[str, Any], progress: Progress) -> None:
    """last.pth, which says what is done, comes after all else: killed before it, the resumed run repeats the rest."""
    history = [asdict(line) for line in progress.history]
    state = {name: part.state_dict() for name, part in stateful.items()}
    if progress.best == len(history) - 1:
        write_bytes(run / "model.pth", _serialized(state["model"]))
    write_text(run / "history.jsonl", "".join(json.dumps(line) + "\n" for line in history))
    write_bytes(run / "last.pth", _serialized({**state, "step": progress.step, "history": history}))


def _serialized(state: dict[str, Any]) -> bytes:
    """As torch.save writes it; torch itself answers a full disk with a C++ exception that names nothing."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()
