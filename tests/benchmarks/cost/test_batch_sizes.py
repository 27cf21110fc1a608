"""Images per second by batch size, on the device of the model."""

import pytest

from app.reading.reader import Reader
from benchmarks.cost.batch_sizes import WORKS, measure


@pytest.mark.parametrize("work", WORKS)
def test_each_size_is_timed_in_each_turn(reader: Reader, work: str) -> None:
    seconds = measure(WORKS[work](reader.model), turns=2, sizes=(1, 8))

    assert list(seconds) == [1, 8]
    assert all(len(values) == 2 and (values > 0).all() for values in seconds.values())


def test_a_turn_runs_as_many_images_in_each_size() -> None:
    batches: list[int] = []

    measure(batches.append, turns=1, sizes=(1, 4))

    assert batches.count(1) == 4 * batches.count(4) > 0
