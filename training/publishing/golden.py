"""golden.npz: glyphs and small made pictures with what a version answers to them, which prove it at each start."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.errors import NoDigitFound
from app.reading.decode.picture import Picture
from app.reading.find.steps import find_digits
from app.reading.infer.record import NO_DIGIT, ModelRecord
from app.reading.infer.store import PICTURE_ANSWERS, StoredModel
from app.reading.model import DigitModel
from training.data.mnist import CLASSES, Split
from training.learning.checkpoints import load_checkpoint
from training.learning.evaluate import infer
from training.publishing.export import prove

Pixels = NDArray[np.uint8]

GOLDEN = "golden.npz"
ANSWER = 15  # figures of an answer
PAPER, INK = (236, 232, 220), (48, 52, 96)  # RGB
SIZES = (3, 4, 6)  # times that a glyph is enlarged
ROOM = (20, 90)  # pixels of paper around it: least, and most


def first_of_each(validation: Split) -> Tensor:
    """The first glyph of each label: (10, 28, 28) uint8."""
    first = torch.stack([torch.nonzero(validation.labels == label).flatten()[0] for label in range(CLASSES)])
    return validation.images[first]


def read_glyphs(folder: Path) -> Tensor:
    """The glyphs of a version's golden.npz: (N, 28, 28) uint8."""
    with np.load(folder / GOLDEN) as golden:
        return torch.from_numpy(golden["glyphs"])


def write_golden(folder: Path, record: ModelRecord, glyphs: Tensor) -> None:
    """Writes golden.npz into a version's folder: glyphs (N, 28, 28) with the checkpoint's logits.

    Raises:
        ExportError: model.onnx gives others.
    """
    logits = infer(load_checkpoint(folder / "model.pth", record.architecture), glyphs)
    prove(folder / "model.onnx", glyphs, logits)
    none = logits[:, CLASSES:].sum(dim=1, keepdim=True)
    arrays = {"glyphs": glyphs.numpy(), "logits": logits[:, :CLASSES].numpy(), NO_DIGIT: none.numpy()}
    np.savez_compressed(folder / GOLDEN, allow_pickle=False, **arrays)


def add_pictures(model: StoredModel) -> None:
    """Writes the model's golden.npz anew, with pictures of its glyphs and what the model answers to each on the CPU.

    Pictures in which it finds no digit are left out; a finder that has hardly been trained may find none.
    """
    golden, loaded = model.read_golden(), DigitModel.load(model, "cpu", 1)
    pictures = draw_pictures(golden.glyphs)
    answers = {place: answer for place, picture in enumerate(pictures) if (answer := _answer(loaded, picture)) is not None}
    arrays: dict[str, NDArray[Any]] = {f"picture_{number}": pictures[place] for number, place in enumerate(answers)}
    arrays |= {"glyphs": golden.glyphs, "logits": golden.logits, NO_DIGIT: golden.no_digit[:, np.newaxis]}
    arrays[PICTURE_ANSWERS] = np.array(list(answers.values()), np.float32).reshape(-1, ANSWER)
    np.savez_compressed(model.folder / GOLDEN, allow_pickle=False, **arrays)


def _answer(model: DigitModel, pixels: Pixels) -> list[float] | None:
    """The most prominent digit's box, logits and logit of no digit, as golden.npz has them; None where none is found."""
    try:
        (steps,) = find_digits(model.finder, Picture(pixels, pixels.shape[1], pixels.shape[0]))
    except NoDigitFound:
        return None
    box, logits = steps.glyph.box, model.classifier.infer(steps.glyph.pixels[np.newaxis])
    return [box.x, box.y, box.width, box.height, *logits.digits[0].tolist(), *logits.no_digit.tolist()]


def draw_pictures(glyphs: Pixels) -> list[Pixels]:
    """Each of the glyphs (N, 28, 28) written on paper, at several sizes and places: (H, W, 3) each, always the same."""
    rng = np.random.default_rng(0)
    return [_draw(glyph, SIZES[place % len(SIZES)], rng) for place, glyph in enumerate(glyphs)]


def _draw(glyph: Pixels, times: int, rng: np.random.Generator) -> Pixels:
    large = cv2.resize(glyph, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    ink = np.pad(large, rng.integers(*ROOM, (2, 2)))[..., np.newaxis] / np.float32(255)
    return np.asarray(np.round(PAPER * (1 - ink) + INK * ink), np.uint8)
