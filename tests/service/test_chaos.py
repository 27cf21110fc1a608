"""All that ``make chaos`` asks for, in minutes instead of an hour."""

import sys
from pathlib import Path

import pytest

from tests.service.chaos import run, service, small_folder

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
