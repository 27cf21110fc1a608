"""``make fuzz``: hundreds of thousands of bad pictures behind the wall: no fault, none that takes longer or more than it may.

A decoder that crashes is no failure, since the wall is for that, but it is counted and named.

An interrupted run continues where it stopped. Every case is a number; ``--only NUMBER`` runs one again.
"""

import json
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import IO, Annotated, cast

import typer
from rich.console import Console
from rich.progress import Progress

from app.errors import DecoderCrashed
from tests.fuzz.mutate import case

SECONDS, MEGABYTES = 6.0, 300.0  # until the answer, and of the decoder's growth: what a case may take; the wall ends it before
HANGS = 600.0  # seconds, on however busy a machine
CHUNK = 2_000  # cases a process


@dataclass
class Tally:
    """How far a run is, and what came of it."""

    done: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    crashes: list[int] = field(default_factory=list)  # cases that ended their decoder
    most_seconds: list[float] = field(default_factory=lambda: [0.0, 0])  # and whose
    most_megabytes: list[float] = field(default_factory=lambda: [0.0, 0])
    cpu: float = 0.0

    def add(self, line: str) -> None:
        """Counts a worker's line."""
        number, result, cpu, wall, grown = line.rstrip("\n").split("\t")
        self.done = int(number) + 1
        self._count("fault" if result.startswith("FAULT") else result)
        self.cpu += float(cpu)
        self.most_seconds = max(self.most_seconds, [float(wall), int(number)])
        self.most_megabytes = max(self.most_megabytes, [float(grown), int(number)])
        if result == DecoderCrashed.code:
            self.crashes.append(int(number))
        if result.startswith("FAULT") or float(wall) > SECONDS or float(grown) > MEGABYTES:
            self.failures.append(f"case {number}: {result}, {cpu} s of CPU time, {wall} s, {grown} MB")

    def skip(self, reason: str) -> None:
        """Counts the next case as one that its process did not live to tell of."""
        self.failures.append(f"case {self.done}: {reason}")
        self._count("crash")
        self.done += 1

    def _count(self, result: str) -> None:
        self.outcomes[result] = self.outcomes.get(result, 0) + 1


def run_chunk(tally: Tally, last: int) -> None:
    """Runs cases in a process until the last, or until one ends the process."""
    command = [sys.executable, "-m", "tests.fuzz.worker", str(tally.done), str(last)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0) as worker:
        with DefaultSelector() as selector:
            selector.register(cast("IO[bytes]", worker.stdout), EVENT_READ)
            line = b"first"
            while line and selector.select(HANGS):
                line = cast("IO[bytes]", worker.stdout).readline()
                if line:
                    tally.add(line.decode())
        if line:
            worker.kill()
    if line:
        tally.skip(f"no answer within {HANGS:g} s")
    elif worker.returncode:
        tally.skip(f"its process ended with {worker.returncode}")


def main(
    cases: Annotated[int, typer.Option(help="How many.")] = 200_000,
    folder: Annotated[Path, typer.Option(help="Where the run's state and its failures are kept.")] = Path("runs/fuzz"),
    only: Annotated[int | None, typer.Option(help="Writes this case's bytes into the folder, and runs it alone.")] = None,
) -> None:
    """Runs the cases; exits with 1 if one failed."""
    folder.mkdir(parents=True, exist_ok=True)
    state, console = folder / "state.json", Console(stderr=True)
    if only is not None:
        (folder / f"{only}.bin").write_bytes(case(only))
        tally = Tally(done=only)
        run_chunk(tally, only + 1)
        console.print(asdict(tally))
        raise typer.Exit(bool(tally.failures))
    tally = _load(state) if state.exists() else Tally()
    with Progress(console=console) as progress:
        task = progress.add_task("cases", total=cases, completed=tally.done)
        while tally.done < cases:
            run_chunk(tally, min(cases, tally.done + CHUNK))
            progress.update(task, completed=tally.done, description=f"{len(tally.failures)} failures")
            state.write_text(json.dumps(asdict(tally), indent=1), encoding="utf-8")
    typer.echo(json.dumps(asdict(tally), indent=1))
    raise typer.Exit(bool(tally.failures))


def _load(state: Path) -> Tally:
    return Tally(**json.loads(state.read_text(encoding="utf-8")))


if __name__ == "__main__":
    typer.run(main)
