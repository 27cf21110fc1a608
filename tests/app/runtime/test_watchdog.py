"""The watchdog replaces dead parts and ends a process that cannot recover."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.reading.reader import Reader
from app.reading.requests import PictureOutcome, PictureRequest, most_prominent
from app.runtime import watchdog, worker_pool
from app.runtime.queue import Batcher
from app.runtime.watchdog import LoopHeartbeat, Watchdog
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.web.application import create_app
from benchmarks.pictures import canvas, encode, photo
from tests import plain_http
from tests.servers import decoders_of, free_port, serving, wait_for

DRAWING, PHOTO = encode(canvas(3)), encode(photo(3), "JPEG")


class Mortal:
    """Lives until it is killed; mending helps unless it is hopeless."""

    def __init__(self, *, hopeless: bool = False) -> None:
        self.lives = True
        self.hopeless = hopeless
        self.looks = 0

    def mend(self) -> None:
        self.looks += 1
        self.lives = self.lives or not self.hopeless


def _wait_until(happens: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_dead_part_is_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "PERIOD", 0.01)
    mortal, ended = Mortal(), threading.Event()
    dog = Watchdog({"threads": mortal}, ended.set, patience=5)

    mortal.lives = False
    assert dog.missing() in ("threads", None)
    _wait_until(lambda: mortal.lives)

    dog.stop()
    assert not ended.is_set()


def test_a_part_that_cannot_be_mended_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "PERIOD", 0.01)
    monkeypatch.setattr(watchdog, "MOMENT", 0.05)
    mortal, ended = Mortal(hopeless=True), threading.Event()
    dog = Watchdog({"others": Mortal(), "threads": mortal}, ended.set, patience=0.2)
    _wait_until(lambda: mortal.looks > 30)  # for longer than its patience
    assert not ended.is_set()

    mortal.lives = False

    _wait_until(lambda: dog.missing() == "threads")
    assert ended.wait(60)
    dog.stop()


def test_a_part_that_died_a_moment_ago_is_not_missed_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "MOMENT", 1_000)
    mortal, other = Mortal(hopeless=True), Mortal()
    dog = Watchdog({"threads": mortal, "others": other}, lambda: None)
    dog.stop()
    mortal.lives = False
    assert dog.missing() is None

    monkeypatch.setattr(watchdog, "MOMENT", 0.05)

    _wait_until(lambda: dog.missing() == "threads")
    mortal.lives, other.lives = True, False
    monkeypatch.setattr(watchdog, "MOMENT", 1_000)
    assert dog.missing() is None


class Riddle:
    """Fails when it is asked whether it lives, until it is solved."""

    def __init__(self) -> None:
        self.is_solved = False
        self.looks = 0

    @property
    def lives(self) -> bool:
        self.looks += 1
        if not self.is_solved:
            raise OSError("too many open files")
        return True

    def mend(self) -> None:
        """Does nothing."""


def test_a_part_that_cannot_tell_whether_it_lives_does_not_end_the_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "PERIOD", 0.01)
    monkeypatch.setattr(watchdog, "MOMENT", 0.05)
    mortal, riddle, ended = Mortal(), Riddle(), threading.Event()
    dog = Watchdog({"a riddle": riddle, "threads": mortal}, ended.set, patience=1_000)
    _wait_until(lambda: riddle.looks > 3)

    mortal.lives = False

    _wait_until(lambda: mortal.lives)
    _wait_until(lambda: dog.missing() == "a riddle")
    riddle.is_solved = True
    assert dog.missing() is None
    dog.stop()
    assert not ended.is_set()


async def _blocked(loop_is_held: threading.Event, go_on: threading.Event) -> None:
    loop_is_held.set()
    go_on.wait(100)


def test_an_event_loop_that_stands_still_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "PERIOD", 0.01)
    monkeypatch.setattr(watchdog, "MISSED_CHECKS", 500)
    held, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    loop = asyncio.new_event_loop()
    runner = threading.Thread(target=loop.run_forever, daemon=True)
    runner.start()
    mortal = Mortal()
    dog = Watchdog({"event loop": LoopHeartbeat(loop), "threads": mortal}, ended.set, patience=0.1)
    _wait_until(lambda: mortal.looks > 30)
    assert not ended.is_set()

    asyncio.run_coroutine_threadsafe(_blocked(held, go_on), loop)
    assert held.wait(60)
    monkeypatch.setattr(watchdog, "MISSED_CHECKS", 5)

    assert ended.wait(60)
    go_on.set()
    loop.call_soon_threadsafe(loop.stop)
    runner.join()
    dog.stop()
    loop.close()


def test_an_event_loop_is_judged_by_checks_and_not_by_a_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "MISSED_CHECKS", 2)
    loop = asyncio.new_event_loop()
    pulse = LoopHeartbeat(loop)
    pulse.mend()  # asks
    pulse.mend()
    assert pulse.lives  # however long ago that was: the process may have been stopped since
    pulse.mend()
    assert not pulse.lives

    loop.run_until_complete(asyncio.sleep(0))

    assert pulse.lives
    loop.close()


HANGING = """
import signal, sys, threading, time
from app.runtime.watchdog import end_process
if sys.argv[1] == "hangs":
    signal.signal(signal.SIGTERM, lambda *_: None)
threading.Timer(0.2, end_process, (1.0,)).start()
while True:
    time.sleep(9)
"""


@pytest.mark.parametrize(("how", "code"), [("ends", -signal.SIGTERM), ("hangs", 1)])
def test_end_process_ends_even_a_process_that_hangs(how: str, code: int) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}

    ended = subprocess.run([sys.executable, "-c", HANGING, how], check=False, timeout=30, env=environment)

    assert ended.returncode == code  # without end_process, it would hang until the timeout


async def _never() -> None:
    await asyncio.Event().wait()


async def _until(happens: Callable[[], object]) -> None:
    await asyncio.to_thread(_wait_until, happens)


def _run(reader: Any, use: Callable[[Batcher], Awaitable[None]], **settings: Any) -> None:
    async def main() -> None:
        batcher = Batcher(reader, Settings(**settings), Metrics())
        try:
            await use(batcher)
        finally:
            await asyncio.to_thread(batcher.stop)

    asyncio.run(main())


def test_a_worker_lives_when_niceness_is_refused(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> int:
        raise PermissionError("a sandbox")

    monkeypatch.setattr(os, "nice", refuse)

    async def use(batcher: Batcher) -> None:
        (outcome,) = await batcher.read([PictureRequest.of(DRAWING)], _never)
        assert most_prominent(outcome.result).digit == 3  # type: ignore[union-attr]
        assert batcher.lives

    _run(reader, use, worker_threads=1)


class Failing:
    """A reader that raises the given error once and then reads normally."""

    def __init__(self, reader: Reader, error: BaseException) -> None:
        self.reader = reader
        self.errors = [error]

    def read_together(self, requests: Sequence[PictureRequest], *others: Any, **options: Any) -> list[PictureOutcome]:
        if self.errors:
            raise self.errors.pop()
        return self.reader.read_together(requests, *others, **options)


def test_when_memory_runs_out_the_request_fails_and_the_worker_lives(reader: Reader) -> None:
    async def use(batcher: Batcher) -> None:
        (failed,) = await batcher.read([PictureRequest.of(DRAWING)], _never)
        (fine,) = await batcher.read([PictureRequest.of(DRAWING)], _never)

        assert isinstance(failed.result, MemoryError)
        assert most_prominent(fine.result).digit == 3  # type: ignore[union-attr]
        assert batcher.lives

    _run(Failing(reader, MemoryError()), use, worker_threads=1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("data", [DRAWING, PHOTO], ids=["a drawing", "a photo"])
def test_a_dead_worker_is_replaced(reader: Reader, data: bytes) -> None:
    async def use(batcher: Batcher) -> None:
        asking = asyncio.ensure_future(batcher.read([PictureRequest.of(data)], _never))
        await _until(lambda: not batcher.lives)
        asking.cancel()

        batcher.mend()

        assert batcher.lives
        (outcome,) = await batcher.read([PictureRequest.of(data)], _never)
        assert most_prominent(outcome.result).digit == 3  # type: ignore[union-attr]

    _run(Failing(reader, GeneratorExit()), use, worker_threads=1, decoder_processes=1)


def test_a_worker_stuck_on_one_picture_counts_as_dead(monkeypatch: pytest.MonkeyPatch, reader: Reader) -> None:
    monkeypatch.setattr(worker_pool, "STUCK_SECONDS", 0.1)
    go_on = threading.Event()

    class Hanging:
        def read_together(self, requests: Sequence[PictureRequest], *others: Any, **options: Any) -> list[PictureOutcome]:
            go_on.wait(20)
            return reader.read_together(requests, *others, **options)

    async def use(batcher: Batcher) -> None:
        asking = asyncio.ensure_future(batcher.read([PictureRequest.of(DRAWING)], _never))
        await _until(lambda: not batcher.lives)
        go_on.set()
        await asking
        await _until(lambda: batcher.lives)

    _run(Hanging(), use, worker_threads=1)


def kill_decoders(decoder: Any) -> None:
    """All of them; returns when none lives any more."""
    for process in decoder.ids:
        os.kill(process, signal.SIGKILL)
    _wait_until(lambda: decoder.living == 0)


@pytest.mark.skipif(sys.platform != "linux", reason="decoder processes are Linux's")
def test_ready_stays_200_where_decoders_have_just_died_and_a_photo_gets_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "MOMENT", 1_000)  # this machine may be slow
    app = create_app(Settings())
    with TestClient(app) as client:
        app.state.watchdog.stop()  # otherwise it might replace them before this test looks
        kill_decoders(app.state.reader.decoder)

        assert client.get("/health/ready").status_code == 200
        assert client.post("/predict", content=PHOTO).json()["digit"] == 3


@pytest.mark.skipif(sys.platform != "linux", reason="decoder processes are Linux's")
def test_ready_is_503_while_no_decoder_lives_and_200_once_they_are_replaced() -> None:
    app = create_app(Settings())
    with TestClient(app) as client:
        decoder = app.state.reader.decoder
        assert client.get("/health/ready").status_code == 200
        app.state.watchdog.stop()  # otherwise it would replace them before this test looks
        kill_decoders(decoder)

        _wait_until(lambda: client.get("/health/ready").status_code == 503)
        refused = client.get("/health/ready")
        assert (refused.status_code, refused.json()["code"]) == (503, "not-ready")
        assert "decoder processes" in refused.json()["detail"]
        assert client.get("/health/live").status_code == 200

        decoder.mend()
        assert client.get("/health/ready").status_code == 200
        assert client.post("/predict", content=PHOTO).json()["digit"] == 3


def are_replaced(killed: list[int]) -> bool:
    """Whether as many others work in the place of those decoders."""
    now = decoders_of(os.getpid())
    return len(now) == len(killed) and set(now).isdisjoint(killed)


@pytest.mark.skipif(sys.platform != "linux", reason="decoder processes are Linux's")
def test_a_running_service_replaces_its_decoders_by_itself() -> None:
    with serving(Settings()) as port:
        url = f"http://127.0.0.1:{port}"
        for _ in range(3):
            killed = decoders_of(os.getpid())
            for process in killed:
                os.kill(process, signal.SIGKILL)
            _wait_until(partial(are_replaced, killed))
            wait_for(f"{url}/health/ready", 200)
            assert plain_http.post(f"{url}/predict", content=PHOTO).json()["digit"] == 3


@pytest.mark.skipif(sys.platform != "linux", reason="decoder processes are Linux's")
def test_a_service_whose_decoders_cannot_be_started_again_ends_with_a_failure() -> None:
    """Its Python is gone, as with a half-removed installation."""
    port = free_port()
    program = (
        "import sys\nfrom app.runtime import watchdog\nfrom app.settings import Settings\n"
        "watchdog.Watchdog.__init__.__defaults__ = (5.0,)\nimport uvicorn\nfrom app.web.application import create_app\n"
        "app = create_app(Settings(drain_seconds=0.2, deadline_seconds=1))\n"
        "import threading\n"
        "def spoil():\n    sys.stdin.read()\n    decoder = app.state.reader.decoder\n"
        "    decoder._starter._command[:] = ['/bin/false']\n    decoder._starter.end()\n"
        "threading.Thread(target=spoil, daemon=True).start()\n"
        f"uvicorn.run(app, port={port}, log_level='critical')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}

    with subprocess.Popen([sys.executable, "-c", program], env=environment, stdin=subprocess.PIPE) as service:
        assert service.stdin
        wait_for(f"http://127.0.0.1:{port}/health/ready", 200)
        service.stdin.close()
        wait_for(f"http://127.0.0.1:{port}/health/ready", 503)

        assert service.wait(120) != 0


def test_a_service_whose_event_loop_stands_still_ends_with_a_failure() -> None:
    port = free_port()
    program = (
        "import sys, threading, time\nfrom app.runtime import watchdog\nfrom app.settings import Settings\n"
        "watchdog.MISSED_CHECKS = 20\nwatchdog.Watchdog.__init__.__defaults__ = (1.0,)\n"
        "import uvicorn\nfrom app.web.application import create_app\n"
        "app = create_app(Settings(drain_seconds=0.2, deadline_seconds=1))\n"
        "def stop():\n    sys.stdin.read()\n"
        "    app.state.batcher._loop.call_soon_threadsafe(time.sleep, 10**6)\n"
        "threading.Thread(target=stop, daemon=True).start()\n"
        f"uvicorn.run(app, port={port}, log_level='critical')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}

    with subprocess.Popen([sys.executable, "-c", program], env=environment, stdin=subprocess.PIPE) as service:
        assert service.stdin
        wait_for(f"http://127.0.0.1:{port}/health/ready", 200)
        service.stdin.close()

        assert service.wait(120) == 1


def test_a_process_that_was_stopped_gives_its_parts_time_to_show_that_they_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "LATE", 0.1)
    monkeypatch.setattr(watchdog, "PERIOD", 0.2)  # as if the process were stopped before each check
    part, ended = Mortal(hopeless=True), threading.Event()
    part.lives = False
    watching = Watchdog({"part": part}, ended.set, patience=2.0)

    assert not ended.wait(3)
    monkeypatch.setattr(watchdog, "LATE", 10.0)

    assert ended.wait(60)
    watching.stop()
