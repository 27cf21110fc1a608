"""What a run learns from and is judged on: MNIST, and, if the config asks for them, made photos, drawings and outliers."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from training.data.made_glyphs import Report, load_made
from training.data.mnist import Digits, Split, join, load_digits

SMOKE_VALIDATION, SMOKE_TRAIN = 100, 400


@dataclass(frozen=True)
class Course:
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


def load_course(  # noqa: PLR0913
    data_dir: Path, report: Report, *, photos: float = 0, drawings: float = 0, outliers: float = 0, smoke: bool = False
) -> Course:
    """Loads the course. An epoch takes MNIST's digits once, and of each other source the configured multiple of their number.

    Raises:
        DataError: as load_mnist and load_made.
    """
    mnist = load_mnist(data_dir, smoke=smoke)
    judged = {"mnist_validation": mnist.validation, "mnist_test": mnist.test}
    if not photos and not drawings and not outliers:
        return Course(((mnist.train, len(mnist.train)),), mnist.validation, judged)
    made, held, test = load_made(data_dir, mnist, report, smoke=smoke)
    shares = ((mnist.train, 1.0), (made.photos, photos), (made.drawings, drawings), (made.outliers, outliers))
    return Course(
        tuple((split, round(share * len(mnist.train))) for split, share in shares if share),
        join(mnist.validation, held.photos, held.drawings),
        {
            **judged,
            "photos_validation": held.photos,
            "drawings_validation": held.drawings,
            "photos_test": test.photos,
            "drawings_test": test.drawings,
        },
        held.outliers,
    )
