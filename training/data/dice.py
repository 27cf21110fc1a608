"""The random choices of one scene: a seeded generator, and the groups of ingredients that an experiment leaves out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Points = NDArray[np.float32]  # (n, 2), x and y, y down
Colour = NDArray[np.float32]  # (3,), red, green, blue in 0..255

GROUPS = ("pens", "papers", "lights", "camera", "canvases", "rows", "neighbours", "signs")

HARDENING = frozenset(("papers", "lights", "camera"))
EASED = 0.35  # share of their chance that is left in an easy scene: most pictures that people take are good

T = TypeVar("T")


@dataclass(frozen=True)
class Dice:
    """Makes random choices. without: those of GROUPS whose ingredients never come up; easy: few disturbances."""

    rng: np.random.Generator
    without: frozenset[str] = frozenset()
    easy: bool = False

    def maybe(self, chance: float, group: str | None = None) -> bool:
        """True with that chance; never for a group that is left out, and less often for disturbances in an easy scene."""
        if self.easy and group in HARDENING:
            chance *= EASED
        return self.rng.random() < chance and group not in self.without

    def between(self, low: float, high: float) -> float:
        """Uniformly distributed between the two."""
        return float(self.rng.uniform(low, high))

    def scale(self, low: float, high: float) -> float:
        """Log-uniformly distributed between the two positive numbers."""
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def near(self, middle: float, deviation: float) -> float:
        """Normally distributed."""
        return float(self.rng.normal(middle, deviation))

    def count(self, low: int, high: int) -> int:
        """A uniformly distributed integer, both ends included."""
        return int(self.rng.integers(low, high + 1))

    def pick(self, items: Sequence[T]) -> T:
        """One of them, all equally likely."""
        return items[int(self.rng.integers(len(items)))]

    def weighted(self, weights: dict[T, float]) -> T:
        """One of the keys, with a chance by its weight."""
        names = list(weights)
        edges = np.cumsum([weights[name] for name in names])
        return names[min(int(np.searchsorted(edges, self.rng.random() * edges[-1])), len(names) - 1)]

    def colour(self, low: float, high: float) -> Colour:
        """A colour whose channels are between the two."""
        return self.rng.uniform(low, high, 3).astype(np.float32)

    def grey(self, low: float, high: float, tint: float = 0) -> Colour:
        """A grey between the two; its channels differ by the deviation ``tint``."""
        return np.clip(self.rng.uniform(low, high) + self.rng.normal(0, tint, 3), 0, 255).astype(np.float32)

    def waves(self, shape: tuple[int, int], cells: int) -> Floats:
        """Smooth noise (H, W) of deviation near 1, with about that many hills across."""
        coarse = self.rng.standard_normal((cells, cells), dtype=np.float32)
        return np.asarray(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)

    def grain(self, shape: tuple[int, int], sigma: float) -> Floats:
        """Fine noise (H, W), blurred by sigma pixels, of deviation 1."""
        noise = self.rng.standard_normal(shape, dtype=np.float32)
        if sigma <= 0:
            return noise
        soft = cv2.GaussianBlur(noise, (0, 0), sigma)
        return np.asarray(soft / max(float(soft.std()), 1e-6), np.float32)
