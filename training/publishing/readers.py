"""Versions and candidates as the gate asks them, and the pictures that it asks them about."""

import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from app.errors import RequestError
from app.evaluation.labels import LABELS, Row, read_labels
from app.reading.decode.picture import decode
from app.reading.infer.classifier import DigitClassifier
from app.reading.infer.record import StringWeights
from app.reading.infer.store import StoredModel
from app.reading.model import DigitModel
from app.reading.reader import Reader
from app.settings import Settings
from training.data.hands import Hands
from training.data.mnist import BACKGROUND, Split
from training.data.scenes import make_scene
from training.data.unipen import SPLITS
from training.errors import DataError
from training.learning.reading import Digits, Reading, read_digits
from training.publishing.calibrate import Answers, Calibration, acceptance
from training.publishing.gate import NO_ANSWER, Labels, Pixels, Read, Samples
from training.publishing.strings import in_order

SINGLE = ("photo", "canvas", "tight", "glyph", "screenshot")  # kinds of scenes that have one digit
DIGITLESS = "none"  # the kind that has none
FIRST_SEED = 5_000_000  # scenes of other seeds than what finder and classifier were trained and validated on
HELD_OUT = "corrections, held out"
BATCH = 64  # pictures that are read at a time
ROW_SIDE = 400  # pixels of a row's longer side, at most
MOST_DIGITS = 17  # of a row, as a number with a 1 before them that fits into 64 bits

Say = Callable[[str], None]


@dataclass(frozen=True)
class Amount:
    """How many pictures the gate asks about: of MNIST, of each kind of scene, of rows, of each set of other hands."""

    mnist: int = 3_000
    scenes: int = 120
    rows: int = 120
    hands: int = 1_000


SMOKE = Amount(mnist=20, scenes=2, rows=2, hands=20)


def by_service(model: StoredModel) -> Read:
    """A version or a candidate, as the service reads with it."""
    reader = Reader(DigitModel.load(model, "cpu", 1))

    def answer(picture: Pixels) -> tuple[int, bool]:
        try:
            prediction = reader.read(picture)
        except RequestError:
            return NO_ANSWER, False
        return prediction.digit, prediction.accepted

    return lambda pictures: _to_arrays(map(answer, pictures))


def by_classifier(model: StoredModel) -> Read:
    """The classifier of a version or a candidate, as the service judges its scores: glyphs, which nothing is searched in."""
    classifier = DigitClassifier.load(model, "cpu", 1)
    limits = classifier.metadata

    def read(glyphs: Sequence[Pixels]) -> tuple[Labels, NDArray[np.bool_]]:
        parts = [classifier.predict(np.stack(glyphs[start : start + BATCH])) for start in range(0, len(glyphs), BATCH)]
        probabilities = np.concatenate([part.probabilities for part in parts])
        energy = np.concatenate([part.energy for part in parts])
        accepted = (probabilities.max(axis=1) >= limits.threshold) & (energy >= limits.least_energy)
        return probabilities.argmax(axis=1).astype(np.int64), accepted

    return read


def by_rows(model: StoredModel, strings: StringWeights) -> Read:
    """A version or a candidate, as the service reads all digits of a picture with it.

    strings: how the evidence is weighed. A candidate's own weights are fitted once it is a version, so it is asked with those
    of the served one.
    """
    reader = Reader(DigitModel.load(StoredModel(model.folder, model.record.model_copy(update={"strings": strings})), "cpu", 1))

    def answer(picture: Pixels) -> tuple[int, bool]:
        try:
            reading = reader.read_number(picture)
        except RequestError:
            return NO_ANSWER, False
        return row_label(reading.text.replace("\n", "")), reading.accepted

    return lambda pictures: _to_arrays(map(answer, pictures))


def _to_arrays(answers: Iterable[tuple[int, bool]]) -> tuple[Labels, NDArray[np.bool_]]:
    """The labels of answers and whether they are accepted, (N,) each."""
    each = list(answers)
    return np.array([label for label, _ in each], np.int64), np.array([accepted for _, accepted in each], np.bool_)


def row_label(digits: str) -> int:
    """The digits of a row as a number with a 1 before them, since zeros count; 0 for more than MOST_DIGITS, as no row has."""
    return int(f"1{digits}") if len(digits) <= MOST_DIGITS else 0


def by_networks(finder: nn.Module, classifier: nn.Module, calibration: Calibration) -> Read:
    """A finder and a classifier: the most prominent digit of each picture."""
    reading = Reading(finder)

    def answer(digits: Digits) -> tuple[int, bool]:
        if not len(digits):
            return NO_ANSWER, False
        index = digits.most_prominent
        logits, none = (torch.from_numpy(part[index : index + 1]) for part in (digits.logits, digits.none))
        accepted = acceptance(Answers(logits, torch.zeros(1, dtype=torch.int64), none), calibration)
        return int(digits.labels[index]), bool(accepted)

    def read(pictures: Sequence[Pixels]) -> tuple[Labels, NDArray[np.bool_]]:
        parts = (pictures[start : start + BATCH] for start in range(0, len(pictures), BATCH))
        return _to_arrays(answer(digits) for part in parts for digits in read_digits(reading, classifier, part))

    return read


def mnist_samples(split: Split, count: int) -> Samples:
    """MNIST's digits, each a picture of 28×28."""
    images = split.images[:count].numpy()
    return Samples("MNIST", [np.repeat(image[..., np.newaxis], 3, axis=2) for image in images], split.labels[:count].numpy())


def correction_samples(split: Split) -> Samples:
    """Corrected glyphs that nobody has learned from, (28, 28) each."""
    labels = np.where(split.labels.numpy() == BACKGROUND, NO_ANSWER, split.labels.numpy())
    return Samples(HELD_OUT, list(split.images.numpy()), labels.astype(np.int64), kind="glyph")


def scene_samples(hands: Hands, count: int) -> Iterator[Samples]:
    """So many made pictures of each kind that has one digit, and of that which has none."""
    for place, kind in enumerate((*SINGLE, DIGITLESS)):
        first = FIRST_SEED + place * count
        seeds = ((first + number) * len(SPLITS) + SPLITS.index(hands.split) for number in range(count))
        scenes = [make_scene(seed, hands, frozenset({kind})) for seed in seeds]
        fitting = [scene for scene in scenes if len(scene.digits) == (kind != DIGITLESS)]
        labels = [scene.digits[0].label if scene.digits else NO_ANSWER for scene in fitting]
        yield Samples(f"scenes: {kind}", [scene.pixels for scene in fitting], np.array(labels, np.int64))


def row_samples(hands: Hands, count: int) -> Samples:
    """So many made pictures of a row of digits, less those that are turned or show none."""
    first = FIRST_SEED + (len(SINGLE) + 1) * count
    seeds = ((first + number) * len(SPLITS) + SPLITS.index(hands.split) for number in range(count))
    scenes = [make_scene(seed, hands, frozenset({"row"}), side=ROW_SIDE) for seed in seeds]
    fitting = [scene for scene in scenes if scene.digits and not scene.turn]
    labels = [row_label("".join(map(str, in_order(scene)[0]))) for scene in fitting]
    return Samples("scenes: row", [scene.pixels for scene in fitting], np.array(labels, np.int64), kind="row")


def hands_samples(folder: Path, count: int) -> Iterator[Samples]:
    """Sets of other hands: .npz files with x, (N, H, W) uint8, and y, (N,).

    Raises:
        DataError: the folder holds none, or one cannot be read.
    """
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise DataError(f"{folder} holds no .npz file with x and y.")
    for path in paths:
        images, labels = (part[:count] for part in _read_hands(path))
        yield Samples(path.stem, [np.repeat(image[..., np.newaxis], 3, axis=2) for image in images], labels.astype(np.int64))


def check_hands(folder: Path) -> None:
    """Reads sets of other hands once, so that a training does not end at them.

    Raises:
        DataError: as hands_samples.
    """
    for _ in hands_samples(folder, 0):
        pass


def _read_hands(path: Path) -> tuple[Pixels, NDArray[np.integer]]:
    """The arrays x and y of a set.

    Raises:
        DataError: they are not there.
    """
    try:
        with np.load(path) as arrays:
            images, labels = arrays["x"], arrays["y"]
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be read as a set with x and y: {error}") from error
    if images.dtype != np.uint8 or images.ndim != 3 or labels.shape != images.shape[:1]:
        raise DataError(
            f"{path} has x of {images.dtype} {images.shape} and y of {labels.shape}, not (N, H, W) of uint8 and (N,)."
        )
    return images, labels


@dataclass(frozen=True)
class OwnPictures:
    """Pictures of one's own: their folder, and what its labels.csv says of those that the gate reads."""

    folder: Path
    rows: Sequence[Row]


def open_own(folder: Path, say: Say) -> OwnPictures:
    """Reads what a folder's labels.csv says, and looks for the files, so that a training does not end at them.

    Left out are pictures that people do not agree on, and those whose label is neither a digit nor says that there is none.

    Raises:
        LabelsError: as read_labels.
        DataError: a file is missing, or no picture is left.
    """
    clear = [row for row in read_labels(folder) if not row.ambiguous]
    rows = [row for row in clear if row.digit is not None or row.says_none]
    if others := len(clear) - len(rows):
        say(f"{folder}: {others} pictures are left out, whose labels are neither a digit nor empty nor none.")
    if not rows:
        raise DataError(f"{folder / LABELS} lists no picture of one digit or of none that people agree on.")
    if missing := [row.path for row in rows if not row.file(folder).is_file()]:
        raise DataError(f"{folder} lacks {len(missing)} pictures that its {LABELS} lists, the first is {missing[0]}.")
    return OwnPictures(folder, rows)


def own_samples(own: OwnPictures, say: Say) -> Iterator[Samples]:
    """Pictures of one's own, by kind; what cannot be decoded is left out."""
    folder = own.folder.resolve().name
    for kind in sorted({row.kind for row in own.rows}):
        rows = [row for row in own.rows if row.kind == kind]
        read = [(row, pixels) for row in rows if (pixels := _decode(row.file(own.folder), say)) is not None]
        labels = [NO_ANSWER if row.digit is None else row.digit for row, _ in read]
        if read:
            name = f"{folder}: {kind}" if kind else folder
            yield Samples(name, [pixels for _, pixels in read], np.array(labels, np.int64))


def _decode(file: Path, say: Say) -> Pixels | None:
    """The pixels of a picture, or None where it cannot be read."""
    try:
        return decode(file.read_bytes(), Settings()).pixels
    except (RequestError, OSError) as error:
        say(f"{file} is left out: {error}")
        return None
