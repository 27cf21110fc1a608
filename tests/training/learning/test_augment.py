"""Augmentation distorts each digit on its own and leaves it a digit."""

import pytest
import torch

from training.learning.augment import NAMES, augment


def digits(n: int) -> torch.Tensor:
    """Bars whose edges are grey, as those of pens are, as long as MNIST's digits."""
    images = torch.zeros(n, 1, 28, 28)
    images[:, :, 4:24, 11:17] = 0.5
    images[:, :, 5:23, 12:16] = 1
    return images


def augmented(n: int, *names: str, strength: float = 1) -> torch.Tensor:
    torch.manual_seed(0)
    return augment(digits(n), names or NAMES, strength)


def test_each_sample_is_distorted_differently() -> None:
    results = augmented(8)

    assert all(not torch.equal(results[i], results[j]) for i in range(8) for j in range(i))


def test_only_the_generator_decides_the_distortion() -> None:
    assert torch.equal(augmented(4), augmented(4))


@pytest.mark.parametrize("name", NAMES)
def test_each_distortion_changes_some_digits_and_keeps_them_in_range(name: str) -> None:
    results = augmented(200, name)

    assert results.shape == (200, 1, 28, 28)
    assert 0 <= results.min() < results.max() <= 1
    assert (results != digits(200)).flatten(1).any(dim=1).sum() >= 4


def test_most_ink_stays_in_the_picture() -> None:
    ink = augmented(200).sum(dim=(1, 2, 3)) / digits(1).sum()

    assert ink.min() > 0.2
    assert ink.max() < 2.5


def test_without_augmentation_the_digits_stay_as_they_are() -> None:
    torch.manual_seed(0)

    assert torch.equal(augment(digits(4), ()), digits(4))


def test_less_strength_moves_less() -> None:
    moved = [(augmented(100, "affine", "elastic", strength=each) - digits(100)).abs().mean() for each in (1, 0.5, 0)]

    assert moved[0] > moved[1] > moved[2]
    assert moved[2] < 1e-6
