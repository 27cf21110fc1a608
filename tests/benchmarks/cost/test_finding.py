"""The cost of finding: every picture is read, turn by turn."""

import pytest

from benchmarks.cost import finding
from benchmarks.cost.finding import PICTURES, measure

TRIED = list(PICTURES)[:2]  # others take seconds to make


def test_every_picture_is_timed_in_every_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "PICTURES", {name: PICTURES[name] for name in TRIED})

    times = measure(turns=1)

    assert list(times) == TRIED
    assert all(len(decoding) == len(finding) == 1 for decoding, finding in times.values())
