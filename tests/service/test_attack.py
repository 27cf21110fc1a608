"""All that ``make attack`` asks for; minutes."""

import sys
from pathlib import Path

import pytest

from tests.service.attack import make_attacks, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is told by Linux's /proc")


@pytest.mark.long
def test_hostile_pictures_leave_the_service_well_for_others(tmp_path: Path) -> None:
    report = run(make_attacks(tmp_path), 600)

    assert report.attacks >= 40
    assert report.failures == []
