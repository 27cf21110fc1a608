"""Whether a candidate may take the place of the served version: both read the same pictures, and are compared in pairs."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

SIGNIFICANT = 0.05  # probability of as clear a difference by chance, below which it counts, for better and for worse
TWO_SIDED = NormalDist().inv_cdf(0.975)  # standard deviations to either side of an interval of 95 %

NO_ANSWER = -1  # the label of a picture without a digit, and the answer where none was found

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]  # (N,): a digit, NO_ANSWER, or a row's digits as one number, as readers.row_label has it
Kind = Literal["picture", "glyph", "row"]
# pictures (H, W, 3), or glyphs (28, 28) -> answers, and which are accepted
Read = Callable[[Sequence[Pixels]], tuple[Labels, NDArray[np.bool_]]]


@dataclass(frozen=True)
class Samples:
    """Pictures (H, W, 3) of one kind, and their labels (N,), NO_ANSWER where there is none.

    kind: pictures of one digit or of none; glyphs (28, 28) that a finder has cut already, which only the classifier is asked
    about; or pictures of a row of digits, which is read rightly if all of it is.
    """

    name: str
    pictures: Sequence[Pixels]
    labels: Labels
    kind: Kind = "picture"


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
        reach = TWO_SIDED * math.sqrt(max(more + less - (more - less) ** 2 / of, 0)) / of
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
class Comparison:
    """A set as both read it. read: digits read rightly, and pictures without a digit that are turned down.

    accepted: of the pictures of a digit, those read rightly and accepted; None in a set that has none. A version that turned
    down more would otherwise only gain, by what is not a digit. None for rows, too: from which confidence on they are accepted
    is fitted after a version is published.
    """

    read: Paired
    accepted: Paired | None = None


@dataclass(frozen=True)
class Verdict:
    """What the gate says: whether the candidate may become a version, and why."""

    passes: bool
    reason: str


def compare(samples: Samples, candidate: Read, served: Read) -> Comparison:
    """Lets both read the same pictures, once. One without a digit is read rightly where no answer is accepted."""
    digit = samples.labels != NO_ANSWER
    both = [_judge_answers(samples.labels, *read(samples.pictures)) for read in (candidate, served)]
    right, accepted = ([each[place] for each in both] for place in (0, 1))
    counts = digit.any() and samples.kind != "row"
    return Comparison(pair(*right), pair(*(each[digit] for each in accepted)) if counts else None)


def _judge_answers(labels: Labels, answers: Labels, accepted: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which answers are right, and which are right and accepted, (N,) each."""
    right = np.asarray(np.where(labels == NO_ANSWER, ~accepted, answers == labels), np.bool_)
    return right, right & accepted


def pair(candidate: NDArray[np.bool_], served: NDArray[np.bool_]) -> Paired:
    """Counts what both read rightly, (N,) each."""
    alone = int((candidate & ~served).sum()), int((served & ~candidate).sum())
    return Paired(len(candidate), int(candidate.sum()), int(served.sum()), *alone)


def judge(results: Mapping[str, Comparison], wanted: str | None = None) -> Verdict:
    """Better on all pictures together, and significantly worse on none of the sets, neither in reading nor in accepting.

    wanted: a set to be better on instead, significantly: what was trained for one set has to show more there than chance.
    """
    if wanted is not None and not results[wanted].read.better:
        return Verdict(False, _describe_missing(results[wanted].read, wanted))
    if worse := [name for name, result in _rows_of(results) if result.worse]:
        return Verdict(False, f"significantly worse on {'; '.join(worse)}")
    if wanted is not None:
        gain = _describe_gain(results[wanted].read)
        return Verdict(True, f"better on {wanted}: {gain}, and no set is significantly worse")
    more = sum(result.read.only_candidate - result.read.only_served for result in results.values())
    if more <= 0:
        return Verdict(False, f"not better: {-more} more are read rightly by the served version, of all sets together")
    return Verdict(True, f"better: {more} more are read rightly, of all sets together, and no set is significantly worse")


def _rows_of(results: Mapping[str, Comparison]) -> Iterator[tuple[str, Paired]]:
    """All that is compared, by name: of each set how it is read, and how many of its digits are read rightly and accepted."""
    for name, result in results.items():
        yield name, result.read
        if result.accepted is not None:
            yield f"{name}, accepted", result.accepted


def _describe_missing(result: Paired, wanted: str) -> str:
    """Why a set does not show that the candidate is better on it."""
    if result.difference <= 0:
        return f"not better on {wanted}"
    return f"not significantly better on {wanted}: {_describe_gain(result)}, and less than {SIGNIFICANT:g} is asked"


def _describe_gain(result: Paired) -> str:
    return f"{result.only_candidate - result.only_served} more of {result.of} with a chance of {result.chance:.2g}"


def report(results: Mapping[str, Comparison], candidate: str, served: str, verdict: Verdict) -> str:
    """The comparison in Markdown."""
    lines = [
        f"# {candidate} next to {served}",
        "",
        "Both read the same pictures, from which the candidate's training did not learn. The difference is what the candidate",
        "reads more, with its interval of 95 %; chance is how likely so clear a difference is if both were equally good",
        "(McNemar's test, exact). Rows with *accepted* count the pictures of a digit that are read rightly and accepted.",
        "",
        f"| pictures | of | {candidate} | {served} | only {candidate} | only {served} | difference | chance |",
        "|---|---|---|---|---|---|---|---|",
        *(_row(name, result) for name, result in _rows_of(results)),
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
