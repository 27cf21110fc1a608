"""The training loop: one readable pass, seeded, resumable to the bit, on one device or several.

Every random number is a function of (seed, step) and every order of the digits one of (seed, epoch), so what a run
needs to go on after a kill is its weights, its optimiser and its step, saved at each evaluation.
"""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from training.data.course import Course
from training.data.mnist import CLASSES, Split, join
from training.errors import RunError
from training.files import write_bytes, write_json, write_text
from training.learning.augment import augment
from training.learning.evaluate import evaluate, normalize, to_unit
from training.learning.networks import MODELS

TEACHER_TEMPERATURE = 2.0  # softens what the teachers say, so that their doubts count


@dataclass(frozen=True)
class TrainConfig:
    """What an experiment is. Two runs of one config on one machine's CPU end in the same weights."""

    model: str = "small"
    seed: int = 0
    epochs: int = 12
    batch_size: int = 128
    learning_rate: float = 2e-3  # the one-cycle schedule's peak
    weight_decay: float = 1e-2
    augment: tuple[str, ...] = ()  # ways of augment.NAMES
    last_strength: float = 1.0  # of affine and elastic distortion at the end; from 1 it goes there linearly
    photos: float = 0.0  # glyphs found in made photos, over MNIST's digits of an epoch
    drawings: float = 0.0  # likewise, in drawings of pen strokes
    outliers: float = 0.0  # likewise, of what is no digit
    ema: float = 0.0  # decay a step of the exponential moving average of the weights, which is what is kept
    smoothing: float = 0.0  # of the labels
    teachers: tuple[str, ...] = ()  # finished runs whose mean logits are learned too
    distil: float = 0.5  # weight of the teachers' answers where there are any
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
    config: TrainConfig, course: Course, run: Path, fabric: Fabric, report: Report, *, resume: bool
) -> Progress:
    """Trains on a course; leaves model.pth, the best on validation, in the run's folder.

    Also there: config.json, history.jsonl, and last.pth, from which resume=True goes on. Of several processes, each
    takes its share of every batch, and the first one reports and writes.

    Raises:
        RunError: the folder holds a run and resume is False, or nothing to resume, or another config's run.
    """
    torch.set_num_threads(config.threads)
    _seed(config.seed)
    plain = MODELS[config.model]().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster on the CPU
    model, optimizer = fabric.setup(
        nn.SyncBatchNorm.convert_sync_batchnorm(plain) if fabric.world_size > 1 and fabric.device.type == "cuda" else plain,
        torch.optim.AdamW(plain.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay),
    )
    averaged = AveragedModel(plain, multi_avg_fn=get_ema_multi_avg_fn(config.ema), use_buffers=True)
    teachers = [_load_teacher(Path(teacher), fabric.device) for teacher in config.teachers]
    digits = join(*(split for split, _ in course.parts))
    steps_per_epoch = -(-len(course) // config.batch_size)
    total = config.epochs * steps_per_epoch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=total)
    stateful = {"model": plain, "averaged": averaged, "optimizer": optimizer, "schedule": schedule}
    progress = _open_run(config, run, stateful, fabric, resume=resume)

    sums = torch.zeros(4)  # loss, pictures, right answers, digits, since the last evaluation
    order = _epoch_order(config.seed, progress.step // steps_per_epoch, course)
    report(progress.step, None)
    while progress.step < total and not progress.out_of_patience(config.patience):
        epoch, batch = divmod(progress.step, steps_per_epoch)
        if batch == 0:
            order = _epoch_order(config.seed, epoch, course)
        taken = digits.take(order[batch * config.batch_size : (batch + 1) * config.batch_size])
        learning_rate = float(schedule.get_last_lr()[0])
        _seed(config.seed, progress.step)
        images, labels = _share(_prepare(taken, config, progress.step / total), fabric)
        sums += _update(model, optimizer, teachers, images, labels, fabric.world_size / len(taken), config, fabric)
        averaged.update_parameters(plain)
        schedule.step()
        progress.step += 1
        line = None
        if progress.step % config.eval_every == 0 or progress.step == total:
            # The first process's: each may have batch statistics of its own, and all must stop at the same step.
            judged = fabric.broadcast(evaluate(averaged.module, course.validation))
            line = Evaluation(
                progress.step,
                progress.step / steps_per_epoch,
                *_means(sums, fabric),
                judged.loss,
                judged.accuracy,
                learning_rate,
            )
            progress.history.append(line)
            if fabric.is_global_zero:
                _save(run, stateful, progress)
            sums = torch.zeros(4)
        report(progress.step, line)
    fabric.barrier()
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
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return TrainConfig(**(values | lists))
    except (ValueError, TypeError) as error:
        raise RunError(f"{path} is no configuration of a run: {error}") from error


def _load_teacher(run: Path, device: torch.device) -> nn.Module:
    if not (run / "model.pth").is_file():
        raise RunError(f"{run} is no teacher: it holds no model.pth.")
    teacher: nn.Module = load_checkpoint(run / "model.pth", load_config(run).model)
    return teacher.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _prepare(batch: Split, config: TrainConfig, done: float) -> tuple[Tensor, Tensor]:
    """The input (N, 1, 28, 28) of a batch, distorted anew in the ways that the config names, and its labels.

    done: the share of the run that is over. Source of weaker distortion towards the end: He et al. 2019, Data Augmentation
    Revisited, arXiv:1909.09148.
    """
    strength = 1 + done * (config.last_strength - 1)
    return normalize(augment(to_unit(batch.images), config.augment, strength)), batch.labels


def _share(batch: tuple[Tensor, Tensor], fabric: Fabric) -> tuple[Tensor, Tensor]:
    """What this process takes of a batch, on its device."""
    images, labels = (part[fabric.global_rank :: fabric.world_size].to(fabric.device) for part in batch)
    return images.contiguous(memory_format=torch.channels_last), labels


def _update(  # noqa: PLR0913, PLR0917
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    teachers: Sequence[nn.Module],
    images: Tensor,
    labels: Tensor,
    weight: float,
    config: TrainConfig,
    fabric: Fabric,
) -> Tensor:
    """One step; returns the batch's (summed loss, pictures, right answers, digits) as they were before it.

    weight: of a picture's loss.
    """
    widen = with_none if config.outliers else nn.Identity()
    logits = widen(model(images))
    losses = F.cross_entropy(logits, labels, label_smoothing=config.smoothing, reduction="none")
    if teachers:
        learned = _distance(logits, widen(teach(teachers, images)))
        losses = torch.lerp(losses, learned, config.distil)
    optimizer.zero_grad()
    fabric.backward(losses.sum() * weight)
    optimizer.step()
    digits = labels < CLASSES
    right = (logits.argmax(dim=1) == labels) & digits
    return torch.stack((losses.detach().sum(), torch.tensor(float(len(labels))), right.sum(), digits.sum())).cpu()


def with_none(logits: Tensor) -> Tensor:
    """Logits (N, 11): the digits' (N, 10), and 0 for what is no digit.

    So the energy, the log-sum-exp of the ten, is the log odds of a digit against none. Source: the background class of
    Dhamija, Günther, Boult 2018, Reducing Network Agnostophobia, arXiv:1811.04110, with its logit held fixed.
    """
    return F.pad(logits, (0, 1))


@torch.inference_mode()
def teach(teachers: Sequence[nn.Module], images: Tensor) -> Tensor:
    """What the teachers say of a batch: the mean of their logits, (N, 10)."""
    return torch.stack([teacher(images) for teacher in teachers]).mean(dim=0)


def _distance(logits: Tensor, target: Tensor) -> Tensor:
    """Kullback-Leibler divergence (N,) from the target's softened probabilities.

    Source: Hinton, Vinyals, Dean 2015, Distilling the Knowledge in a Neural Network, arXiv:1503.02531.
    """
    soft, hard = ((each / TEACHER_TEMPERATURE).log_softmax(dim=1) for each in (logits, target))
    return TEACHER_TEMPERATURE**2 * F.kl_div(soft, hard, log_target=True, reduction="none").sum(dim=1)


def _means(sums: Tensor, fabric: Fabric) -> tuple[float, float]:
    """Mean loss and accuracy, over all processes."""
    total = fabric.all_reduce(sums, reduce_op="sum")
    loss, pictures, right, digits = torch.as_tensor(total).tolist()
    return loss / pictures, right / max(digits, 1)


def _seed(*key: int) -> None:
    """Seeds torch by a well-mixed hash of the key; plain sums would give neighbouring runs the same numbers."""
    torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))


def _epoch_order(seed: int, epoch: int, course: Course) -> Tensor:
    """Indices into all parts, one after another: of each part its count, in a random order.

    A part is dealt like a pack of cards: what an epoch takes of it comes again only once all of it was there.
    """
    start, taken = 0, []
    for number, (part, count) in enumerate(course.parts):
        rounds = range(epoch * count // len(part), (epoch * count + count - 1) // len(part) + 1) if count else range(0)
        cards = [_shuffle(len(part), seed, number, each) for each in rounds]
        if cards:
            first = epoch * count - rounds[0] * len(part)
            taken.append(torch.cat(cards)[first : first + count] + start)
        start += len(part)
    together = torch.cat(taken)
    return together[_shuffle(len(together), seed, len(course.parts), epoch)]


def _shuffle(size: int, *key: int) -> Tensor:
    seed = int(np.random.SeedSequence(key).generate_state(1)[0])
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed))


def _open_run(config: TrainConfig, run: Path, stateful: dict[str, Any], fabric: Fabric, *, resume: bool) -> Progress:
    last = run / "last.pth"
    if not resume:
        if fabric.is_global_zero:
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
        write_bytes(run / "model.pth", _serialized(stateful["averaged"].module.state_dict()))
    write_text(run / "history.jsonl", "".join(json.dumps(line) + "\n" for line in history))
    write_bytes(run / "last.pth", _serialized({**state, "step": progress.step, "history": history}))


def _serialized(state: dict[str, Any]) -> bytes:
    """As torch.save writes it; torch itself answers a full disk with a C++ exception that names nothing."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()
