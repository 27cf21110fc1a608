"""``make attack``: hostile pictures, two at a time, against a service with default settings, while somebody else uses it.

A victim posts a drawing and asks for the service's health, ten times a second each. Asked are: no 5xx for the victim, none of
its answers after more than a second, health within 50 ms in 99 of 100 cases, less than 900 MiB of memory over all processes,
and all well afterwards. The pictures are made on the spot, from what each of them does (tests/fuzz/nasty.py).
"""

import base64
import http.client
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path
from queue import Empty
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.pictures import canvas, encode
from benchmarks.serving.server import tree
from tests.fuzz.nasty import EXPENSIVE, HURTFUL, png
from tests.servers import free_port, wait_for

AT_A_TIME = 2
PERIOD = 0.1  # seconds between a victim's requests
MOST_SECONDS, MOST_HEALTH_MS, MOST_MIB = 1.0, 50.0, 900.0
GIVEN_BACK_MIB = 96.0  # that the processes may keep for what comes next, some seconds later
QUIET_SECONDS = 5.0
SOAKED_TOGETHER = 20  # that are sent between two looks
PATIENCE = 30.0  # seconds that an attacker waits for an answer

Attack = tuple[str, str, str, str]  # name, path, content type, file with the body


def nested_json() -> bytes:
    """27 MB of arrays in a drawing's place."""
    return b'{"image": [' + b"[]," * 8_900_000 + b"[]]}"


def many_keys() -> bytes:
    """A drawing's JSON with two million names."""
    return b"{" + b",".join(b'"%d":1' % number for number in range(2_000_000)) + b"}"


def heavy_batch() -> bytes:
    """64 PNGs that are legal and take a second each."""
    data = png(7_000, 7_000, colour=2)
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n' + data + b"\r\n"
    return part * 64 + b"--x--\r\n"


def hostile_canvas() -> bytes:
    """A picture of one-pixel runs as a drawing."""
    return json.dumps({"image": base64.b64encode(HURTFUL["bmp of one-pixel runs"]()).decode()}).encode()


def almost_numbers() -> bytes:
    """64 texts for pictures, of runs of numbers that are one too short for a glyph."""
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n' + (b"0" * 783 + b"x") * 32 + b"\r\n"
    return part * 64 + b"--x--\r\n"


REQUESTS: dict[str, tuple[str, str, Callable[[], bytes]]] = {
    "nested JSON": ("/predict/canvas", "application/json", nested_json),
    "JSON of many names": ("/predict/canvas", "application/json", many_keys),
    "a batch of heavy pictures": ("/predict/batch", "multipart/form-data; boundary=x", heavy_batch),
    "a batch of almost numbers": ("/predict/batch", "multipart/form-data; boundary=x", almost_numbers),
    "a hostile drawing": ("/predict/canvas", "application/json", hostile_canvas),
}


def make_attacks(folder: Path, only: str | None = None) -> list[Attack]:
    """Makes the bodies, each a file: they would fill the memory."""
    made = {name: ("/predict", "application/octet-stream", make) for name, make in (HURTFUL | EXPENSIVE).items()} | REQUESTS
    attacks = []
    for number, (name, (path, content_type, make)) in enumerate(made.items()):
        if only is None or only in name:
            file = folder / f"{number}.bin"
            file.write_bytes(make())
            attacks.append((name, path, content_type, str(file)))
    return attacks


@dataclass
class Seen:
    """What a client saw: seconds to each answer, and how often each status came; 0 where the connection broke."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)


def ask(port: int, method: str, path: str, body: bytes = b"", content_type: str = "", patience: float = PATIENCE) -> Any:
    """Status, code or digit, and seconds of a request on a connection of its own."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patience)
    try:
        connection.request(method, path, body or None, {"Content-Type": content_type} if content_type else {})
        response = connection.getresponse()
        answer = json.loads(response.read())
        return response.status, answer.get("code", answer.get("digit", answer.get("status"))), time.perf_counter() - began
    except (OSError, ValueError, http.client.HTTPException) as error:
        return 0, type(error).__name__, time.perf_counter() - began
    finally:
        connection.close()


def be_victim(port: int, kind: str, over: Event, told: "multiprocessing.Queue[tuple[str, Seen]]") -> None:
    """Asks ten times a second until it is over."""
    seen, drawing = Seen(), json.dumps({"image": base64.b64encode(encode(canvas(3))).decode()}).encode()
    due = time.perf_counter()
    while not over.is_set():
        due = max(due + PERIOD, time.perf_counter())
        time.sleep(max(0.0, due - time.perf_counter()))
        if kind == "health":
            status, _, seconds = ask(port, "GET", "/health/ready")
        else:
            status, digit, seconds = ask(port, "POST", "/predict/canvas", drawing, "application/json")
            assert status != 200 or digit == 3
        seen.seconds.append(seconds)
        seen.statuses[status] += 1
    told.put((kind, seen))


def be_attacker(port: int, todo: "multiprocessing.Queue[Attack]", told: "multiprocessing.Queue[Any]") -> None:
    """Sends one after the other, as long as there are some."""
    try:
        while True:
            name, path, content_type, file = todo.get(timeout=1)
            status, code, seconds = ask(port, "POST", path, Path(file).read_bytes(), content_type)
            told.put((name, status, code if isinstance(code, str) else "answer", round(seconds, 2)))
    except Empty:
        pass


def memory(pid: int) -> tuple[float, int]:
    """MiB of a process and all below it, what they share counted once (PSS); and how many they are."""
    total, count = 0, 0
    for each in tree(pid):
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text(encoding="ascii").splitlines()
        except OSError:  # it has ended
            continue
        total, count = total + sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")), count + 1
    return total / 1024, count


@contextmanager
def service() -> Iterator[tuple[int, int]]:
    """The service with default settings: its port and its process."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMERAL_")}
    command = [sys.executable, "-m", "app", "serve", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(f"http://127.0.0.1:{port}/health/ready", 200)
            yield port, process.pid
        finally:
            process.terminate()


@dataclass
class Report:
    """What came of it; health and drawing: milliseconds at the median, at 99 %, at most, and how often each status came."""

    attacks: int
    outcomes: dict[str, int]
    health: dict[str, Any]
    drawing: dict[str, Any]
    mib_before: float
    mib_most: float
    mib_after: float
    processes: tuple[int, int]
    ready: bool
    slowest: list[tuple[float, str, str]]
    failures: list[str] = field(default_factory=list)

    def judge(self) -> None:
        """Notes what is not as asked."""
        for name, seen in (("health", self.health), ("a drawing", self.drawing)):
            bad = {status: count for status, count in seen["statuses"].items() if status == 0 or status >= 500}
            self._expect(not bad, f"{name} was answered with {bad}")
            self._expect(seen["most"] <= 1000 * MOST_SECONDS, f"{name} took {seen['most']:.0f} ms at most")
        self._expect(self.health["p99"] < MOST_HEALTH_MS, f"health took {self.health['p99']:.1f} ms at 99 %")
        self._expect(self.mib_most < MOST_MIB, f"the processes held {self.mib_most:.0f} MiB")
        self._expect(self.mib_after < self.mib_before + GIVEN_BACK_MIB, f"they hold {self.mib_after:.0f} MiB afterwards")
        self._expect(self.ready and self.processes[0] == self.processes[1], "not all is well afterwards")

    def _expect(self, held: bool, failure: str) -> None:
        if not held:
            self.failures.append(failure)


def run(attacks: list[Attack], seconds: float) -> Report:
    """Starts the service, the victims and the attackers; ends when all is sent, or after so many seconds."""
    spawn = multiprocessing.get_context("spawn")
    todo, told, victims = spawn.Queue(), spawn.Queue(), spawn.Queue()
    over = spawn.Event()
    for attack in attacks:
        todo.put(attack)
    with service() as (port, pid):
        ask(port, "POST", "/predict", encode(canvas(3)), "image/png")
        before, count = memory(pid)
        clients = [spawn.Process(target=be_victim, args=(port, kind, over, victims)) for kind in ("health", "drawing")]
        attackers = [spawn.Process(target=be_attacker, args=(port, todo, told)) for _ in range(AT_A_TIME)]
        for process in (*clients, *attackers):
            process.start()
        most, end = before, time.monotonic() + seconds
        while any(attacker.is_alive() for attacker in attackers) and time.monotonic() < end:
            time.sleep(0.3)
            most = max(most, memory(pid)[0])
        for attacker in attackers:
            attacker.terminate()
        over.set()
        seen = dict(victims.get() for _ in clients)
        for process in (*clients, *attackers):
            process.join()
        time.sleep(QUIET_SECONDS)
        after, still = memory(pid)
        ready = ask(port, "GET", "/health/ready")[0] == 200
    outcomes = _drain(told)
    todo.cancel_join_thread()
    report = Report(
        attacks=len(outcomes),
        outcomes=dict(Counter(f"{status} {code}" for _, status, code, _ in outcomes).most_common()),
        health=_summary(seen["health"]),
        drawing=_summary(seen["drawing"]),
        mib_before=round(before, 1),
        mib_most=round(most, 1),
        mib_after=round(after, 1),
        processes=(count, still),
        ready=ready,
        slowest=sorted(((seconds, name, f"{status} {code}") for name, status, code, seconds in outcomes), reverse=True)[:12],
    )
    report.judge()
    return report


@dataclass
class Sample:
    """What all processes hold at some time: minutes since the start, MiB (PSS), processes, threads, open files."""

    minutes: float
    mib: float
    processes: int
    threads: int
    files: int


def sample(pid: int, began: float) -> Sample:
    """What a process and all below it hold now."""
    mib, processes = memory(pid)
    threads = files = 0
    for each in tree(pid):
        try:
            threads += len(list(Path(f"/proc/{each}/task").iterdir()))
            files += len(list(Path(f"/proc/{each}/fd").iterdir()))
        except OSError:  # it has ended
            continue
    return Sample(round((time.monotonic() - began) / 60, 2), round(mib, 1), processes, threads, files)


def soak(attacks: list[Attack], minutes: float) -> list[Sample]:
    """Sends them over and over, two at a time, and looks now and then, while nothing is under way."""
    began, samples = time.monotonic(), list[Sample]()
    with service() as (port, pid), ThreadPoolExecutor(AT_A_TIME) as senders:

        def send(attack: Attack) -> None:
            _, path, content_type, file = attack
            ask(port, "POST", path, Path(file).read_bytes(), content_type)

        while time.monotonic() - began < 60 * minutes:
            for start in range(0, len(attacks), SOAKED_TOGETHER):
                list(senders.map(send, attacks[start : start + SOAKED_TOGETHER]))
                time.sleep(1)
                samples.append(sample(pid, began))
                if time.monotonic() - began > 60 * minutes:
                    break
    return samples


def _drain(queue: Any) -> list[Any]:
    found = []
    try:
        while True:
            found.append(queue.get(timeout=0.2))
    except Empty:
        return found


def _summary(seen: Seen) -> dict[str, Any]:
    median, p99 = np.percentile(seen.seconds, (50, 99)) * 1000
    most = 1000 * max(seen.seconds)
    return {"median": round(median, 1), "p99": round(p99, 1), "most": round(most, 1), "statuses": dict(seen.statuses)}


def main(
    seconds: Annotated[float, typer.Option(help="Longest that it may take, once the pictures are made.")] = 600,
    only: Annotated[str | None, typer.Option(help="Sends those alone whose name holds this.")] = None,
    minutes: Annotated[float, typer.Option("--soak", help="Sends them over and over for so many minutes instead.")] = 0,
) -> None:
    """Attacks the service; exits with 1 if something was not as asked."""
    with tempfile.TemporaryDirectory() as folder:
        if minutes:
            for each in soak(make_attacks(Path(folder), only), minutes):
                typer.echo(json.dumps(asdict(each)))
            return
        report = run(make_attacks(Path(folder), only), seconds)
    typer.echo(json.dumps(asdict(report), indent=1))
    raise typer.Exit(bool(report.failures))


if __name__ == "__main__":
    typer.run(main)
