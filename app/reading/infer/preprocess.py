"""ToTensor and Normalize for serving, with the same bits as torchvision in training."""

import numpy as np
from numpy.typing import NDArray

LAYOUT = "NCHW"
VERSION = "1"  # of glyph and tensor together; the service refuses a model that was trained for another version


def preprocess(glyphs: NDArray[np.uint8], mean: float, std: float) -> NDArray[np.float32]:
    """ToTensor and Normalize: (N, 28, 28) in 0..255 -> (N, 1, 28, 28), bit for bit as torchvision computes it.

    Source: torchvision.transforms.ToTensor divides by 255 in float32, Normalize subtracts and divides in float32.
    """
    unit = glyphs[:, np.newaxis].astype(np.float32) / np.float32(255)
    return (unit - np.float32(mean)) / np.float32(std)
