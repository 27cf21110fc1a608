"""What the loop needs to know of what is learned: a network, batches, losses and a judgement on validation."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

Batch = tuple[Tensor, ...]  # each (N, …); the first is the network's input


@dataclass(frozen=True)
class Judgement:
    """Of validation: loss, lower is better; accuracy, 0..1, by which the checkpoint is chosen."""

    loss: float
    accuracy: float


class Task(Protocol):
    """What is learned. All that is random is drawn from torch's global generator, which the loop seeds before each batch."""

    def __len__(self) -> int:
        """Samples an epoch."""

    def network(self) -> nn.Module:
        """A network to be trained, with random weights."""

    def order(self, seed: int, epoch: int) -> Tensor:
        """The samples of an epoch, (len,) int64, a function of seed and epoch."""

    def batch(self, index: Tensor, done: float) -> Batch:
        """The samples at index (N,), made ready; done: the share of the run that is over, 0..1."""

    def losses(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss of each sample (N,), and (2,): how many digits the network told rightly before the step, of how many."""

    def judge(self, network: nn.Module) -> Judgement:
        """The network's figures on validation."""


def shuffle(size: int, *key: int) -> Tensor:
    """A random order of so many, a function of the key."""
    seed = int(np.random.SeedSequence(key).generate_state(1)[0])
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed))
