"""What the service computes by numpy and OpenCV, held against the torch modules that say what is computed."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from app.reading.decode.picture import Picture
from app.reading.find.detect import detect, refine
from app.reading.find.finder import Look
from app.reading.find.glyph import gate, is_normalised, place
from app.reading.find.steps import find_digits
from app.reading.infer.store import find_model
from app.reading.reader import Reader
from app.settings import Settings
from benchmarks.pictures import canvas, photo, row
from tests.versions import SHIPPED
from training.learning import detections, finder, reader_module
from training.learning.checkpoints import load_checkpoint

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


def random_look(seed: int) -> tuple[finder.Look, Look]:
    """One look in torch and the same for the service."""
    rng = np.random.default_rng(seed)
    digits = (rng.random((1, 10, 24, 24)) ** 6).astype(np.float32)
    boxes = rng.uniform(4, 60, (1, 4, 24, 24)).astype(np.float32)
    boxes[:, :2] = rng.uniform(10, 86, (1, 2, 24, 24))
    ink = np.clip(rng.normal(0.3, 0.4, (1, 12, 12)), 0, 1).astype(np.float32).repeat(4, axis=1).repeat(4, axis=2)
    torch_look = finder.Look(*(torch.from_numpy(each) for each in (ink, digits, np.zeros((1, 4, 24, 24), np.float32), boxes)))
    score = detections.score_cells(torch_look.digits)[0].numpy()
    return torch_look, Look(ink[0], score, boxes[0], digits[0], np.zeros((4, 24, 24), np.float32))


@pytest.mark.parametrize("seed", range(5))
def test_the_same_digits_are_detected(seed: int) -> None:
    theirs, ours = random_look(seed)

    expected, found = detections.detect(theirs), detect(ours)

    there = expected.scores[0] > 0
    assert there.sum() > 3
    np.testing.assert_allclose(found.scores, expected.scores[0][there], atol=1e-6)
    np.testing.assert_allclose(found.boxes, expected.boxes[0][there], atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_same_box_is_chosen_in_a_window(seed: int) -> None:
    theirs, ours = random_look(seed)
    frame = torch.tensor([[0.0, 0.0, 1.0, 1.0]])

    expected = reader_module.refine(theirs, torch.tensor([[48.0, 48.0, 50.0, 60.0]]), frame)

    np.testing.assert_allclose(refine(ours, (48, 48, 50, 60)), expected[0], atol=1e-4)


@pytest.mark.parametrize("area", [(48, 48, 40, 60), (10, 12, 30, 30), (90, 50, 14, 70), (48, 48, 5, 5), (48, 48, 200, 200)])
@pytest.mark.parametrize("seed", range(3))
def test_the_same_glyph_is_cut(seed: int, area: tuple[float, float, float, float]) -> None:
    theirs, ours = random_look(seed)

    expected = reader_module.cut_glyphs(theirs.ink, torch.tensor([area], dtype=torch.float32))[0].numpy()
    glyph = place(gate(ours.ink, area))

    apart = np.abs((np.zeros((28, 28)) if glyph is None else glyph) - expected)
    assert apart.max() <= 1  # the service rounds


def test_the_same_pictures_are_normalised(excerpt: tuple[Pixels, Pixels]) -> None:
    for image in [
        *excerpt[0][:50],
        *(np.roll(image, 1 + seed % 4, axis=seed % 2) for seed, image in enumerate(excerpt[0][:50])),
    ]:
        picture = np.repeat(image[..., np.newaxis], 3, axis=2)
        tensor = torch.from_numpy(picture).permute(2, 0, 1).unsqueeze(0).float()

        assert is_normalised(picture) == bool(reader_module.is_normalised(tensor))


@pytest.fixture(scope="module")
def whole_way() -> nn.Module:
    """The shipped version's networks as the torch module."""
    stored = find_model(Settings().model_store, "digits", SHIPPED)
    assert stored.record.finder is not None
    networks = (
        load_checkpoint(stored.path("finder").parent / "finder.pth", stored.record.finder.architecture),
        load_checkpoint(stored.folder / "model.pth", stored.record.architecture),
    )
    return reader_module.Reader(*networks, most=4).eval()


def pictures() -> Iterator[Pixels]:
    for digit in range(10):
        yield np.asarray(canvas(digit))
        yield np.asarray(photo(digit))
        yield np.asarray(canvas(digit, size=800, pen=9, box=(500, 300, 570, 400)))


@torch.inference_mode()
def test_the_whole_way_is_the_module_s(whole_way: nn.Module, reader: Reader) -> None:
    finder_ = reader.model.finder
    for picture in pictures():
        answer = whole_way(torch.from_numpy(picture.copy()))

        (steps,) = find_digits(finder_, Picture(picture, picture.shape[1], picture.shape[0]))

        logits = reader.classifier.infer(steps.glyph.pixels[np.newaxis])
        assert logits.digits[0].argmax() == answer.logits[0].argmax()
        assert np.abs(steps.glyph.pixels - answer.glyphs[0].numpy()).mean() <= 1  # of 255: rounding


@torch.inference_mode()
def test_as_many_digits_are_found_as_the_module_finds(whole_way: nn.Module, reader: Reader) -> None:
    picture = np.asarray(row("207", 30).convert("RGB"))

    answer = whole_way(torch.from_numpy(picture.copy()))
    found = find_digits(reader.model.finder, Picture(picture, 400, 200), most=64)

    assert len(found) == int((answer.scores > 0).sum()) == 3
