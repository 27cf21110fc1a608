"""The cost of reading all digits: every picture is read, turn by turn."""

import pytest

from benchmarks.cost import reading
from benchmarks.cost.reading import PICTURES, measure

TRIED = list(PICTURES)[:2]  # pages take seconds to make


def test_every_picture_is_timed_in_every_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PICTURES", {name: PICTURES[name] for name in TRIED})

    times = measure(turns=1)

    assert list(times) == TRIED
    assert all(len(values) == 1 for values in times.values())
