"""Random distortion of a batch of digits, drawn per sample, as tensors."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

ROTATION = math.radians(15)
SHEAR = 0.2
STRETCH = 0.15  # each axis between 1/1.15 and 1.15 of its size
SHIFT = 2 / 14  # two pixels, in grid_sample's units of half the picture
WARP = 0.1  # most deviation of the elastic field's nodes, in the same units: about a pixel and a half
WARP_NODES = 5  # a side
STROKE_CHANGE = 0.5  # the share of digits whose strokes are made thicker or thinner
BLURRED, NOISY, CUT, LINED = 0.2, 0.2, 0.05, 0.05  # shares
NOISE = 0.1  # most deviation
GAMMA = 0.5  # contrast: levels are raised to a power between 1/1.5 and 1.5
LINE = (0.2, 0.8)  # how bright what is left of a printed line is

NAMES = ("affine", "elastic", "strokes", "blur", "contrast", "lines", "cut", "noise")  # in the order in which they are done


def augment(images: Tensor, names: Sequence[str] = NAMES, strength: float = 1) -> Tensor:
    """Distorts each digit in the ways named, by amounts of its own; strength, 0..1, scales those of affine and elastic.

    images: (N, 1, 28, 28) float32 in 0..1, black background; so is the result. Draws from torch's global generator.

    affine    rotated, sheared, stretched, shifted; bilinear
    elastic   warped by a smooth random field, after Simard, Steinkraus, Platt, Best Practices for CNNs (ICDAR 2003)
    strokes   thicker or thinner, by grey morphology
    blur      some, by a binomial 3×3 filter
    contrast  levels raised to a power, so that soft edges count more or less
    lines     some with what is left of a printed line across
    cut       some with one side cut off, up to three pixels into the digit's box of 20
    noise     some, Gaussian, where there is ink or next to it
    """
    images = _move(images, strength * ("affine" in names), strength * ("elastic" in names))
    for name in NAMES[2:]:
        if name in names:
            images = _WAYS[name](images)
    return images


def _move(images: Tensor, affine: float, elastic: float) -> Tensor:
    """One resampling for both, black flowing in from outside."""
    if not affine and not elastic:
        return images
    n = len(images)
    theta = _affine(n, affine)
    grid = F.affine_grid(theta.to(images.device), list(images.shape), align_corners=False)
    if elastic:
        nodes = (elastic * WARP * torch.rand(n, 1, 1, 1) * torch.randn(n, 2, WARP_NODES, WARP_NODES)).to(images.device)
        field = F.interpolate(nodes, images.shape[2:], mode="bicubic", align_corners=False)
        grid = grid + field.permute(0, 2, 3, 1)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _affine(n: int, strength: float) -> Tensor:
    angle = _uniform(n, strength * ROTATION)
    shear = _uniform(n, strength * SHEAR)
    width, height = ((1 + STRETCH) ** _uniform(n, strength) for _ in range(2))
    cos, sin = angle.cos(), angle.sin()
    rows = (
        torch.stack((cos * width, (shear * cos - sin) * height, _uniform(n, strength * SHIFT)), dim=1),
        torch.stack((sin * width, (shear * sin + cos) * height, _uniform(n, strength * SHIFT)), dim=1),
    )
    return torch.stack(rows, dim=1)


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


def _blur(images: Tensor) -> Tensor:
    weights = torch.tensor([1.0, 2.0, 1.0], device=images.device) / 4
    smooth = F.conv2d(images, torch.outer(weights, weights).expand(1, 1, 3, 3), padding=1)
    return torch.lerp(images, smooth, _some(images, BLURRED))


def _change_contrast(images: Tensor) -> Tensor:
    power = (1 + GAMMA) ** _uniform(len(images), 1)
    return images.clamp(0, 1) ** power.view(-1, 1, 1, 1).to(images.device)


def _draw_lines(images: Tensor) -> Tensor:
    """A row or a column of each, a pixel wide, as bright as LINE says."""
    n, size = len(images), images.shape[-1]
    places = torch.randint(4, size - 4, (n, 1, 1, 1)) == torch.arange(size).view(1, 1, size, 1)
    upright = torch.rand(n, 1, 1, 1) < 0.5
    lines = torch.where(upright, places.transpose(2, 3), places).to(images.device)
    level = LINE[0] + (LINE[1] - LINE[0]) * torch.rand(n, 1, 1, 1).to(images.device)
    return torch.maximum(images, lines * level * _some(images, LINED, partial=False))


def _cut(images: Tensor) -> Tensor:
    """Turns each so that any side may come first, cuts rows off, and turns it back: as a crop leaves a digit."""
    n, size = len(images), images.shape[-1]
    rows = torch.randint(4, 8, (n, 1, 1, 1)) * (torch.rand(n, 1, 1, 1) < CUT)
    index = torch.arange(size)
    index = torch.where(torch.rand(n, 1) < 0.5, index, index.flip(0))
    across = torch.rand(n, 1, 1, 1) < 0.5
    keep = index.view(n, 1, size, 1) >= rows
    return images * torch.where(across, keep.transpose(2, 3), keep).to(images.device)


def _add_noise(images: Tensor) -> Tensor:
    near = F.max_pool2d(images, kernel_size=3, stride=1, padding=1) > 0
    noise = NOISE * torch.randn(images.shape).to(images.device) * _some(images, NOISY)
    return (images + noise * near).clamp(0, 1)


_WAYS = {
    "strokes": _change_strokes,
    "blur": _blur,
    "contrast": _change_contrast,
    "lines": _draw_lines,
    "cut": _cut,
    "noise": _add_noise,
}


def _some(images: Tensor, share: float, *, partial: bool = True) -> Tensor:
    """(N, 1, 1, 1): 0 for most, and for that share of the samples an amount in 0..1, or 1 where it is not partial."""
    n = len(images)
    amount = torch.rand(n, 1, 1, 1) if partial else torch.ones(n, 1, 1, 1)
    return ((torch.rand(n, 1, 1, 1) < share) * amount).to(images.device)


def _uniform(n: int, limit: float) -> Tensor:
    return (2 * torch.rand(n) - 1) * limit
