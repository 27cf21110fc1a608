"""The supervisor: replaces workers that end or hang, and ends the service only if none can start."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import Process
from pathlib import Path

import pytest
import uvicorn

from app.web import supervisor

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are found in Linux's /proc")

# A service of two workers that write their process ids into a folder. They fail to start while there is a file named broken,
# and before they have an application while one is named unmakeable. They answer when there is one named answer. The supervisor
# fails when there is one named fault.
PROGRAM = """
import asyncio, os, socket, sys
from pathlib import Path
import uvicorn
from app.web import supervisor

folder = Path(sys.argv[1])

if __name__ != "__main__" and (folder / "unmakeable").exists():
    (folder / f"{os.getpid()}.tried").touch()
    sys.exit(2)

async def application(scope, receive, send):
    if scope["type"] == "http":
        (folder / "asked").touch()
        while not (folder / "answer").exists():
            await asyncio.sleep(0.05)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})
        return
    await receive()
    (folder / f"{os.getpid()}.tried").touch()
    if (folder / "broken").exists():
        await send({"type": "lifespan.startup.failed"})
        return
    (folder / f"{os.getpid()}.started").touch()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})

class Service(supervisor.Supervisor):
    def handle_signals(self):
        super().handle_signals()
        if (folder / "fault").exists():
            raise RuntimeError

if __name__ == "__main__":
    supervisor.RETRY_SECONDS = float(sys.argv[3])
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        (folder / "port").write_text(str(listening.getsockname()[1]))
        config = uvicorn.Config(application, workers=2, log_level="critical", timeout_worker_healthcheck=int(sys.argv[2]))
        service = Service(config, [listening])
        service.run()
        sys.exit(int(service.failed))
"""


@contextmanager
def supervised(folder: Path, patience: int = 60, pause: float = 0.1) -> Iterator["subprocess.Popen[bytes]"]:
    program = folder / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, str(program), str(folder), str(patience), str(pause)]
    log = (folder / "log").open("wb")
    with log, subprocess.Popen(command, env=environment, stderr=log, start_new_session=True) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def pids(folder: Path, what: str = "started") -> set[int]:
    return {int(path.stem) for path in folder.glob(f"*.{what}")}


def eventually(folder: Path, workers: int, what: str = "started") -> None:
    wait_until(lambda: len(pids(folder, what)) >= workers)


def wait_until(happens: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not happens():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_worker_that_has_ended_is_replaced(tmp_path: Path) -> None:
    with supervised(tmp_path):
        eventually(tmp_path, 2)
        os.kill(min(pids(tmp_path)), signal.SIGKILL)
        eventually(tmp_path, 3)


@pytest.mark.parametrize("fault", ["broken", "unmakeable"])
def test_a_worker_that_cannot_start_is_tried_again_while_another_lives(fault: str, tmp_path: Path) -> None:
    with supervised(tmp_path) as service:
        eventually(tmp_path, 2)
        (tmp_path / fault).touch()
        os.kill(min(pids(tmp_path)), signal.SIGKILL)
        eventually(tmp_path, 4, "tried")  # two that have failed
        (tmp_path / fault).unlink()
        eventually(tmp_path, 3)
        assert service.poll() is None


@pytest.mark.parametrize("fault", ["broken", "unmakeable"])
def test_a_worker_that_could_not_start_is_tried_again_only_after_a_pause(fault: str, tmp_path: Path) -> None:
    with supervised(tmp_path, pause=4):
        eventually(tmp_path, 2)
        (tmp_path / fault).touch()
        os.kill(min(pids(tmp_path)), signal.SIGKILL)
        eventually(tmp_path, 4, "tried")

    *_, first, second = sorted(path.stat().st_mtime for path in tmp_path.glob("*.tried"))
    assert second - first >= 4


@pytest.mark.parametrize("fault", ["broken", "unmakeable"])
def test_a_service_none_of_whose_workers_can_start_ends_with_a_failure(fault: str, tmp_path: Path) -> None:
    (tmp_path / fault).touch()
    with supervised(tmp_path) as service:
        assert service.wait(120) == 1


def test_a_service_that_has_served_ends_with_a_failure_once_none_of_its_workers_can_start(tmp_path: Path) -> None:
    with supervised(tmp_path) as service:
        eventually(tmp_path, 2)
        (tmp_path / "unmakeable").touch()
        for worker in pids(tmp_path):
            os.kill(worker, signal.SIGKILL)
        assert service.wait(120) == 1


@contextmanager
def no_file_to_spare(service: "subprocess.Popen[bytes]") -> Iterator[None]:
    """The supervisor can open none, which starting a worker takes."""
    soft, hard = resource.prlimit(service.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (3, hard))
    yield
    resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (soft, hard))


def wait_for_tries(folder: Path, count: int) -> None:
    """Until the supervisor has said so often that it could not start a worker."""
    wait_until(lambda: (folder / "log").read_bytes().count(b"cannot start a worker process now: [Errno 24]") >= count)


def test_a_worker_that_the_system_cannot_start_is_tried_again(tmp_path: Path) -> None:
    with supervised(tmp_path) as service:
        eventually(tmp_path, 2)
        with no_file_to_spare(service):
            os.kill(min(pids(tmp_path)), signal.SIGKILL)
            wait_for_tries(tmp_path, 2)
        eventually(tmp_path, 3)
        service.send_signal(signal.SIGTERM)
        assert service.wait(120) == 0


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGTTIN, 3), (signal.SIGHUP, 4)], ids=["one more", "all anew"])
def test_a_service_goes_on_if_the_system_cannot_start_the_workers_that_a_signal_asks_for(
    number: signal.Signals, workers: int, tmp_path: Path
) -> None:
    with supervised(tmp_path) as service:
        eventually(tmp_path, 2)
        with no_file_to_spare(service):
            service.send_signal(number)
            wait_for_tries(tmp_path, 1)
        service.send_signal(number)
        eventually(tmp_path, workers)
        service.send_signal(signal.SIGTERM)
        assert service.wait(120) == 0


def test_no_worker_outlives_a_supervisor_that_fails(tmp_path: Path) -> None:
    with supervised(tmp_path) as service:
        eventually(tmp_path, 2)
        (tmp_path / "fault").touch()
        assert service.wait(120) == 1
        assert not any(Path(f"/proc/{worker}").exists() for worker in pids(tmp_path))


def is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=20).close()
    except ConnectionRefusedError:
        return True
    except OSError:  # it was accepted at the last moment
        pass
    return False


def test_once_the_service_ends_connections_are_refused_while_a_request_is_still_answered(tmp_path: Path) -> None:
    with supervised(tmp_path) as service:
        eventually(tmp_path, 2)
        port = int((tmp_path / "port").read_text(encoding="ascii"))
        with socket.create_connection(("127.0.0.1", port), timeout=120) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            wait_until((tmp_path / "asked").exists)
            service.send_signal(signal.SIGTERM)
            wait_until(lambda: is_refused(port))
            assert service.poll() is None
            (tmp_path / "answer").touch()
            assert client.recv(1_000).startswith(b"HTTP/1.1 200 ")
        assert service.wait(120) == 0


def test_a_worker_that_hangs_is_replaced(tmp_path: Path) -> None:
    with supervised(tmp_path, patience=5):
        eventually(tmp_path, 2)
        hanging = min(pids(tmp_path))
        os.kill(hanging, signal.SIGSTOP)
        eventually(tmp_path, 3)
        assert not Path(f"/proc/{hanging}").exists()


def test_while_a_worker_hangs_others_are_replaced_and_signals_are_obeyed(tmp_path: Path) -> None:
    with supervised(tmp_path, patience=1_000) as service:
        eventually(tmp_path, 2)
        hanging, other = sorted(pids(tmp_path))
        os.kill(hanging, signal.SIGSTOP)
        os.kill(other, signal.SIGKILL)
        eventually(tmp_path, 3)
        service.send_signal(signal.SIGTERM)
        (replacement,) = pids(tmp_path) - {hanging, other}
        wait_until(lambda: state(replacement) == b"Z")
        os.kill(hanging, signal.SIGCONT)  # it was told to end, too, and does so
        assert service.wait(120) == 0


def state(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:  # it has ended
        return b"Z"


@dataclass(frozen=True)
class Known:
    """A worker that has ended, of which only its id counts."""

    pid: int
    process: Process = field(default_factory=Process)


def test_the_supervisor_reaps_what_killed_workers_leave_behind_but_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    known: list[set[int | None]] = []
    monkeypatch.setattr(supervisor, "reap_orphans", known.append)
    watching = supervisor.Supervisor(uvicorn.Config("app.main:app"), [])
    watching.processes = [Known(7), Known(8)]  # type: ignore[list-item]
    watching.should_exit.set()

    watching.keep_subprocess_alive()

    assert known == [{7, 8}]
