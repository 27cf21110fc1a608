"""What a run learns from and is judged on: MNIST, and, if the config asks for them, glyphs that a finder cut from scenes."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from training.data.mnist import Digits, Split, load_digits

SMOKE_VALIDATION, SMOKE_TRAIN = 100, 400


@dataclass(frozen=True)
class RunData:
    """The data of a run, by purpose.

    parts: training data by source, and how many of each an epoch takes; validation: the data that chooses the checkpoint;
    judged: further data for the final evaluation, by name; outliers: non-digits for validation, or None.
    """

    parts: tuple[tuple[Split, int], ...]
    validation: Split
    judged: dict[str, Split]
    outliers: Split | None = None

    def __len__(self) -> int:
        return sum(count for _, count in self.parts)


def load_mnist(data_dir: Path, *, smoke: bool) -> Digits:
    """Loads MNIST, or for a smoke run a few digits of any data set in its format.

    Raises:
        DataError: as load_digits.
    """
    if not smoke:
        return load_digits(data_dir)
    digits = load_digits(data_dir, verify=False, validation_size=SMOKE_VALIDATION)
    return replace(digits, train=digits.train.take(torch.arange(min(SMOKE_TRAIN, len(digits.train)))))


def load_run_data(data_dir: Path, *, smoke: bool = False) -> RunData:
    """MNIST alone; training.learning.sources adds what a finder cuts from scenes.

    Raises:
        DataError: as load_mnist.
    """
    mnist = load_mnist(data_dir, smoke=smoke)
    judged = {"mnist_validation": mnist.validation, "mnist_test": mnist.test}
    return RunData(((mnist.train, len(mnist.train)),), mnist.validation, judged)
