"""The training loop: one readable pass for every task, seeded, resumable to the bit, on one device or several.

Every random number is a function of (seed, step) and every order of the samples one of (seed, epoch), so what a run
needs to go on after a kill is its weights, its optimiser and its step, saved at each evaluation.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from training.errors import RunError
from training.files import write_bytes, write_json, write_text
from training.learning.checkpoints import begin_with, load_config, read_state, serialize
from training.learning.config import TrainConfig
from training.learning.task import Batch, Task


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
    config: TrainConfig, task: Task, run: Path, fabric: Fabric, report: Report, *, resume: bool
) -> Progress:
    """Trains a task's network; leaves model.pth, the best on validation, in the run's folder.

    Also there: config.json, history.jsonl, and last.pth, from which resume=True goes on. Of several processes, each
    takes its share of every batch, and the first one reports and writes.

    Raises:
        RunError: the folder holds a run and resume is False, or nothing to resume, or a damaged or another config's run.
    """
    torch.set_num_threads(config.threads)
    _seed(config.seed)
    plain = _begin(task, config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster on the CPU
    model, optimizer = fabric.setup(
        nn.SyncBatchNorm.convert_sync_batchnorm(plain) if fabric.world_size > 1 and fabric.device.type == "cuda" else plain,
        torch.optim.AdamW(plain.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay),
    )
    averaged = AveragedModel(plain, multi_avg_fn=get_ema_multi_avg_fn(config.ema), use_buffers=True)
    steps_per_epoch = -(-len(task) // config.batch_size)
    total = config.epochs * steps_per_epoch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=total)
    stateful = {"model": plain, "averaged": averaged, "optimizer": optimizer, "schedule": schedule}
    progress = _open_run(config, run, stateful, fabric, resume=resume)

    sums = torch.zeros(4, device=fabric.device)  # loss, samples, right answers, digits, since the last evaluation
    order = task.order(config.seed, progress.step // steps_per_epoch)
    report(progress.step, None)
    while progress.step < total and not progress.out_of_patience(config.patience):
        epoch, batch = divmod(progress.step, steps_per_epoch)
        if batch == 0:
            order = task.order(config.seed, epoch)
        index = order[batch * config.batch_size : (batch + 1) * config.batch_size]
        learning_rate = float(schedule.get_last_lr()[0])
        _seed(config.seed, progress.step)
        share = _share(task.batch(index, progress.step / total), fabric)
        sums += _update(model, optimizer, task, share, fabric.world_size / len(index), fabric)
        averaged.update_parameters(plain)
        schedule.step()
        progress.step += 1
        line = None
        if progress.step % config.eval_every == 0 or progress.step == total:
            # The first process's: each may have batch statistics of its own, and all must stop at the same step.
            judged = fabric.broadcast(task.judge(averaged.module))
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
            sums = torch.zeros_like(sums)
        report(progress.step, line)
    fabric.barrier()
    return progress


def _begin(task: Task, config: TrainConfig) -> nn.Module:
    """The task's network, with random weights or those of the run that the config begins with."""
    network = task.network()
    if config.start:
        begin_with(network, Path(config.start))
    return network


def _share(batch: Batch, fabric: Fabric) -> Batch:
    """What this process takes of a batch, on its device."""
    inputs, *truth = (part[fabric.global_rank :: fabric.world_size].to(fabric.device) for part in batch)
    return inputs.contiguous(memory_format=torch.channels_last), *truth


def _update(  # noqa: PLR0913, PLR0917
    model: nn.Module, optimizer: torch.optim.Optimizer, task: Task, batch: Batch, weight: float, fabric: Fabric
) -> Tensor:
    """One step; returns the batch's (summed loss, samples, right answers, digits) as they were before it.

    weight: of a sample's loss.
    """
    losses, told = task.losses(model, batch)
    optimizer.zero_grad()
    fabric.backward(losses.sum() * weight)
    optimizer.step()
    return torch.cat((losses.detach().sum()[None], told.new_tensor([len(losses)]), told))


def _means(sums: Tensor, fabric: Fabric) -> tuple[float, float]:
    """Mean loss and accuracy, over all processes."""
    total = fabric.all_reduce(sums, reduce_op="sum")
    loss, samples, right, digits = torch.as_tensor(total).tolist()
    return loss / samples, right / max(digits, 1)


def _seed(*key: int) -> None:
    """Seeds torch by a well-mixed hash of the key; plain sums would give neighbouring runs the same numbers."""
    torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))


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
    state = read_state(last)
    for name, part in stateful.items():
        part.load_state_dict(state[name])
    return Progress(state["step"], [Evaluation(**line) for line in state["history"]])


def _save(run: Path, stateful: dict[str, Any], progress: Progress) -> None:
    """last.pth, which says what is done, comes after all else: killed before it, the resumed run repeats the rest."""
    history = [asdict(line) for line in progress.history]
    state = {name: part.state_dict() for name, part in stateful.items()}
    if progress.best == len(history) - 1:
        write_bytes(run / "model.pth", serialize(stateful["averaged"].module.state_dict()))
    write_text(run / "history.jsonl", "".join(json.dumps(line) + "\n" for line in history))
    write_bytes(run / "last.pth", serialize({**state, "step": progress.step, "history": history}))
