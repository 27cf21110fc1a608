"""Counts the results of pictures."""

from dataclasses import dataclass


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
