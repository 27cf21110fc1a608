"""Random distortion of a batch of digits, drawn per sample, as tensors."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

ROTATION = math.radians(15)
SHEAR = 0.2
STRETCH = 0.15  # each axis between 1/1.15 and 1.15 of its size
SHIFT = 2 / 14  # two pixels, in grid_sample's units of half the picture
STROKE_CHANGE = 0.5  # the share of digits whose strokes are made thicker or thinner


def augment(images: Tensor) -> Tensor:
    """Distorts each digit by an affine map and a change of stroke width of its own.

    images: (N, 1, 28, 28) float32 in 0..1, black background; so is the result. Draws from torch's global generator.
    """
    return _change_strokes(_move(images))


def _move(images: Tensor) -> Tensor:
    """Rotates, shears, stretches and shifts, bilinear, black flowing in from outside."""
    n = len(images)
    angle = _uniform(n, ROTATION)
    shear = _uniform(n, SHEAR)
    width, height = ((1 + STRETCH) ** _uniform(n, 1) for _ in range(2))
    cos, sin = angle.cos(), angle.sin()
    rows = (
        torch.stack((cos * width, (shear * cos - sin) * height, _uniform(n, SHIFT)), dim=1),
        torch.stack((sin * width, (shear * sin + cos) * height, _uniform(n, SHIFT)), dim=1),
    )
    theta = torch.stack(rows, dim=1).to(images.device)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _change_strokes(images: Tensor) -> Tensor:
    """Blends some digits with their dilation and others with their erosion by a 3×3 square (grey morphology)."""
    n = len(images)
    amount = torch.rand(n, 1, 1, 1)
    thicker = (torch.rand(n, 1, 1, 1) < 0.5).to(images.device)
    changed = (torch.rand(n, 1, 1, 1) < STROKE_CHANGE) * amount
    dilated = F.max_pool2d(images, kernel_size=3, stride=1, padding=1)
    eroded = -F.max_pool2d(-images, kernel_size=3, stride=1, padding=1)
    target = torch.where(thicker, dilated, 0.5 * (images + eroded))  # full erosion breaks thin pens
    return torch.lerp(images, target, changed.to(images.device))


def _uniform(n: int, limit: float) -> Tensor:
    return (2 * torch.rand(n) - 1) * limit
