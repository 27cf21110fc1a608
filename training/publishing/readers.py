"""Versions and candidates as the gate asks them, and the pictures that it asks them about."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from app.errors import RequestError
from app.evaluation.labels import read_labels
from app.reading.decode.picture import decode
from app.reading.infer.store import StoredModel
from app.reading.model import DigitModel
from app.reading.reader import Reader
from app.settings import Settings
from training.data.hands import Hands
from training.data.mnist import NONE, Split
from training.data.scenes import make_scene
from training.data.unipen import SPLITS
from training.errors import DataError
from training.learning.reading import Digits, Reading, read_digits
from training.publishing.calibrate import Answers, Calibration, acceptance
from training.publishing.gate import NO_DIGIT, Labels, Pixels, Read, Samples

SINGLE = ("photo", "canvas", "tight", "glyph", "screenshot")  # kinds of scenes that have one digit
NOTHING = "none"  # the kind that has none
FIRST_SEED = 5_000_000  # scenes of other seeds than what finder and classifier were trained and validated on
HELD_OUT = "corrections, held out"
BATCH = 64  # pictures that are read at a time


@dataclass(frozen=True)
class Amount:
    """How many pictures the gate asks about: of MNIST, of each kind of scene, of each set of other hands."""

    mnist: int = 3_000
    scenes: int = 120
    hands: int = 1_000


SMOKE = Amount(mnist=20, scenes=2, hands=20)


def by_service(model: StoredModel) -> Read:
    """A version or a candidate, as the service reads with it."""
    reader = Reader(DigitModel.load(model, "cpu", 1))

    def answer(picture: Pixels) -> tuple[int, bool]:
        try:
            prediction = reader.read(picture)
        except RequestError:
            return NO_DIGIT, False
        return prediction.digit, prediction.accepted

    def read(pictures: Sequence[Pixels]) -> tuple[Labels, NDArray[np.bool_]]:
        answers = [answer(picture) for picture in pictures]
        return np.array([digit for digit, _ in answers], np.int64), np.array([accepted for _, accepted in answers], np.bool_)

    return read


def by_networks(finder: nn.Module, classifier: nn.Module, calibration: Calibration) -> Read:
    """A finder and a classifier: the most prominent digit of each picture."""
    reading = Reading(finder)

    def answer(digits: Digits) -> tuple[int, bool]:
        if not len(digits):
            return NO_DIGIT, False
        index = digits.most_prominent
        logits, none = (torch.from_numpy(part[index : index + 1]) for part in (digits.logits, digits.none))
        accepted = acceptance(Answers(logits, torch.zeros(1, dtype=torch.int64), none), calibration)
        return int(digits.labels[index]), bool(accepted)

    def read(pictures: Sequence[Pixels]) -> tuple[Labels, NDArray[np.bool_]]:
        parts = (pictures[start : start + BATCH] for start in range(0, len(pictures), BATCH))
        answers = [answer(digits) for part in parts for digits in read_digits(reading, classifier, part)]
        return np.array([digit for digit, _ in answers], np.int64), np.array([accepted for _, accepted in answers], np.bool_)

    return read


def mnist_samples(split: Split, count: int) -> Samples:
    """MNIST's digits, each a picture of 28×28."""
    images = split.images[:count].numpy()
    return Samples("MNIST", [np.repeat(image[..., np.newaxis], 3, axis=2) for image in images], split.labels[:count].numpy())


def correction_samples(split: Split) -> Samples:
    """Corrected glyphs that nobody has learned from, each a picture of 28×28."""
    labels = np.where(split.labels.numpy() == NONE, NO_DIGIT, split.labels.numpy())
    pictures = [np.repeat(image[..., np.newaxis], 3, axis=2) for image in split.images.numpy()]
    return Samples(HELD_OUT, pictures, labels.astype(np.int64))


def scene_samples(hands: Hands, count: int) -> Iterator[Samples]:
    """So many made pictures of each kind that has one digit, and of that which has none."""
    for place, kind in enumerate((*SINGLE, NOTHING)):
        first = FIRST_SEED + place * count
        seeds = ((first + number) * len(SPLITS) + SPLITS.index(hands.split) for number in range(count))
        scenes = [make_scene(seed, hands, frozenset({kind})) for seed in seeds]
        fitting = [scene for scene in scenes if len(scene.digits) == (kind != NOTHING)]
        labels = [scene.digits[0].label if scene.digits else NO_DIGIT for scene in fitting]
        yield Samples(f"scenes: {kind}", [scene.pixels for scene in fitting], np.array(labels, np.int64))


def hands_samples(folder: Path, count: int) -> Iterator[Samples]:
    """Sets of other hands: .npz files with x, (N, H, W) uint8, and y, (N,).

    Raises:
        DataError: the folder holds none.
    """
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise DataError(f"{folder} holds no .npz file with x and y.")
    for path in paths:
        with np.load(path) as arrays:
            images, labels = arrays["x"][:count], arrays["y"][:count]
        yield Samples(path.stem, [np.repeat(image[..., np.newaxis], 3, axis=2) for image in images], labels.astype(np.int64))


def own_samples(folder: Path) -> Iterator[Samples]:
    """Pictures of one's own, by kind, as labels.csv in their folder lists them; those that people do not agree on are left out.

    Raises:
        LabelsError: as read_labels.
    """
    rows = [row for row in read_labels(folder) if not row.ambiguous and (row.digit is not None or len(row.label) != 1)]
    for kind in sorted({row.kind for row in rows}):
        pictures, labels = [], []
        for row in rows:
            if row.kind == kind and not (row.label.isdigit() and row.digit is None):  # several digits are not judged here
                pictures.append(decode((folder / row.path).read_bytes(), Settings()).pixels)
                labels.append(NO_DIGIT if row.digit is None else row.digit)
        if pictures:
            yield Samples(f"{folder.name}: {kind}", pictures, np.array(labels, np.int64))
