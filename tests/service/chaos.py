"""``make chaos``: an hour of good and bad requests while parts of the service are killed and what it stands on is disturbed.

Two workers serve. Meanwhile decoders and workers are killed, another process locks the workers' database, their folder is full,
and the clock jumps, for the service's processes alone (libfaketime). Asked are: every request has a right answer, except those
in the hands of a worker when it was killed, and one picture for each decoder that was killed; and memory, threads and files
stay level.

What a worker has in hand is known exactly: it is stopped first, its connections are listed, and then it is killed. A folder that
can be full is a small tmpfs, which only root may mount; without it, or without libfaketime, the report says what was left out.
"""

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from statistics import median
from typing import Annotated
from urllib.request import urlopen

import typer

from app.errors import DeadlineExceeded, DecoderCrashed
from app.runtime.shared_state import FILE
from benchmarks.serving.server import tree
from tests.servers import free_port, read_proc, wait_for, workers_of
from tests.service.attack import Sample, sample
from tests.service.chaos_traffic import Kind, Seen, make_kinds, use_all

FOLDER_KIB = 16 * 1024  # of the workers' folder: their metrics take half of it
LOCKED_SECONDS, FULL_SECONDS = 20.0, 60.0
PAUSE_SECONDS = 2.0  # between faults, in which the watchdog replaces what died
SAMPLE_SECONDS = 10.0
WARM_UP_SECONDS, QUIET_SECONDS = 30.0, 8.0
CLOCK_SECONDS = 60.0  # that the service's clock may differ from what it was set to: its answers' dates lag behind
KILLED_SECONDS = 20.0  # after a worker's end, for a client to notice that its connection is broken
JUMPS = (3_600, -86_400, 0, 86_400 * 400, -3_600)  # seconds of the clock, over the true one
MORE_THREADS = 2  # one a worker: a pool's thread starts when it is first needed
MOST_GROWTH_MIB = 48.0  # of the median of memory from the first third to the last, and from before to after
FAKETIME = next((path for path in Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
NO_JUMPS, NEVER_FULL = "the clock jumps: there is no libfaketime", "the folder is full: no small disk can be mounted"
HOLD = (
    "import sqlite3, sys; database = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None);"
    "database.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()"
)


@dataclass(frozen=True)
class Target:
    """The service: its port, the process that started it, the workers' folder, and the file that sets its clock."""

    port: int
    pid: int
    folder: Path
    clock: Path


@contextmanager
def service(folder: Path, clock: Path) -> Iterator[Target]:
    """The service with two workers, whose clock can be set."""
    port = free_port()
    clock.write_text("+0\n", encoding="ascii")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMERAL_")}
    environment |= {"NUMERAL_RUNTIME_DIR": str(folder), "NUMERAL_RATE_LIMIT": "100000000/day", "NUMERAL_DRAIN_SECONDS": "0.5"}
    if FAKETIME:
        environment |= {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_CACHE_DURATION": "1"}
        # Without the last one, waking a thread takes milliseconds.
        environment |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1", "FAKETIME_FORCE_MONOTONIC_FIX": "0"}
    command = [sys.executable, "-m", "app", "serve", "--port", str(port), "--workers", "2"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(f"http://127.0.0.1:{port}/health/ready", 200)
            target = Target(port, process.pid, folder, clock)
            _wait_until(lambda: len(workers_of(target.pid)) == 2 and len(decoders(target)) == 4)
            yield target
        finally:
            process.terminate()


def decoders(target: Target) -> list[int]:
    """The processes that decode."""
    return [pid for pid in tree(target.pid) if read_proc(f"{pid}/comm").strip() == b"numeral-decoder"]


def ports_of(pid: int, port: int) -> set[int]:
    """The ports of the clients whose connections a worker holds."""
    held = set[str]()
    with suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                held.add(str(link.readlink()))
    rows = [line.split() for line in read_proc("net/tcp").decode("ascii").splitlines()[1:]]
    ours = [row for row in rows if int(row[1].rpartition(":")[2], 16) == port and f"socket:[{row[9]}]" in held]
    return {int(row[2].rpartition(":")[2], 16) for row in ours} - {0}


class Faults:
    """What is done to the service, and a note of each."""

    def __init__(self, target: Target, full_seconds: float, locked_seconds: float) -> None:
        self._target, self._full, self._locked = target, full_seconds, locked_seconds
        self._chance = random.Random(1)
        self.began = 0.0  # monotonic
        self.done: list[tuple[float, str]] = []  # when (monotonic), and what
        self.in_hand: dict[int, float] = {}  # the clients' ports of connections that killed workers held, and when
        self.clocks: list[float] = []  # what the service's clock said, over the true one

    def kill_decoder(self) -> None:
        """Kills a decoder by a crash."""
        with suppress(ProcessLookupError, IndexError):
            os.kill(self._chance.choice(decoders(self._target)), signal.SIGSEGV)
            self._note("a decoder is killed")

    def kill_worker(self) -> None:
        """Kills a worker, with all that it has in hand, and waits until another serves in its place."""
        victim = self._chance.choice(workers_of(self._target.pid))
        os.kill(victim, signal.SIGSTOP)
        held, now = ports_of(victim, self._target.port), time.monotonic()
        os.kill(victim, signal.SIGKILL)
        self.in_hand |= dict.fromkeys(held, now)
        self._note("a worker is killed")
        _wait_until(lambda: victim not in workers_of(self._target.pid) and len(workers_of(self._target.pid)) == 2)

    def lock_database(self) -> None:
        """Another process holds the workers' database."""
        command = [sys.executable, "-c", HOLD, str(self._target.folder / FILE)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            if holder.stdout and holder.stdin:
                holder.stdout.readline()
                self._note("the database is locked")
                time.sleep(self._locked)
                holder.stdin.close()

    def fill_folder(self) -> None:
        """The workers' folder has no room left."""
        ballast = self._target.folder / "ballast"
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        self._note("the folder is full")
        time.sleep(self._full)
        ballast.unlink()

    def set_clock(self) -> None:
        """The service's clock jumps."""
        jump = JUMPS[len(self.clocks) % len(JUMPS)]
        self._target.clock.write_text(f"{jump:+d}\n", encoding="ascii")
        self._note("the clock jumps")
        with suppress(TimeoutError):  # a busy service takes a while to look at its clock; judge says if it never does
            _wait_until(lambda: abs(self._miss(jump)) < CLOCK_SECONDS)
        self.clocks.append(self._miss(jump))

    def _miss(self, jump: int) -> float:
        """How many seconds the workers' clocks are off a jump, at most, over several answers: each may come from another worker."""
        return max((self._tell_clock() - jump for _ in range(10)), key=abs)

    def _tell_clock(self) -> float:
        """How many seconds the clock of whichever worker answers is ahead of the true one."""
        with urlopen(f"http://127.0.0.1:{self._target.port}/health/live") as answer:
            return parsedate_to_datetime(answer.headers["date"]).timestamp() - time.time()

    def _note(self, what: str) -> None:
        self.done.append((time.monotonic(), what))

    def explain(self, broken: tuple[str, float, int]) -> bool:
        """Whether a killed worker held this broken connection."""
        _, when, port = broken
        return port in self.in_hand and 0 < when - self.in_hand[port] < KILLED_SECONDS

    def tell_about(self, when: float, port: int) -> str:
        """What was done before a connection broke, for whoever looks for the reason."""
        last = next(((then, what) for then, what in reversed(self.done) if then < when), (0.0, "nothing"))
        held = f", held by a worker killed {when - self.in_hand[port]:.1f} s before" if port in self.in_hand else ""
        return f"{when - last[0]:.1f} s after {last[1]}{held}"


@dataclass
class Report:
    """What came of it. thirds: medians of MiB, threads and files in each third of the time; quiet: before and after, idle."""

    minutes: float
    requests: int
    faults: dict[str, int]
    left_out: list[str]
    broken_in_hand: int
    connections_in_hand: int
    crashed: int
    outcomes: dict[str, dict[str, int]]
    thirds: dict[str, list[float]]
    quiet: tuple[Sample, Sample]
    failures: list[str] = field(default_factory=list)


def judge(report: Report, kinds: Mapping[str, Kind], seen: Seen, faults: Faults) -> None:
    """Notes what is not as asked."""
    wrong = Counter(
        f"{name}: {outcome}"
        for name, counts in seen.outcomes.items()
        for outcome, count in counts.items()
        for _ in range(count)
        if outcome not in kinds[name].expected and not _lost_its_decoder(outcome)
    )
    lost = [each for each in seen.broken if not faults.explain(each)]
    killed = report.faults.get("a decoder is killed", 0)
    before, after = report.quiet
    memory = report.thirds["mib"]
    report.failures += [f"{count} × {what}" for what, count in wrong.items()]
    report.failures += [f"{name}: the connection broke, {faults.tell_about(when, port)}" for name, when, port in lost]
    report.failures += [f"{report.crashed} pictures crashed, {killed} decoders were killed"] * (report.crashed > killed)
    report.failures += [f"the clock did not jump: {faults.clocks}"] * any(abs(each) > CLOCK_SECONDS for each in faults.clocks)
    report.failures += [f"memory grew: {memory} MiB"] * (memory[-1] > memory[0] + MOST_GROWTH_MIB)
    report.failures += [f"memory is kept: {before.mib}, then {after.mib} MiB"] * (after.mib > before.mib + MOST_GROWTH_MIB)
    for what, more in (("processes", 0), ("threads", MORE_THREADS), ("files", 0)):
        then, now = getattr(before, what), getattr(after, what)
        report.failures += [f"{what}: {then} before, {now} after"] * (now > then + more)


@dataclass(frozen=True)
class Plan:
    """A fault, and how often it is done in an hour."""

    fault: Callable[[], None]
    hourly: float


def disturb(plans: Sequence[Plan], seconds: float, failures: list[str]) -> None:
    """Does each fault evenly over the time, one after the other; a short run has each at least once.

    Those that fall due during a long one follow with a pause before each: at once, they would kill more than the service has.
    """
    times = [
        ((number + 0.5) * seconds / count, place)
        for place, plan in enumerate(plans)
        for count in [max(1, round(plan.hourly * seconds / 3600))]
        for number in range(count)
    ]
    began = time.monotonic()
    free = began
    for due, place in sorted(times):
        time.sleep(max(0.0, began + due - time.monotonic(), free - time.monotonic()))
        try:
            plans[place].fault()
        except Exception as error:  # noqa: BLE001  the report tells of it
            failures.append(f"a fault failed: {error!r}")
            return
        free = time.monotonic() + PAUSE_SECONDS


def run(target: Target, seconds: float, can_be_full: bool, say: Callable[[str], None]) -> tuple[Report, list[Sample], Faults]:
    """Sends requests, disturbs the service, and looks at what it holds. can_be_full: whether the workers' folder is a small disk."""
    short, kinds = min(1.0, seconds / 360), make_kinds()

    def warm_up() -> None:
        _send(target.port, kinds, Seen(), lambda: time.sleep(WARM_UP_SECONDS * short))

    faults = Faults(target, FULL_SECONDS * short, LOCKED_SECONDS * short)
    plans = [Plan(faults.kill_decoder, 240), Plan(faults.kill_worker, 20), Plan(faults.lock_database, 10)]
    plans += [Plan(faults.set_clock, 40)] * (FAKETIME is not None) + [Plan(faults.fill_folder, 4)] * can_be_full
    warm_up()
    began = time.monotonic()
    time.sleep(QUIET_SECONDS)
    failures = list[str]()
    before, samples, seen, over = sample(target.pid, began), list[Sample](), Seen(), threading.Event()
    began = faults.began = time.monotonic()
    disturber = threading.Thread(target=disturb, args=(plans, seconds, failures))
    watcher = threading.Thread(target=_watch, args=(target.pid, began, samples, over, say))
    for thread in (disturber, watcher):
        thread.start()

    def end() -> None:
        time.sleep(seconds)
        disturber.join()

    _send(target.port, kinds, seen, end)
    over.set()
    watcher.join()
    _wait_until(lambda: len(workers_of(target.pid)) == 2 and len(decoders(target)) == 4)
    warm_up()  # a worker that has just started holds less
    time.sleep(QUIET_SECONDS)
    report = Report(
        minutes=round(seconds / 60, 1),
        requests=seen.requests,
        faults=dict(Counter(what for _, what in faults.done)),
        left_out=[NO_JUMPS] * (FAKETIME is None) + [NEVER_FULL] * (not can_be_full),
        broken_in_hand=sum(map(faults.explain, seen.broken)),
        connections_in_hand=len(faults.in_hand),
        crashed=sum(
            count for counts in seen.outcomes.values() for outcome, count in counts.items() if _lost_its_decoder(outcome)
        ),
        outcomes={name: dict(counts) for name, counts in seen.outcomes.items()},
        thirds={what: _thirds([getattr(each, what) for each in samples]) for what in ("mib", "threads", "files")},
        quiet=(before, sample(target.pid, began)),
        failures=failures,
    )
    judge(report, kinds, seen, faults)
    return report, samples, faults


def _lost_its_decoder(outcome: str) -> bool:
    """Whether a picture may have been in a decoder that was killed: another one reads it, if enough time is left."""
    return any(code in outcome for code in (DecoderCrashed.code, DeadlineExceeded.code))


def _send(port: int, kinds: Mapping[str, Kind], seen: Seen, ends: Callable[[], object]) -> None:
    """Has a user of each kind send requests until ends returns."""
    asyncio.run(use_all(port, kinds, seen, ends))


def _watch(pid: int, began: float, samples: list[Sample], over: threading.Event, say: Callable[[str], None]) -> None:
    while not over.wait(SAMPLE_SECONDS):
        samples.append(sample(pid, began))
        say(json.dumps(asdict(samples[-1])))


def _thirds(values: Sequence[float]) -> list[float]:
    size = max(1, len(values) // 3)
    return [median(values[start : start + size]) for start in (0, size, 2 * size) if values[start : start + size]]


def _wait_until(happens: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not happens():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.1)


@contextmanager
def small_folder(folder: Path) -> Iterator[bool]:
    """Mounts a small disk on a folder; False where this user may not."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={FOLDER_KIB}k", "tmpfs", str(folder)]
    mounted = shutil.which("mount") is not None and not subprocess.run(command, check=False, capture_output=True).returncode
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def draw(samples: Sequence[Sample], faults: Faults, path: Path) -> None:
    """Memory, threads and files over the time, with the faults as marks below."""
    from matplotlib.figure import Figure  # noqa: PLC0415  takes a second

    figure = Figure(figsize=(9, 5), layout="constrained")
    memory, counts, marks = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2, 1.4))
    minutes = [each.minutes for each in samples]
    memory.plot(minutes, [each.mib for each in samples], color="tab:blue")
    memory.set(ylabel="memory (MiB, PSS)", ylim=(0, None))
    for what in ("files", "threads", "processes"):
        counts.plot(minutes, [getattr(each, what) for each in samples], label=what)
    counts.set(ylabel="number", ylim=(0, None))
    counts.legend(loc="center right", fontsize=8, ncols=3)
    names = list(dict.fromkeys(what for _, what in faults.done))
    for place, name in enumerate(names):
        times = [(when - faults.began) / 60 for when, what in faults.done if what == name]
        marks.plot(times, [place] * len(times), "|", markersize=7)
    marks.set(xlabel="minutes", yticks=range(len(names)), ylim=(-0.6, len(names) - 0.4))
    marks.set_yticklabels(names, fontsize=8)
    for axes in (memory, counts):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main(
    minutes: Annotated[float, typer.Option(help="How long.")] = 60,
    plot: Annotated[Path | None, typer.Option(help="Where to draw what the processes held.")] = None,
) -> None:
    """Disturbs the service; exits with 1 if something was not as asked."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        folder.mkdir()
        with small_folder(folder) as mounted, service(folder, Path(scratch) / "clock") as target:
            os.nice(5)  # of the clients alone
            report, samples, faults = run(target, 60 * minutes, mounted, lambda line: typer.echo(line, err=True))
    if plot:
        draw(samples, faults, plot)
    typer.echo(json.dumps(asdict(report), indent=1))
    raise typer.Exit(bool(report.failures))


if __name__ == "__main__":
    typer.run(main)
