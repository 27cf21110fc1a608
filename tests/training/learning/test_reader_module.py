"""The whole way as torch modules: glyphs as MNIST has them, the most prominent digit first."""

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training.learning.detections import Detections
from training.learning.finder import Finder
from training.learning.networks import MODELS
from training.learning.reader_module import Reader, bounds, cut_glyphs, is_normalised, most_prominent, normalised
from training.learning.reading import Reading
from training.learning.windows import cut, whole

Excerpt = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def smooth_picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """A picture without detail finer than what a window keeps."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def as_tensor(picture: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1).unsqueeze(0).float()


def test_a_window_of_the_input_s_size_is_the_picture_itself() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)

    assert np.array_equal(cut(as_tensor(picture), whole(as_tensor(picture))).pixels[0].permute(1, 2, 0).numpy(), picture)


def found(scores: list[float], sides: list[float]) -> Detections:
    boxes = torch.tensor([[48.0, 48, side / 2, side] for side in sides])
    return Detections(torch.tensor([scores]), boxes.unsqueeze(0), torch.zeros(1, len(scores), 10))


def test_large_digits_that_were_surely_found_come_first_and_the_others_are_dropped() -> None:
    boxes, scores = most_prominent(found([0.9, 0.0, 0.8, 0.6], [10, 90, 40, 11]), torch.tensor(False))

    assert boxes[:, 3].tolist() == [40, 10, 11]
    assert scores.tolist() == pytest.approx([0.8, 0.9, 0.6])


def test_one_place_stays_where_nothing_is_found() -> None:
    boxes, scores = most_prominent(found([0.0, 0.0], [10, 20]), torch.tensor(False))

    assert boxes.shape == (1, 4)
    assert scores.tolist() == [0]


def test_a_normalised_digit_counts_as_one_whatever_is_found_in_it() -> None:
    for scores in ([0.0, 0.0], [0.9, 0.8]):
        assert most_prominent(found(scores, [10, 20]), torch.tensor(True))[1].tolist() == [1]


def test_bounds_are_those_of_what_is_not_black() -> None:
    grey = torch.zeros(1, 28, 28)
    grey[0, 4:10, 7:9] = 3

    assert bounds(grey).tolist() == [[8, 7, 2, 6]]


def ink_of(image: NDArray[np.uint8], side: int = 48) -> torch.Tensor:
    return torch.from_numpy(cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)).float()[None] / 255


def test_mnist_s_digits_become_themselves(excerpt: Excerpt) -> None:
    images = excerpt[0][:100]
    ink = torch.cat([ink_of(image, 42) for image in images])
    boxes = torch.tensor([[42.0, 42, 84, 84]]).expand(len(images), -1)

    glyphs = cut_glyphs(ink, boxes)

    apart = (glyphs - torch.from_numpy(images).float()).abs().mean(dim=(1, 2))
    assert apart.median() < 9
    assert glyphs.amax(dim=(1, 2)).min() == 255


def test_a_glyph_has_mnist_s_size_and_place() -> None:
    ink = torch.zeros(1, 48, 48)
    ink[0, 5:31, 20:26] = 1

    glyph = cut_glyphs(ink, torch.tensor([[46.0, 36, 12, 52]]))[0]

    rows, _ = torch.nonzero(glyph > 25, as_tuple=True)
    assert 19 <= rows.max() - rows.min() + 1 <= 21
    place = torch.arange(28.0)
    assert (glyph.sum(1) * place).sum() / glyph.sum() == pytest.approx(14, abs=0.6)
    assert (glyph.sum(0) * place).sum() / glyph.sum() == pytest.approx(14, abs=0.6)


def test_ink_outside_of_the_box_goes() -> None:
    ink = torch.zeros(1, 48, 48)
    ink[0, 10:20, 10:14] = 1
    ink[0, 30:40, 30:40] = 1

    assert torch.equal(
        cut_glyphs(ink, torch.tensor([[24.0, 30, 8, 20]])),
        cut_glyphs(ink * (torch.arange(48) < 25), torch.tensor([[24.0, 30, 8, 20]])),
    )


def test_no_ink_gives_a_black_glyph() -> None:
    assert cut_glyphs(torch.full((1, 48, 48), 0.1), torch.tensor([[48.0, 48, 60, 60]])).amax() == 0


def test_mnist_s_own_digits_are_told_and_kept(excerpt: Excerpt) -> None:
    pictures = [as_tensor(np.repeat(image[..., None], 3, axis=2)) for image in excerpt[0]]

    assert sum(bool(is_normalised(picture)) for picture in pictures) >= 0.99 * len(pictures)
    assert all(torch.equal(normalised(picture), picture[0, 0]) for picture in pictures[:5])


def test_a_glyph_that_was_cut_is_told_and_kept() -> None:
    slanted = torch.zeros(1, 48, 48)
    for row in range(8, 40):
        slanted[0, row, 28 - row // 4 : 31 - row // 4] = 1
    glyph = cut_glyphs(slanted, torch.tensor([[48.0, 48, 40, 80]]))[0]

    assert is_normalised(glyph.round().expand(1, 3, -1, -1))


@pytest.mark.parametrize(
    "change",
    [
        lambda picture: 255 - picture,
        lambda picture: np.roll(picture, 4, axis=1),
        lambda picture: np.pad(picture, ((0, 1), (0, 0), (0, 0))),
        lambda picture: picture * np.array([1, 0, 1], np.uint8),
    ],
    ids=["dark on white", "off the middle", "another size", "coloured"],
)
def test_what_only_resembles_a_normalised_digit_is_not_one(excerpt: Excerpt, change: "object") -> None:
    picture = np.repeat(excerpt[0][0][..., None], 3, axis=2)

    assert is_normalised(as_tensor(picture))
    assert not is_normalised(as_tensor(np.ascontiguousarray(change(picture))))  # type: ignore[operator]


@pytest.fixture(scope="module")
def networks() -> tuple[Finder, torch.nn.Module]:
    torch.manual_seed(0)
    finder = Finder().eval()
    with torch.no_grad():  # so that an untrained one finds something
        bias = finder.answer.bias
        assert bias is not None
        bias[:4], bias[4:14] = 0.5, -1.5
    return finder, MODELS["open"]().eval()


def test_the_module_and_the_fast_way_give_the_same_glyphs(networks: tuple[Finder, torch.nn.Module]) -> None:
    picture = smooth_picture(150, 200)

    with torch.inference_mode():
        answer = Reader(*networks)(torch.from_numpy(picture))
    found = Reading(networks[0]).find([picture])[0]

    there = answer.scores > 0
    assert there.any()
    assert there.sum() == len(found.scores)
    order = np.argsort(-answer.scores[there].numpy(), kind="stable")
    np.testing.assert_allclose(answer.boxes[there].numpy()[order], found.boxes, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(answer.glyphs[there].numpy()[order], found.glyphs, atol=1)


def test_a_normalised_digit_passes_unchanged_both_ways(networks: tuple[Finder, torch.nn.Module], excerpt: Excerpt) -> None:
    picture = np.repeat(excerpt[0][0][..., None], 3, axis=2)

    with torch.inference_mode():
        answer = Reader(*networks)(torch.from_numpy(picture))
    found = Reading(networks[0]).find([picture])[0]

    assert answer.scores.tolist() == [1]
    assert np.array_equal(answer.glyphs[0].numpy(), excerpt[0][0])
    x, y, width, height = cv2.boundingRect(excerpt[0][0])
    assert answer.boxes.tolist() == [[x + width / 2, y + height / 2, width, height]]
    assert all(np.array_equal(glyph, excerpt[0][0]) for glyph in found.glyphs)
