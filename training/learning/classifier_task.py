"""The task of the classifier: glyphs -> digits, and what is not a digit."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.data.mnist import CLASSES, join
from training.data.run_data import RunData
from training.learning.augment import augment
from training.learning.checkpoints import load_checkpoint, load_finished
from training.learning.config import TrainConfig
from training.learning.evaluate import evaluate, normalize, to_unit
from training.learning.networks import MODELS
from training.learning.task import Batch, Judgement, shuffle

TEACHER_TEMPERATURE = 2.0  # softens what the teachers say, so that their doubts count


class ClassifierTask:
    """Learns glyphs, distorted anew in each epoch, and from teachers where the config names some."""

    def __init__(self, config: TrainConfig, data: RunData, device: torch.device) -> None:
        """Loads the teachers. device: where glyphs are distorted.

        Raises:
            RunError: a teacher is not a finished run of a classifier.
        """
        self._config, self._data, self._device = config, data, device
        self._digits = join(*(split for split, _ in data.parts))
        self._teachers = [_load_teacher(Path(teacher), device) for teacher in config.teachers]

    def __len__(self) -> int:
        return len(self._data)

    def network(self) -> nn.Module:
        """The config's, with random weights."""
        return MODELS[self._config.model]()

    def order(self, seed: int, epoch: int) -> Tensor:
        """As epoch_order."""
        return epoch_order(seed, epoch, self._data)

    def batch(self, index: Tensor, done: float) -> Batch:
        """Inputs (N, 1, 28, 28), distorted in the ways that the config names, and labels.

        Source of weaker distortion towards the end: He et al. 2019, Data Augmentation Revisited, arXiv:1909.09148.
        """
        taken = self._digits.take(index)
        strength = 1 + done * (self._config.last_strength - 1)
        images = to_unit(taken.images.to(self._device))
        return normalize(augment(images, self._config.augment, strength)), taken.labels

    def losses(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Cross-entropy, with the teachers' answers where there are any."""
        images, labels = batch
        widen = with_none if self._config.outliers else only_digits
        logits = widen(model(images))
        losses = F.cross_entropy(logits, labels, label_smoothing=self._config.smoothing, reduction="none")
        if self._teachers:
            learned = _distance(logits, widen(teach(self._teachers, images)))
            losses = torch.lerp(losses, learned, self._config.distil)
        digits = labels < CLASSES
        right = (logits.argmax(dim=1) == labels) & digits
        return losses, torch.stack((right.sum(), digits.sum())).float()

    def judge(self, network: nn.Module) -> Judgement:
        """On validation's digits."""
        metrics = evaluate(network, self._data.validation)
        return Judgement(metrics.loss, metrics.accuracy)


def only_digits(logits: Tensor) -> Tensor:
    """Logits (N, 10) of the digits, whether the network has one for what is not a digit or not."""
    return logits[:, :CLASSES]


def with_none(logits: Tensor) -> Tensor:
    """Logits (N, 11): the digits', and that of what is not a digit: the network's own, or 0 where it has none.

    So the log-sum-exp of the ten, less the last, is the log odds of a digit against none. Source: the background class of
    Dhamija, Günther, Boult 2018, Reducing Network Agnostophobia, arXiv:1811.04110.
    """
    return logits if logits.shape[1] > CLASSES else F.pad(logits, (0, 1))


@torch.inference_mode()
def teach(teachers: Sequence[nn.Module], images: Tensor) -> Tensor:
    """What the teachers say of a batch: the mean of their logits."""
    return torch.stack([teacher(images) for teacher in teachers]).mean(dim=0)


def epoch_order(seed: int, epoch: int, data: RunData) -> Tensor:
    """Indices into all parts, one after another: of each part its count, in a random order.

    A part is dealt like a pack of cards: what an epoch takes of it comes again only once all of it was there.
    """
    start, taken = 0, []
    for number, (part, count) in enumerate(data.parts):
        rounds = range(epoch * count // len(part), (epoch * count + count - 1) // len(part) + 1) if count else range(0)
        cards = [shuffle(len(part), seed, number, each) for each in rounds]
        if cards:
            first = epoch * count - rounds[0] * len(part)
            taken.append(torch.cat(cards)[first : first + count] + start)
        start += len(part)
    together = torch.cat(taken)
    return together[shuffle(len(together), seed, len(data.parts), epoch)]


def _load_teacher(run: Path, device: torch.device) -> nn.Module:
    teacher: nn.Module = load_checkpoint(run / "model.pth", load_finished(run, "classifier").model)
    return teacher.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _distance(logits: Tensor, target: Tensor) -> Tensor:
    """Kullback-Leibler divergence (N,) from the target's softened probabilities.

    Source: Hinton, Vinyals, Dean 2015, Distilling the Knowledge in a Neural Network, arXiv:1503.02531.
    """
    soft, hard = ((each / TEACHER_TEMPERATURE).log_softmax(dim=1) for each in (logits, target))
    return TEACHER_TEMPERATURE**2 * F.kl_div(soft, hard, log_target=True, reduction="none").sum(dim=1)
