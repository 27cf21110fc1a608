"""MNIST in memory as uint8: a stratified split into training and validation, and the separate test set."""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock
from torch import Tensor

from training.data.torchvision_compat import MNIST
from training.errors import DataError

MEAN, STD = 0.1307, 0.3081  # of the 60,000 training digits, in 0..1
CLASSES = 10
BACKGROUND = CLASSES  # the label of non-digits, in data sets that have them
VALIDATION_SIZE = 6_000
SPLIT_SEED = 0  # one split for all seeds and models, so that their validation figures are comparable

# sha256 of the four unpacked files of the official distribution, http://yann.lecun.com/exdb/mnist/
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


@dataclass(frozen=True)
class Split:
    """images: (N, 28, 28) uint8, bright ink on black; labels: (N,) int64 in 0..9."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Tensor) -> "Split":
        """The digits at the indices (n,) int64, in that order."""
        return Split(self.images[index], self.labels[index])


def join(*splits: Split) -> Split:
    """The two splits concatenated."""
    return Split(torch.cat([split.images for split in splits]), torch.cat([split.labels for split in splits]))


@dataclass(frozen=True)
class Digits:
    """The three splits. ``test`` is for the final evaluation, never for choosing."""

    train: Split
    validation: Split
    test: Split


def load_digits(data_dir: Path, *, verify: bool = True, validation_size: int = VALIDATION_SIZE) -> Digits:
    """Loads the three splits from ``data_dir/MNIST/raw``; torchvision unpacks the files and fetches missing ones.

    verify=False accepts any files in MNIST's format, for smoke runs on an excerpt.

    Raises:
        DataError: files are missing and cannot be fetched, or are not the official ones.
    """
    full = _split(_open(data_dir, train=True))
    test = _split(_open(data_dir, train=False))
    if verify:
        check_files(data_dir)
    train_index, validation_index = stratified_split(full.labels, validation_size, SPLIT_SEED)
    return Digits(full.take(train_index), full.take(validation_index), test)


def stratified_split(labels: Tensor, validation_size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Shuffled indices (train, validation), with the same share of each label in both.

    labels: (N,) int64. Shares are rounded by largest remainder, so validation has exactly validation_size.
    """
    generator = torch.Generator().manual_seed(seed)
    counts = torch.bincount(labels, minlength=CLASSES)
    exact = counts.double() * validation_size / len(labels)
    quota = exact.floor().long()
    for label in torch.argsort(exact - quota, descending=True, stable=True)[: validation_size - int(quota.sum())]:
        quota[label] += 1
    validation_mask = torch.zeros(len(labels), dtype=torch.bool)
    for label, size in enumerate(quota.tolist()):
        members = torch.nonzero(labels == label).flatten()
        validation_mask[members[torch.randperm(len(members), generator=generator)[:size]]] = True
    order = torch.randperm(len(labels), generator=generator)
    return order[~validation_mask[order]], order[validation_mask[order]]


def check_files(data_dir: Path) -> None:
    """Raises DataError unless the four unpacked files are the official ones, byte for byte."""
    for name, expected in SHA256.items():
        path = _raw(data_dir) / name
        if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise DataError(f"{path} is not the official MNIST file (sha256 differs). Delete it and run again.")


def _raw(data_dir: Path) -> Path:
    return data_dir / "MNIST" / "raw"


def _open(data_dir: Path, *, train: bool) -> MNIST:
    try:
        if all((_raw(data_dir) / name).is_file() for name in SHA256):
            return MNIST(str(data_dir), train=train)
        data_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(data_dir / ".lock"):  # torchvision unpacks in place: one process at a time
            return MNIST(str(data_dir), train=train, download=True)
    except (RuntimeError, OSError, gzip.BadGzipFile, EOFError) as error:
        raw = _raw(data_dir)
        missing = [name for name in SHA256 if not (raw / name).is_file()]
        raise DataError(
            f"MNIST is not complete in {raw}: missing {', '.join(missing) or 'nothing, but a file is damaged'}.\n"
            f"It could not be fetched either: {error}\n"
            "With a network, `python -m training data` fetches it. Without one, put the four official files\n"
            f"({', '.join(f'{name}.gz' for name in SHA256)}) into {raw}."
        ) from error
    except ValueError as error:
        raise DataError(f"A file in {_raw(data_dir)} is damaged ({error}). Delete it and run again.") from error


def _split(dataset: MNIST) -> Split:
    return Split(dataset.data, dataset.targets)
