"""Whether a candidate may take the place of the served version: both read the same pictures, and are compared in pairs."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIGNIFICANT = 0.05  # probability of as clear a difference by chance, below which it counts, for better and for worse
DEVIATIONS = 1.96  # of the interval: 95 %

NO_ANSWER = -1  # the label of a picture without a digit, and the answer where none was found

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]  # (N,): a digit, or NO_ANSWER
# pictures (H, W, 3), or glyphs (28, 28) -> answers, and which are accepted
Read = Callable[[Sequence[Pixels]], tuple[Labels, NDArray[np.bool_]]]


@dataclass(frozen=True)
class Samples:
    """Pictures (H, W, 3) of one kind, and their labels (N,), NO_ANSWER where there is none.

    are_glyphs: whether they are glyphs (28, 28) that a finder has cut already, which only the classifier is asked about.
    """

    name: str
    pictures: Sequence[Pixels]
    labels: Labels
    are_glyphs: bool = False


@dataclass(frozen=True)
class Paired:
    """Of so many pictures: right by the candidate, right by the version that is served, right by one of them alone."""

    of: int
    candidate: int
    served: int
    only_candidate: int
    only_served: int

    @property
    def difference(self) -> float:
        """What the candidate reads more, as a share of all."""
        return (self.only_candidate - self.only_served) / max(self.of, 1)

    @property
    def interval(self) -> tuple[float, float]:
        """The difference's interval, of 95 %.

        Source: Wald's with half a picture added to each of the four cells: Agresti, Min 2005, Simple improved confidence
        intervals for comparing matched proportions, Statistics in Medicine 24, doi:10.1002/sim.1781.
        """
        more, less, of = self.only_candidate + 0.5, self.only_served + 0.5, self.of + 2
        middle = (more - less) / of
        reach = DEVIATIONS * math.sqrt(max(more + less - (more - less) ** 2 / of, 0)) / of
        return middle - reach, middle + reach

    @property
    def chance(self) -> float:
        """The probability of a difference at least as clear if both were equally good, from 0 to 1.

        Source: McNemar 1947, Note on the sampling error of the difference between correlated proportions, Psychometrika
        12; here exact, by the binomial distribution.
        """
        n, least = self.only_candidate + self.only_served, min(self.only_candidate, self.only_served)
        tail: float = sum(math.comb(n, k) for k in range(least + 1)) / 2**n
        return min(1.0, 2 * tail)

    @property
    def better(self) -> bool:
        """Whether the candidate is significantly better."""
        return self.difference > 0 and self.chance < SIGNIFICANT

    @property
    def worse(self) -> bool:
        """Whether the candidate is significantly worse."""
        return self.difference < 0 and self.chance < SIGNIFICANT


@dataclass(frozen=True)
class Verdict:
    """What the gate says: whether the candidate may become a version, and why."""

    passes: bool
    reason: str


def compare(samples: Samples, candidate: Read, served: Read) -> Paired:
    """Lets both read the same pictures. One without a digit is read rightly where no answer is accepted."""
    return pair(_right(samples, candidate), _right(samples, served))


def _right(samples: Samples, read: Read) -> NDArray[np.bool_]:
    answers, accepted = read(samples.pictures)
    return np.asarray(np.where(samples.labels == NO_ANSWER, ~accepted, answers == samples.labels), np.bool_)


def pair(candidate: NDArray[np.bool_], served: NDArray[np.bool_]) -> Paired:
    """Counts what both read rightly, (N,) each."""
    alone = int((candidate & ~served).sum()), int((served & ~candidate).sum())
    return Paired(len(candidate), int(candidate.sum()), int(served.sum()), *alone)


def judge(results: Mapping[str, Paired], wanted: str | None = None) -> Verdict:
    """Better on all pictures together, and significantly worse on none of the sets.

    wanted: a set to be better on instead, significantly: what was trained for one set has to show more there than chance.
    """
    if wanted is not None and not results[wanted].better:
        return Verdict(False, _describe_missing(results[wanted], wanted))
    if worse := [name for name, result in results.items() if result.worse]:
        return Verdict(False, f"significantly worse on {', '.join(worse)}")
    if wanted is not None:
        result = results[wanted]
        return Verdict(True, f"better on {wanted}: {_describe_gain(result)}, and no set is significantly worse")
    more = sum(result.only_candidate - result.only_served for result in results.values())
    if more <= 0:
        return Verdict(False, f"not better: {-more} more are read rightly by the served version, of all sets together")
    return Verdict(True, f"better: {more} more are read rightly, of all sets together, and no set is significantly worse")


def _describe_missing(result: Paired, wanted: str) -> str:
    """Why a set does not show that the candidate is better on it."""
    if result.difference <= 0:
        return f"not better on {wanted}"
    return f"not significantly better on {wanted}: {_describe_gain(result)}, and less than {SIGNIFICANT:g} is asked"


def _describe_gain(result: Paired) -> str:
    return f"{result.only_candidate - result.only_served} more of {result.of} with a chance of {result.chance:.2g}"


def report(results: Mapping[str, Paired], candidate: str, served: str, verdict: Verdict) -> str:
    """The comparison in Markdown."""
    lines = [
        f"# {candidate} next to {served}",
        "",
        "Both read the same pictures, from which the candidate's training did not learn. The difference is what the candidate",
        "reads more, with its interval of 95 %; chance is how likely so clear a difference is if both were equally good",
        "(McNemar's test, exact).",
        "",
        f"| pictures | of | {candidate} | {served} | only {candidate} | only {served} | difference | chance |",
        "|---|---|---|---|---|---|---|---|",
        *(_row(name, result) for name, result in results.items()),
        "",
        f"Verdict: {'passes' if verdict.passes else 'stays a candidate'}; {verdict.reason}.",
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, result: Paired) -> str:
    low, high = result.interval
    shares = (f"{right / max(result.of, 1):.2%}" for right in (result.candidate, result.served))
    alone = f"{result.only_candidate} | {result.only_served}"
    difference = f"{100 * result.difference:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"
    return f"| {name} | {result.of:,} | {' | '.join(shares)} | {alone} | {difference} | {result.chance:.2g} |"
