"""The gate: paired statistics by known counts, and who passes."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from training.publishing.gate import NO_ANSWER, Labels, Paired, Pixels, Read, Samples, compare, judge, pair, report


def paired(both: int, only_candidate: int, only_served: int, neither: int) -> Paired:
    candidate = np.repeat([True, True, False, False], [both, only_candidate, only_served, neither])
    served = np.repeat([True, False, True, False], [both, only_candidate, only_served, neither])
    return pair(candidate, served)


def test_pictures_are_counted_in_pairs() -> None:
    result = paired(90, 5, 2, 3)

    assert result == Paired(of=100, candidate=95, served=92, only_candidate=5, only_served=2)
    assert result.difference == pytest.approx(0.03)


@pytest.mark.parametrize(
    ("only_candidate", "only_served", "chance"),
    [(0, 0, 1.0), (1, 0, 1.0), (6, 0, 0.03125), (0, 6, 0.03125), (10, 10, 1.0), (12, 2, 0.012939), (5, 15, 0.041389)],
)
def test_chance_is_that_of_the_exact_test(only_candidate: int, only_served: int, chance: float) -> None:
    assert paired(100, only_candidate, only_served, 3).chance == pytest.approx(chance, abs=1e-5)


def test_the_interval_is_that_of_agresti_and_min() -> None:
    """Their example: 1,144 asked twice, 82 changed one way and 162 the other."""
    low, high = paired(794, 162, 82, 106).interval

    assert (low, high) == pytest.approx((0.0430, 0.0966), abs=5e-4)


def test_a_clear_loss_is_significantly_worse_and_a_small_one_is_not() -> None:
    assert paired(900, 2, 20, 78).worse
    assert not paired(900, 2, 4, 94).worse
    assert not paired(900, 20, 2, 78).worse


def test_a_clear_gain_is_significantly_better_and_a_small_one_is_not() -> None:
    assert paired(900, 20, 2, 78).better
    assert not paired(900, 4, 2, 94).better
    assert not paired(900, 2, 20, 78).better


@pytest.mark.parametrize(
    ("results", "passes", "reason"),
    [
        ({"mnist": paired(990, 5, 1, 4), "photos": paired(90, 8, 2, 0)}, True, "better: 10 more"),
        ({"mnist": paired(990, 5, 1, 4), "photos": paired(90, 0, 10, 0)}, False, "significantly worse on photos"),
        ({"mnist": paired(990, 1, 3, 6)}, False, "not better: 2 more"),
        ({"mnist": paired(1000, 0, 0, 0)}, False, "not better: 0 more"),
        ({}, False, "not better"),
    ],
    ids=["better", "worse on one set", "a little worse", "the same", "nothing to compare"],
)
def test_only_what_is_better_and_nowhere_worse_passes(results: dict[str, Paired], passes: bool, reason: str) -> None:
    verdict = judge(results)

    assert verdict.passes is passes
    assert reason in verdict.reason


def answers(*digits: int) -> Read:
    """A reader that gives these answers; those below 0 are not accepted."""

    def read(pictures: Sequence[Pixels]) -> tuple[Labels, NDArray[np.bool_]]:
        given = np.array(digits[: len(pictures)])
        return np.abs(given), given >= 0

    return read


def test_both_read_the_same_pictures_and_a_picture_of_nothing_may_be_turned_down() -> None:
    blank = np.full((8, 8, 3), 255, np.uint8)
    samples = Samples("mixed", [blank] * 3, np.array([3, 5, NO_ANSWER]))

    result = compare(samples, answers(3, -5, -8), answers(3, 6, 1))

    assert result == Paired(3, 3, 1, 2, 0)


def test_the_report_names_both_and_the_verdict() -> None:
    results = {"photos": paired(90, 8, 1, 1)}

    text = report(results, "digits-3", "digits/2", judge(results))

    assert "| photos | 100 | 98.00% | 91.00% | 8 | 1 | +7.00 (" in text
    assert "Verdict: passes; better: 7 more" in text
