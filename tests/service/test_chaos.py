"""All that ``make chaos`` asks for, in minutes instead of an hour."""

import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.service import chaos
from tests.service.chaos import Plan, disturb, run, service, small_folder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are told by Linux's /proc")


@pytest.mark.long
def test_a_disturbed_service_loses_only_what_killed_workers_had_in_hand(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with small_folder(folder) as mounted, service(folder, tmp_path / "clock") as target:
        report, _, faults = run(target, 150, mounted, print)

    assert report.requests > 1_000
    assert {"a decoder is killed", "a worker is killed", "the database is locked"} <= {what for _, what in faults.done}
    assert report.failures == []


def test_faults_that_fell_due_during_a_long_one_do_not_follow_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chaos, "PAUSE_SECONDS", 0.2)
    ended, failures = list[float](), list[str]()

    def last_long() -> None:
        time.sleep(0.6)
        ended.append(time.monotonic())

    def be_short() -> None:
        ended.append(time.monotonic())

    disturb([Plan(last_long, 3600 / 0.5), Plan(be_short, 4 * 3600 / 0.5)], 0.5, failures)

    assert failures == []
    assert len(ended) == 5
    assert min(after - before for before, after in pairwise(ended)) >= 0.2
