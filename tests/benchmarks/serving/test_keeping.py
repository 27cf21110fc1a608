"""The cost of keeping: each part is measured."""

import pytest

pytest.importorskip("sqlalchemy")

from benchmarks.serving.keeping import parts


def test_every_part_is_measured() -> None:
    costs = parts(repeats=1)

    assert len(costs) == 3
    assert all(microseconds > 0 for microseconds in costs.values())
