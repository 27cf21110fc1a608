"""The cost of reading all digits: every picture is read, turn by turn."""

from benchmarks.cost.reading import PICTURES, measure


def test_every_picture_is_timed_in_every_turn() -> None:
    times = measure(turns=1)

    assert list(times) == list(PICTURES)
    assert all(len(values) == 1 for values in times.values())
