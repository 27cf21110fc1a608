"""Two services under load in turns, since a machine's speed changes meanwhile; and the CPU time of a part alone."""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from benchmarks.serving.bench import measure
from benchmarks.serving.server import Server

TWO_SIDED = NormalDist().inv_cdf(0.975)  # standard deviations to either side of an interval of 95 %
ENOUGH = 6  # ratios; all of fewer hold the median with less than 95 % certainty


@dataclass(frozen=True)
class Turns:
    """plain, changed: medians of the CPU milliseconds a request of each service; ratios: of neighbouring turns, sorted.

    of: what has a ratio each, turns or starts.
    """

    plain: float
    changed: float
    ratios: Sequence[float]
    of: str = "turns"

    @property
    def interval(self) -> tuple[float, float]:
        """Where the median ratio lies with 95 % certainty, by the order of the ratios alone; their range where they are few."""
        of = len(self.ratios)
        first = max(int(of / 2 - TWO_SIDED * math.sqrt(of) / 2), 0)  # the normal law in place of the binomial
        return self.ratios[first], self.ratios[of - 1 - first]

    def describe(self, plain: str, changed: str) -> str:
        """In one line; plain, changed: what the two are called behind their figures."""
        (low, high), count = self.interval, len(self.ratios)
        spread = f"range {self.ratios[0]:.3f} to {self.ratios[-1]:.3f}"
        if count >= ENOUGH:
            spread = f"with 95 % certainty {low:.3f} to {high:.3f}; {spread}"
        return (
            f"{self.plain:.3f} ms {plain}, {self.changed:.3f} ms {changed}; ratio {statistics.median(self.ratios):.3f} "
            f"(median of {count} {self.of}, {spread})"
        )


def take_turns(  # noqa: PLR0913, PLR0917
    servers: Mapping[str, Server], plain: str, changed: str, request: bytes, rounds: int, seconds: float, connections: int
) -> Turns:
    """Loads two services by turns and compares them; they begin by turns, too. plain, changed: their names in ``servers``."""
    taken = []
    for number in range(rounds):
        order = list(servers) if number % 2 else list(servers)[::-1]
        cpu = {name: measure(servers[name], request, connections, seconds).cpu for name in order}
        taken.append((cpu[plain], cpu[changed]))
    before, after = (statistics.median(each) for each in zip(*taken, strict=True))
    return Turns(before, after, sorted(after / before for before, after in taken))


def together(starts: Sequence[Turns]) -> Turns:
    """The same two services after several starts: a ratio a start, its median.

    The turns of one start have something in common that the next start does not share, so they do not count as so many
    independent ones.
    """
    if len(starts) == 1:
        return starts[0]
    plain, changed = (statistics.median(each) for each in zip(*((one.plain, one.changed) for one in starts), strict=True))
    return Turns(plain, changed, sorted(statistics.median(one.ratios) for one in starts), of="starts")


def least_cpu(work: Callable[[], object], repeats: int) -> float:
    """The least CPU time of several calls, in microseconds, which a busy machine disturbs least."""

    def take() -> float:
        started = time.thread_time()
        work()
        return time.thread_time() - started

    return 1e6 * min(take() for _ in range(repeats))
