"""Counts the results of pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

TWO_SIDED = NormalDist().inv_cdf(0.975)  # standard errors to either side, for 95 %


@dataclass(frozen=True)
class Tally:
    """Of so many pictures, how many were read rightly, and how many were refused because no digit was found."""

    right: int = 0
    refused: int = 0
    of: int = 0

    @property
    def share(self) -> float:
        """Accuracy, 0 to 1; a refusal is not right."""
        return self.right / self.of

    @property
    def misread(self) -> int:
        """How many were taken for another digit, which nobody is told; a refusal tells."""
        return self.of - self.right - self.refused

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.right + other.right, self.refused + other.refused, self.of + other.of)


@dataclass(frozen=True)
class Outcome:
    """What came of every picture.

    clean: source -> tally of the clean photos; worse: factor -> source -> a tally for each severity, the mildest first.
    """

    clean: dict[str, Tally]
    worse: dict[str, dict[str, tuple[Tally, ...]]]

    def total(self, factor: str) -> Tally:
        """All severities and sources of a factor together."""
        return sum((tally for tallies in self.worse[factor].values() for tally in tallies), Tally())

    def hardest_first(self) -> list[str]:
        """The factors by their accuracy over all severities and sources, the lowest first."""
        return sorted(self.worse, key=lambda factor: self.total(factor).share)

    def most_misread(self) -> str:
        """The factor under which most digits are taken for others."""
        return max(self.worse, key=lambda factor: self.total(factor).misread)


@dataclass(frozen=True)
class Difference:
    """How much of the same pictures two read rightly, 0 to 1, and how far chance alone may have set them apart."""

    ours: float
    theirs: float
    noise: float

    @property
    def apart(self) -> float:
        """How much more of them we read rightly."""
        return self.ours - self.theirs

    @property
    def is_worse(self) -> bool:
        """Whether we read fewer, by more than the noise."""
        return self.apart < -self.noise

    @classmethod
    def of(cls, digits: Sequence[Sequence[tuple[int, int]]]) -> "Difference":
        """From each digit's pictures: whether we, and whether they, read it rightly. At least two digits."""
        pairs = [np.array(pictures) for pictures in digits]
        both = np.concatenate(pairs)
        gains = np.array([(pictures[:, 0] - pictures[:, 1]).sum() for pictures in pairs])
        ours, theirs = both.mean(axis=0).tolist()
        return cls(ours, theirs, TWO_SIDED * float(gains.std(ddof=1)) * len(pairs) ** 0.5 / len(both))
