"""The cost of finding: every picture is read, turn by turn."""

from benchmarks.cost.finding import PICTURES, measure


def test_every_picture_is_timed_in_every_turn() -> None:
    times = measure(turns=1)

    assert list(times) == list(PICTURES)
    assert all(len(decoding) == len(finding) == 1 for decoding, finding in times.values())
