"""Proves that serving and training feed the network the same bits."""

from pathlib import Path

import numpy as np
import torch
from torchvision import (
    transforms,  # after training.data.torchvision_compat, which the conftest of training would not import here
)

from app.reading.infer.preprocess import preprocess
from training.data.mnist import MEAN, STD, load_digits
from training.learning.evaluate import normalize, to_unit


def test_every_level_of_grey_gives_torchvisions_bits() -> None:
    levels = np.arange(784, dtype=np.uint16).astype(np.uint8).reshape(1, 28, 28)
    oracle = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))])

    served = preprocess(levels, MEAN, STD)

    assert set(levels.flatten().tolist()) == set(range(256))
    np.testing.assert_array_equal(served[0], oracle(levels[0, :, :, np.newaxis]).numpy())


def test_training_feeds_the_same_bits(excerpt: tuple[np.ndarray, np.ndarray]) -> None:
    images, _ = excerpt

    trained = normalize(to_unit(torch.from_numpy(images))).numpy()

    np.testing.assert_array_equal(preprocess(images, MEAN, STD), trained)


def test_mnists_test_set_gives_torchvisions_bits(full_data_dir: Path) -> None:
    images = load_digits(full_data_dir).test.images
    oracle = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))])

    served = preprocess(images.numpy(), MEAN, STD)

    expected = torch.stack([oracle(image.numpy()[:, :, np.newaxis]) for image in images]).numpy()
    np.testing.assert_array_equal(served, expected)


def test_the_result_is_a_batch_of_float32() -> None:
    tensor = preprocess(np.zeros((3, 28, 28), np.uint8), MEAN, STD)

    assert tensor.shape == (3, 1, 28, 28)
    assert tensor.dtype == np.float32
