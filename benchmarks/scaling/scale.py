"""Computes what 10, 1,000 and 100,000 requests a second take and cost, from the cost of one: the tables of docs/scale.md.

The block below lists every input with its source. ``python -m benchmarks.scaling.scale`` writes the tables.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
RATES = (10, 1_000, 100_000)  # requests a second


@dataclass(frozen=True)
class Workload:
    """What is sent. cpu_ms: CPU time a request, all of it; bytes: of the body; glyphs: that the classifier is shown."""

    name: str
    cpu_ms: float
    bytes: int
    glyphs: int = 1

    @property
    def inference_ms(self) -> float:
        """CPU time of the classifier."""
        return self.glyphs * INFERENCE_MS


@dataclass(frozen=True)
class Machine:
    """What is rented. dollars: an hour, on demand; teraflops: of its GPU in float32, 0 where there is none."""

    name: str
    cpus: int
    dollars: float
    teraflops: float = 0


# As docs/performance.md, "What is sent", measures it: one CPU, 16 connections. Bodies: those that benchmarks.serving.bench
# sends.
WORKLOADS = (
    Workload("28×28 PNG", 1.20, 360),
    Workload("280×280 canvas", 1.41, 3_555),
    Workload("640×480 JPEG", 5.12, 49_126),
    Workload("12 MP JPEG", 37.05, 1_795_471),
    Workload("/read, a row of 8 digits, JPEG", 15.33, 35_893, glyphs=8),
)
# The classifier of digits/2 alone; the finder's looks count as CPU.
# Of a glyph, by docs/cost.md: `lean`, 0.50 of the tutorial's 244 µs in batches of 32, and 8.35 M multiply-adds.
INFERENCE_MS = 0.50 * 0.244
FLOP = 2 * 8.35e6
# docs/performance.md, "Overload": at half of the best rate the p99 is some 17 ms, at the best rate some 480.
BUSY = 0.6  # of the CPUs, on average; the rest is for bursts
SPARE = 1  # machines more, so that one may be lost or replaced
# AWS, us-east-1, on demand, as of June 2026 (https://www.factualminds.com/blog/amazon-ec2-on-demand-pricing-instance-families-2026/):
# m7g.large with 2 CPUs $0.0816, larger ones in proportion; g5.xlarge with 4 CPUs and an A10G $1.006.
CPU = Machine("m7g.2xlarge", 8, 0.3264)
GPU = Machine("g5.xlarge", 4, 1.006, 31.2)  # the last, of the card, from memory
GPU_SHARE = 0.05  # of the card's peak that so small a network reaches: assumed, not measured
# EC2's user guide, "Instance network bandwidth": what a machine of fewer than 32 CPUs can pass through an internet gateway.
GIGABITS = 5.0
# As AWS is known to charge, not looked up: traffic to the internet, first tier; a balancer's unit, which is 1 GB an hour.
DOLLARS_A_GB_OUT, DOLLARS_A_GB_BALANCED = 0.09, 0.006
ANSWER_BYTES = 700  # JSON and headers
HOURS = 730  # a month's


@dataclass(frozen=True)
class Plan:
    """What a rate of one workload takes on one kind of machine.

    by_cpu, by_network: machines that each of them alone asks for, without the spare. gpu: busy share of their GPUs.
    """

    workload: Workload
    machine: Machine
    rate: int
    by_cpu: int
    by_network: int
    gpu: float

    @property
    def machines(self) -> int:
        """How many to rent."""
        return max(self.by_cpu, self.by_network) + SPARE

    @property
    def limit(self) -> str:
        """What asks for most of them."""
        return "network" if self.by_network > self.by_cpu else "decode, find"

    @property
    def machine_dollars(self) -> float:
        """A month of the machines."""
        return self.machines * self.machine.dollars * HOURS

    @property
    def megabits(self) -> float:
        """Traffic coming in, a second."""
        return self.rate * self.workload.bytes * 8 / 1e6

    @property
    def traffic_dollars(self) -> float:
        """A month of balancing what comes in and sending the answers out."""
        gigabytes_in, gigabytes_out = (self.rate * size * 3600 * HOURS / 1e9 for size in (self.workload.bytes, ANSWER_BYTES))
        return (gigabytes_in + gigabytes_out) * DOLLARS_A_GB_BALANCED + gigabytes_out * DOLLARS_A_GB_OUT


def plan(workload: Workload, machine: Machine, rate: int) -> Plan:
    """Machines for a rate; a GPU takes inference off the CPUs, and nothing else."""
    cpu_ms = workload.cpu_ms - (workload.inference_ms if machine.teraflops else 0)
    by_cpu = ceil(rate * cpu_ms / 1000 / (machine.cpus * BUSY))
    by_network = ceil(rate * workload.bytes * 8 / (GIGABITS * 1e9))
    cards = max(by_cpu, by_network) + SPARE
    gpu = rate * workload.glyphs * FLOP / (machine.teraflops * 1e12 * GPU_SHARE * cards) if machine.teraflops else 0
    return Plan(workload, machine, rate, by_cpu, by_network, gpu)


def tables() -> str:
    """All tables, as Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield f"| request | CPU (ms) | of that inference | most a second on one CPU | a million on {CPU.name}, {BUSY:.0%} busy |"
    yield "|---|---|---|---|---|"
    for workload in WORKLOADS:
        share, dollars = workload.inference_ms / workload.cpu_ms, _dollars_a_million(workload)
        yield f"| {workload.name} | {workload.cpu_ms:.2f} | {share:.1%} | {1000 / workload.cpu_ms:,.0f} | ${dollars:.3f} |"
    for rate in RATES:
        yield ""
        yield f"## {rate:,} a second"
        yield ""
        yield (
            f"| request | {CPU.name} | a month | {GPU.name} | a month | its GPUs are busy | Mbit/s in "
            "| balancing and traffic, a month | what asks for most machines |"
        )
        yield "|---|---|---|---|---|---|---|---|---|"
        for workload in WORKLOADS:
            cpu, gpu = (plan(workload, machine, rate) for machine in (CPU, GPU))
            yield (
                f"| {workload.name} | {cpu.machines:,} | ${cpu.machine_dollars:,.0f} "
                f"| {gpu.machines:,} | ${gpu.machine_dollars:,.0f} | {gpu.gpu:.2%} "
                f"| {cpu.megabits:,.1f} | ${cpu.traffic_dollars:,.0f} | {cpu.limit} |"
            )


def _dollars_a_million(workload: Workload) -> float:
    return 1e6 * workload.cpu_ms / 1000 / BUSY / CPU.cpus * CPU.dollars / 3600


def fill(text: str) -> str:
    """The document with the tables between its two marks made anew."""
    marked = re.compile(r"(?<=<!-- tables -->\n).*(?=<!-- end of tables -->)", re.DOTALL)
    return marked.sub(lambda _: f"\n{tables()}\n\n", text)


def main() -> None:
    """Writes docs/scale.md's tables."""
    path = DOCS / "scale.md"
    path.write_text(fill(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
