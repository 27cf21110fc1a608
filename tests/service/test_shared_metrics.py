"""The series of several workers, from any of them, and after some have died."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests import plain_http
from tests.servers import DRAWING, free_port, wait_for, workers_of
from tests.versions import SHIPPED


@dataclass(frozen=True)
class Service:
    """Two workers. folder: where they keep what they share."""

    url: str
    process: subprocess.Popen[bytes]
    folder: Path

    def samples(self) -> dict[str, float]:
        """What /metrics shows, by name and labels' values, sorted by label."""
        text = plain_http.get(f"{self.url}/metrics").text
        every = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return {" ".join([sample.name, *(text for _, text in sorted(sample.labels.items()))]): sample.value for sample in every}

    def has_counted(self, answers: int) -> bool:
        """Whether so many predictions were answered, and none is in progress."""
        now = self.samples()
        return now["numeral_requests_total POST /predict 200"] == answers and now["numeral_requests_in_progress"] == 0

    def post(self) -> int:
        status: int = plain_http.post(f"{self.url}/predict", content=DRAWING, timeout=30).status_code
        return status

    def workers(self) -> list[int]:
        """Their process ids."""
        return workers_of(self.process.pid)


@contextmanager
def two_workers(tmp_path: Path) -> Iterator[Service]:
    port = free_port()
    command = [sys.executable, "-m", "app", "serve", "--workers", "2", "--port", str(port), "--model-version", SHIPPED]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "NUMERAL_DRAIN_SECONDS": "0", "NUMERAL_WORKER_THREADS": "1"}
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, env=environment, stderr=log) as process:
        try:
            wait_for(f"http://127.0.0.1:{port}/health/ready", 200)
            (folder,) = tmp_path.glob("numeral-*/metrics")
            service = Service(f"http://127.0.0.1:{port}", process, folder)
            wait_until(lambda: len(list(folder.glob("*.lock"))) == 2)
            yield service
        finally:
            process.terminate()


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_two_workers_agree_add_up_and_survive_a_death(tmp_path: Path) -> None:
    with two_workers(tmp_path) as service:
        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(lambda _: service.post(), range(40))) == {200}
        wait_until(lambda: service.has_counted(40))  # the other worker may be asked before an answer is counted
        counts = [service.samples() for _ in range(6)]
        before = service.workers()
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: len(set(service.workers()) - set(before)) == 1)
        wait_until(lambda: len(list(service.folder.glob("gauge_livesum_*.db"))) == 2)
        assert {service.post() for _ in range(10)} == {200}
        after = service.samples()
        files = {path.name for path in service.folder.iterdir()}
    service.process.wait(30)

    for shown in counts:
        assert shown["numeral_predictions_total 3"] == 40
        assert shown["numeral_requests_total POST /predict 200"] == 40
        assert shown["numeral_recent_pictures"] == pytest.approx(40, rel=0.05)
        assert shown["numeral_queue_depth"] == shown["numeral_requests_in_progress"] == 0
        assert len([name for name in shown if name.startswith("numeral_model_info")]) == 1
    assert after["numeral_predictions_total 3"] == 50  # what the dead worker counted stays
    assert after["numeral_queue_depth"] == 0
    assert after["numeral_recent_pictures"] < 50  # its recent pictures do not
    assert {name for name in files if name.endswith(".lock")} == {"0.lock", "1.lock"}  # its place was taken
    assert not list(tmp_path.glob("numeral-*"))  # the folder went with the service
