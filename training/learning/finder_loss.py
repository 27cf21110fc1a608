"""What the finder's answers are held against: maps of where things are, and how far the answer is from them."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from training.data.mnist import CLASSES
from training.learning.finder import CELL, MARKS, Maps

EMPTY_SLOT = -1  # the label of a place in the list of objects that holds none
LABEL, X, Y, WIDTH, HEIGHT = range(5)  # what an object is: its label, 10 and up for MARKS, and its box in pixels of the input

SPREAD, LEAST_SPREAD, MOST_SPREAD = 0.12, 0.5, 2.0  # of a centre's mound: over the longer side; in cells, at least and at most
NEAR = 0.6  # of a mound: cells that high learn the box
PEAK = 0.99  # of a mound: cells that high hold the centre
TINY = 5.0  # pixels of the longer side; smaller digits are neither asked for nor forbidden, a larger look is for them

FOCUS, FAR = 2, 4  # powers of the focal loss for centres: Law, Deng 2018, CornerNet, arXiv:1808.01244
SURE = 1e-4  # probabilities are kept so far from 0 and 1 in the loss
INK_WEIGHT = 2.0  # of a pixel of ink over one of ground: there are some five times fewer
OVERLAP, CENTRES, BOXES = 0.3, 0.2, 0.3  # weights next to the ink's cross-entropy


@dataclass(frozen=True)
class Targets:
    """What the maps should be.

    mounds: (N, 14, h, w) in 0..1, 1 at a centre; boxes: (N, 4, h, w), as finder.BOX says; near: (N, h, w) bool, where a box
    is asked for; ignored: (N, h, w) bool, where nothing is.
    """

    mounds: Tensor
    boxes: Tensor
    near: Tensor
    ignored: Tensor


def make_targets(objects: Tensor, height: int, width: int) -> Targets:
    """The targets of objects (N, K, 5) for maps of so many cells; every centre that lies in the picture has its mound."""
    label, boxes = objects[..., LABEL].long(), objects[..., X:] / CELL
    x, y, w, h = boxes[..., 0] - 0.5, boxes[..., 1] - 0.5, boxes[..., 2].clamp(min=0.5), boxes[..., 3].clamp(min=0.5)
    inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5) & (label != EMPTY_SLOT)
    tiny = inside & (torch.maximum(w, h) < TINY / CELL) & (label < CLASSES)
    there = inside & ~tiny
    across, down = (torch.arange(size, device=objects.device, dtype=torch.float32) for size in (width, height))
    dx, dy = x[..., None] - across, y[..., None] - down  # (N, K, width), (N, K, height)
    spread = (SPREAD * torch.maximum(w, h)).clamp(LEAST_SPREAD, MOST_SPREAD)[..., None]
    mound = torch.exp(-((dy / spread) ** 2) / 2)[..., None] * torch.exp(-((dx / spread) ** 2) / 2)[..., None, :]
    mound = mound / mound.amax(dim=(2, 3), keepdim=True).clamp(min=1e-6) * there[..., None, None]
    strongest, owner = mound.max(dim=1)  # (N, height, width)
    return Targets(_by_class(mound, label, there), _boxes(dx, dy, w, h, owner), strongest > NEAR, _within(dx, dy, w, h, tiny))


def _by_class(mound: Tensor, label: Tensor, there: Tensor) -> Tensor:
    """(N, 14, h, w): of each class the highest of its mounds (N, K, h, w)."""
    maps = mound.new_zeros(len(mound), CLASSES + len(MARKS), *mound.shape[2:])
    index = torch.where(there, label, 0)[..., None, None].expand_as(mound)
    return maps.scatter_reduce(1, index, mound, "amax")


def _boxes(dx: Tensor, dy: Tensor, w: Tensor, h: Tensor, owner: Tensor) -> Tensor:
    """(N, 4, h, w): in each cell the box of the object that owns it (N, h, w)."""
    shape = (*dx.shape[:2], owner.shape[1], owner.shape[2])
    values = (dx[..., None, :], dy[..., None], w.log()[..., None, None], h.log()[..., None, None])
    return torch.cat([value.expand(shape).gather(1, owner.unsqueeze(1)) for value in values], dim=1)


def _within(dx: Tensor, dy: Tensor, w: Tensor, h: Tensor, which: Tensor) -> Tensor:
    """(N, h, w): cells in one of those objects' boxes."""
    across = (dx.abs() <= w[..., None] / 2 + 0.5) & which[..., None]
    return (across[..., None, :] & (dy.abs() <= h[..., None] / 2 + 0.5)[..., None]).any(dim=1)


def finder_losses(maps: Maps, ink: Tensor, objects: Tensor) -> tuple[Tensor, Tensor]:
    """Of each picture its loss (N,), and of the digits in all of them (labels told rightly at their centres, digits).

    ink: (N, H/2, W/2) in 0..1; objects: (N, K, 5).
    """
    targets = make_targets(objects, *maps.classes.shape[2:])
    losses = (
        _ink_loss(maps.ink.squeeze(1), ink)
        + CENTRES * _centre_loss(maps.classes, targets)
        + BOXES * _box_loss(maps.boxes, targets)
    )
    return losses, _told(maps.classes.detach(), targets)


def _ink_loss(logits: Tensor, ink: Tensor) -> Tensor:
    """Cross-entropy, and how little the two overlap (Milletari et al. 2016, arXiv:1606.04797)."""
    weight = logits.new_tensor(INK_WEIGHT)
    entropy = F.binary_cross_entropy_with_logits(logits, ink, pos_weight=weight, reduction="none").mean(dim=(1, 2))
    seen = logits.sigmoid()
    both, either = (seen * ink).sum(dim=(1, 2)), seen.sum(dim=(1, 2)) + ink.sum(dim=(1, 2))
    return entropy + OVERLAP * (1 - (2 * both + 1) / (either + 1))


def _centre_loss(logits: Tensor, targets: Targets) -> Tensor:
    """Focal loss over all cells, over the mean number of centres a picture."""
    seen = logits.sigmoid().clamp(SURE, 1 - SURE)
    peak = targets.mounds > PEAK
    hit = (1 - seen) ** FOCUS * seen.log() * peak
    miss = (1 - targets.mounds) ** FAR * seen**FOCUS * (1 - seen).log() * ~peak * ~targets.ignored.unsqueeze(1)
    return -(hit + miss).sum(dim=(1, 2, 3)) * len(peak) / peak.sum().clamp(min=1)


def _box_loss(boxes: Tensor, targets: Targets) -> Tensor:
    """The boxes' distance where one is asked for, over the mean number of such cells a picture."""
    distance = F.smooth_l1_loss(boxes, targets.boxes, reduction="none").sum(dim=1) * targets.near
    return distance.sum(dim=(1, 2)) * len(boxes) / targets.near.sum().clamp(min=1)


def _told(logits: Tensor, targets: Targets) -> Tensor:
    """(2,): at how many digits' centres the right label is the highest, and how many there are."""
    truth, answer = targets.mounds[:, :CLASSES], logits[:, :CLASSES]
    peak = truth.amax(dim=1) > PEAK
    right = (truth.argmax(dim=1) == answer.argmax(dim=1)) & peak
    return torch.stack((right.sum(), peak.sum())).float()
