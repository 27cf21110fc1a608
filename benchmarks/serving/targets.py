"""The targets of the service, compared with the measurements."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.serving.bench import BARE, BATCH, FLOOR, IN_TURN, OURS, PLAIN, SINGLE, Figures, Results

BUSY = 64  # connections of the comparison that most targets are about
SHARES = {"LitServe": 0.5, "BentoML": 0.35}  # of a peer's CPU time


@dataclass(frozen=True)
class Target:
    """A figure and the limit that it is to keep: the most it may be, or where more is better the least."""

    name: str
    limit: float
    measured: float
    more: bool = False

    @property
    def kept(self) -> bool:
        """Whether the measurement meets the target."""
        return self.measured >= self.limit if self.more else self.measured <= self.limit


def targets(results: Results) -> Iterator[Target]:
    """The targets that these results can be checked against; those of peers only if peers were measured."""
    at = {
        name: {count: [each.loads[count] for each in rounds] for count in results.connections}
        for name, rounds in results.compared.items()
    }
    ours = results.compared[OURS]
    if BUSY in results.connections:
        cpu = {name: of(loads[BUSY], "cpu") for name, loads in at.items()}
        yield Target(f"canvas at {BUSY} connections, CPU in ms", 3.4, cpu[OURS])
        yield Target("the same, over FastAPI that does nothing", 6, cpu[OURS] / cpu[FLOOR])
        for name, limit in SHARES.items():
            if name in cpu:
                yield Target(f"the same, over {name}", limit, cpu[OURS] / cpu[name])
        slow = [of(loads[BUSY], "p99") for name, loads in at.items() if name not in (OURS, BARE, FLOOR)]
        if slow:
            yield Target("the same, p99 over the best peer's", 1, of(at[OURS][BUSY], "p99") / min(slow))
    if 1 in results.connections and PLAIN in at:
        yield Target(f"canvas at 1 connection, p50 over {PLAIN}", 1, of(at[OURS][1], "p50") / of(at[PLAIN][1], "p50"))
    yield Target("peak memory of the comparison, in MB", 160, max(each.peak_memory for each in ours) / 1e6)
    yield Target("first answer after, in s", 2, median(each.cold_start for each in ours))
    yield from _of_pictures(results)
    yield from _of_overload(results)
    yield from _of_scale(results)
    if len(results.soaked) > 1:
        first, *later = results.soaked
        yield Target("soak: MiB more than after the first minute", 8, max(line["memory"] for line in later) - first["memory"])
        for what in ("threads", "files"):
            yield Target(f"soak: {what} more than after the first minute", 0, later[-1][what] - first[what])


def _of_pictures(results: Results) -> Iterator[Target]:
    cpu = {name: of(each, "cpu") for name, each in results.sent.items()}
    for name, limit in (("28×28 PNG, raw", 1.2), ("12 MP JPEG, raw", 55)):
        if name in cpu:
            yield Target(f"{name}, CPU in ms", limit, cpu[name])
    if BATCH in cpu:
        yield Target("batch of 32 over 32 single ones, one after the other", 0.6, cpu[BATCH] / 32 / cpu[IN_TURN])
        yield Target("the same, over 16 connections, whose requests are read together too", 0.6, cpu[BATCH] / 32 / cpu[SINGLE])


def _of_overload(results: Results) -> Iterator[Target]:
    for each in results.overloaded:
        if each.times == 3:
            constant = max(other.good for other in results.overloaded)
            yield Target("3 × the capacity: good answers over the best constant rate's", 0.9, each.good / constant, more=True)
            yield Target("the same, over the best closed loop's", 0.9, each.good / results.best, more=True)
            yield Target("3 × the capacity: a refusal, p99 in the server in ms", 10, each.refusing)
            yield Target("3 × the capacity: a refusal, CPU in ms", 1, each.refusal_cpu)
            yield Target("3 × the capacity: health, p99 over that of doing nothing", 2, each.health / each.nothing)


def _of_scale(results: Results) -> Iterator[Target]:
    if len(results.scaled) > 1:
        one, *_, two = results.scaled.values()
        yield Target("two processes on two CPUs over one, answers a second", 1.5, of(two, "rate") / of(one, "rate"), more=True)
        yield Target("two processes over one, CPU a request", 1.1, of(two, "cpu") / of(one, "cpu"))


def of(loads: Sequence[Figures], key: str) -> float:
    """The median of one figure over the rounds."""
    return float(median(getattr(load, key) for load in loads))
