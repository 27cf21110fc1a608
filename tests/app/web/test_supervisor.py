"""The supervisor: replaces workers that end or hang, and ends the service only if none can start."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are found in Linux's /proc")

# A service of two workers that write their process ids into a folder, and fail to start while there is a file named broken.
PROGRAM = """
import asyncio, os, socket, sys
from pathlib import Path
import uvicorn
from app.web import supervisor

folder = Path(sys.argv[1])

async def application(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    (folder / f"{os.getpid()}.tried").touch()
    if (folder / "broken").exists():
        await send({"type": "lifespan.startup.failed"})
        return
    (folder / f"{os.getpid()}.started").touch()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})

if __name__ == "__main__":
    supervisor.RETRY_SECONDS = 0.1
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(application, workers=2, log_level="critical", timeout_worker_healthcheck=int(sys.argv[2]))
        service = supervisor.Supervisor(config, [listening])
        service.run()
        sys.exit(int(service.failed))
"""


@contextmanager
def supervised(folder: Path, patience: int = 60) -> Iterator["subprocess.Popen[bytes]"]:
    program = folder / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, str(program), str(folder), str(patience)]
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def pids(folder: Path, what: str = "started") -> set[int]:
    return {int(path.stem) for path in folder.glob(f"*.{what}")}


def eventually(folder: Path, workers: int, what: str = "started") -> None:
    until = time.monotonic() + 120
    while len(pids(folder, what)) < workers:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_worker_that_has_ended_is_replaced(tmp_path: Path) -> None:
    with supervised(tmp_path):
        eventually(tmp_path, 2)
        os.kill(min(pids(tmp_path)), signal.SIGKILL)
        eventually(tmp_path, 3)


def test_a_worker_that_cannot_start_is_tried_again_while_another_lives(tmp_path: Path) -> None:
    with supervised(tmp_path) as service:
        eventually(tmp_path, 2)
        (tmp_path / "broken").touch()
        os.kill(min(pids(tmp_path)), signal.SIGKILL)
        eventually(tmp_path, 4, "tried")  # two that have failed
        (tmp_path / "broken").unlink()
        eventually(tmp_path, 3)
        assert service.poll() is None


def test_a_service_none_of_whose_workers_can_start_ends_with_a_failure(tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    with supervised(tmp_path) as service:
        assert service.wait(120) == 1


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
        until = time.monotonic() + 120
        while Path(f"/proc/{replacement}").exists() and b"Z" not in state(replacement):
            assert time.monotonic() < until
            time.sleep(0.05)
        os.kill(hanging, signal.SIGCONT)  # it was told to end, too, and does so
        assert service.wait(120) == 0


def state(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:  # it has ended
        return b"Z"
