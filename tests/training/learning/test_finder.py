"""The finder: any size of picture, one light, and answers whose export computes the same."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from training.learning.finder import FAINTEST, STEP, Finder, Levelled, Look, Looking
from training.learning.networks import count_parameters
from training.publishing.finder_export import MAPS, PIXELS, export_finder

MOST_BYTES = 1_200_000


@pytest.fixture(scope="module")
def finder() -> Finder:
    torch.manual_seed(0)
    finder = Finder()
    for module in finder.modules():  # as after some training, so that no two layers are alike
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
    return finder.eval()


def pictures(*shape: int) -> torch.Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("height", "width"), [(96, 96), (96, 160), (16, 48), (320, 96)])
def test_it_looks_at_pictures_of_any_size(finder: Finder, height: int, width: int) -> None:
    look = Looking(finder)(pictures(2, 3, height, width))

    assert look.ink.shape == (2, height // 2, width // 2)
    assert look.digits.shape == (2, 10, height // 4, width // 4)
    assert look.marks.shape == look.boxes.shape == (2, 4, height // 4, width // 4)


def test_ink_and_scores_are_probabilities(finder: Finder) -> None:
    look = Looking(finder)(pictures(2, 3, 96, 96))

    assert all(part.min() >= 0 and part.max() <= 1 for part in (look.ink, look.digits, look.marks))


def test_boxes_begin_near_their_cells(finder: Finder) -> None:
    x, y, width, height = Looking(finder)(pictures(1, 3, 96, 96)).boxes[0]

    assert (x[:, 1:] > x[:, :-1]).float().mean() > 0.9
    assert (y[1:] > y[:-1]).float().mean() > 0.9
    assert (width > 0).all()
    assert (height > 0).all()


@pytest.mark.parametrize(
    "change", [lambda x: 0.3 * x, lambda x: 0.5 * x + 100, lambda x: 255 - x], ids=["darker", "paler", "negative"]
)
def test_light_and_contrast_make_no_difference(change: "torch.nn.Module") -> None:
    picture = torch.full((1, 3, 96, 96), 200.0)
    picture[:, :, 30:60, 40:50] = 20.0

    level = Levelled()
    one, other = level(picture), level(change(picture))

    assert torch.allclose(one.abs(), other.abs(), atol=1e-4)
    assert one.abs().max() == pytest.approx(1, abs=0.05)
    assert one[0, 0, 0, 0] == 0


def test_noise_of_a_blank_sheet_is_not_made_ink() -> None:
    sheet = 200 + torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0)).clamp(-3, 3)

    assert Levelled()(sheet).abs().max() < 6 / FAINTEST + 0.1


@pytest.fixture(scope="module")
def exported(finder: Finder, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The finder's model.onnx, in a folder of its own, and how far it is from torch."""
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    return path, export_finder(finder, pictures(3, 3, 96, 96), path)


def test_the_export_computes_what_torch_computes_at_any_size(finder: Finder, exported: tuple[Path, float]) -> None:
    path, difference = exported

    session = ort.InferenceSession(path)
    wide = pictures(2, 3, 96, 96 + 3 * STEP)
    answers = dict(zip(MAPS, session.run(list(MAPS), {PIXELS: wide.numpy()}), strict=True))
    expected = Looking(finder)(wide)

    assert difference < 1e-4
    assert Look._fields == MAPS
    for name in MAPS:
        np.testing.assert_allclose(answers[name], getattr(expected, name).detach().numpy(), atol=1e-3)


def test_the_exported_file_is_small_and_one(finder: Finder, exported: tuple[Path, float]) -> None:
    path, _ = exported

    assert [each.name for each in path.parent.iterdir()] == ["model.onnx"]
    assert path.stat().st_size <= MOST_BYTES
    assert count_parameters(finder) == 96_710
