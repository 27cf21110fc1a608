"""Runs a network over a split (``infer``) and judges what came out (``evaluate``)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.data.mnist import CLASSES, MEAN, STD, Split
from training.data.torchvision_compat import v2

BATCH = 1_000


@dataclass(frozen=True)
class Metrics:
    """loss: mean cross-entropy in nats; accuracy: the share of right answers, 0..1; errors: wrong answers."""

    loss: float
    accuracy: float
    errors: int


def to_unit(images: Tensor) -> Tensor:
    """ToTensor on a batch: (N, 28, 28) uint8 -> (N, 1, 28, 28) float32 in 0..1.

    Divides, as ToTensor does; v2.ToDtype multiplies by 1/255 and differs in the last bit of 126 of the 256 levels.
    """
    return images.unsqueeze(1).float().div(255)


def normalize(images: Tensor) -> Tensor:
    """Normalize, by torchvision, with MNIST's mean and deviation: float32 in 0..1, any shape (..., 1, 28, 28)."""
    normalized: Tensor = v2.functional.normalize(images, mean=[MEAN], std=[STD])
    return normalized


@torch.inference_mode()
def infer(model: nn.Module, images: Tensor) -> Tensor:
    """Logits, (N, 10) or (N, 11), on the CPU for images (N, 28, 28) uint8, in eval mode, which is undone after."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        return torch.cat([model(normalize(to_unit(batch.to(device)))).cpu() for batch in images.split(BATCH)])
    finally:
        model.train(was_training)


def judge(logits: Tensor, labels: Tensor) -> Metrics:
    """Loss and accuracy of the digits' logits, the first ten of (N, 10 or 11), against labels (N,) int64."""
    logits = logits[:, :CLASSES]
    wrong = int((logits.argmax(dim=1) != labels).sum())
    return Metrics(F.cross_entropy(logits, labels).item(), 1 - wrong / len(labels), wrong)


def evaluate(model: nn.Module, split: Split) -> Metrics:
    """Loss and accuracy of the network on a split."""
    return judge(infer(model, split.images), split.labels)


def confusion_matrix(logits: Tensor, labels: Tensor) -> Tensor:
    """(10, 10) int64 counts: row = label, column = answer."""
    return torch.bincount(labels * CLASSES + logits[:, :CLASSES].argmax(dim=1), minlength=CLASSES**2).view(CLASSES, CLASSES)
