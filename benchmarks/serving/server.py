"""A server under measurement: started on chosen CPUs, watched as a tree of processes, and ended."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.client import closed_loop

PATIENCE = 90.0  # seconds for a server to answer
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """A running server: where, as which process, and how many seconds it took from its start to its first good answer."""

    port: int
    pid: int
    cold_start: float

    @property
    def cpu(self) -> float:
        """CPU seconds of its processes so far, user and system, those that ended included."""
        return sum(sum(map(int, _stat(pid)[11:15])) for pid in tree(self.pid)) / TICKS

    @property
    def peak_memory(self) -> int:
        """Largest resident size of each process so far, added up, in bytes."""
        return sum(_status(pid, "VmHWM") for pid in tree(self.pid))

    @property
    def memory(self) -> int:
        """Resident size of all processes, in bytes."""
        return sum(_status(pid, "VmRSS") for pid in tree(self.pid))

    @property
    def files(self) -> int:
        """Open files and connections of all processes."""
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in tree(self.pid))

    @property
    def threads(self) -> int:
        """Threads of all processes."""
        return sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in tree(self.pid))


@contextmanager
def serve(
    command: Sequence[str], request: bytes, cpus: set[int], environment: Mapping[str, str], log: Path
) -> Iterator[Server]:
    """Starts a command whose {port} is replaced by a free one, and waits until the request is answered with 200.

    Raises:
        RuntimeError: it ended, or did not answer in time; the log says why.
    """
    port = _free_port()
    with log.open("wb") as out:
        started = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603
            [part.replace("{port}", str(port)) for part in command],
            stdout=out,
            stderr=out,
            env={**os.environ, **environment},
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),  # noqa: PLW1509
        )
        try:
            while not _answers(port, request):
                if process.poll() is not None or time.perf_counter() - started > PATIENCE:
                    raise RuntimeError(f"{command} does not answer; see {log}.")
                time.sleep(0.01)
            yield Server(port, process.pid, time.perf_counter() - started)
        finally:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends the process and all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def tree(pid: int) -> list[int]:
    """The process and all that descend from it."""
    found, parents = [pid], dict[int, int]()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parents[int(entry.name)] = int(_stat(int(entry.name))[1])
            except (OSError, ValueError):
                continue
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def _answers(port: int, request: bytes) -> bool:
    try:
        return closed_loop(port, request, 1, 0.001).statuses[200] > 0
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on, which stands behind the name in brackets."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0
