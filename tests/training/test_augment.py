"""Augmentation distorts each digit on its own and leaves it a digit."""

import torch

from training.augment import augment


def digits(n: int) -> torch.Tensor:
    images = torch.zeros(n, 1, 28, 28)
    images[:, :, 6:22, 12:16] = 1
    return images


def test_each_sample_is_distorted_differently() -> None:
    torch.manual_seed(0)

    results = augment(digits(8))

    assert all(not torch.equal(results[i], results[j]) for i in range(8) for j in range(i))


def test_the_generator_decides_alone() -> None:
    torch.manual_seed(0)
    first = augment(digits(4))
    torch.manual_seed(0)

    assert torch.equal(augment(digits(4)), first)


def test_values_stay_in_range_and_most_ink_stays_in_the_picture() -> None:
    torch.manual_seed(0)

    results = augment(digits(200))

    assert results.shape == (200, 1, 28, 28)
    assert results.min() >= 0
    assert results.max() <= 1
    ink = results.sum(dim=(1, 2, 3)) / digits(1).sum()
    assert ink.min() > 0.3
    assert ink.max() < 2.5
