"""The classifiers, chosen by name. Each maps (N, 1, 28, 28) float32, normalised, to logits.

(N, 10) of the digits, or (N, 11), the last of which is that of what is not a digit.
"""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from training.data.mnist import CLASSES

SIDE = 28  # of a glyph


class MLP(nn.Sequential):
    """Fully connected, 784-512-10 with ReLU: 407,050 parameters."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(28 * 28, 512), nn.ReLU(), nn.Linear(512, 10))


class TutorialCNN(nn.Sequential):
    """Two 5×5 convolutions, each with ReLU and pooling, then 3136-1000-10 with nothing between: 3,199,106 parameters."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 32, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(7 * 7 * 64, 1000),
            nn.Linear(1000, 10),
        )


class StagedCNN(nn.Module):
    """3×3 convolutions in stages, halved by pooling between them, then one linear layer.

    Batch normalisation (Ioffe & Szegedy 2015, arXiv:1502.03167) after each convolution folds into it at export, unless
    pooling comes between. A global average (Lin et al. 2013, arXiv:1312.4400) spares weights where the last stage is wide;
    where it is three pixels wide, the linear layer can afford to know where each feature is.
    """

    def __init__(
        self, *stages: tuple[int, ...], pool_early: bool = False, average: bool = True, outputs: int = CLASSES
    ) -> None:
        """stages: the widths of each stage's convolutions.

        pool_early: before normalisation, at a quarter of its work; average: over all places, before the linear layer.
        """
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 1
        for number, stage in enumerate(stages, start=1):
            for place, width in enumerate(stage, start=1):
                convolution, *after = _convolution(inputs, width)
                pool = [nn.MaxPool2d(2)] if place == len(stage) and number < len(stages) else []
                layers += [convolution, *pool, *after] if pool_early else [convolution, *after, *pool]
                inputs = width
        self.features = nn.Sequential(*layers)
        side = SIDE >> (len(stages) - 1)  # each pooling halves it, rounding down
        self._average = average
        self.classify = nn.Linear(inputs if average else inputs * side**2, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, outputs) of normalised digits (N, 1, 28, 28)."""
        features: Tensor = self.features(x)
        logits: Tensor = self.classify(features.mean(dim=(2, 3)) if self._average else features.flatten(1))
        return logits


def _convolution(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()


MODELS: dict[str, Callable[[], nn.Module]] = {
    "mlp": MLP,
    "cnn": TutorialCNN,
    "small": partial(StagedCNN, (16, 16), (32, 32), (64, 64)),  # 72,666 parameters
    "lean": partial(StagedCNN, (32,), (32, 32), (64, 64, 64), pool_early=True),  # 112,106 parameters
    "deep": partial(  # 196,970 parameters
        StagedCNN, (32,), (32, 32), (64, 64, 64), (128,), pool_early=True, average=False
    ),
    "wide": partial(  # a teacher of open: 1,886,027 parameters
        StagedCNN, (64, 64), (128, 128, 128), (256, 256, 256), outputs=CLASSES + 1
    ),
    "open": partial(  # lean with a logit for what is not a digit: 112,171 parameters
        StagedCNN, (32,), (32, 32), (64, 64, 64), pool_early=True, outputs=CLASSES + 1
    ),
}


def count_parameters(model: nn.Module) -> int:
    """The number of trained weights."""
    return sum(parameter.numel() for parameter in model.parameters())
