"""The gate: paired statistics by known counts, and who passes."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from training.publishing.gate import (
    NO_ANSWER,
    Comparison,
    Labels,
    Paired,
    Pixels,
    Read,
    Samples,
    Verdict,
    compare,
    judge,
    pair,
    report,
)


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


BETTER, WORSE = Comparison(paired(90, 8, 2, 0)), Comparison(paired(90, 0, 10, 0))
ACCEPTS_LESS = Comparison(paired(990, 5, 1, 4), accepted=paired(900, 1, 60, 39))


@pytest.mark.parametrize(
    ("results", "passes", "reason"),
    [
        ({"mnist": Comparison(paired(990, 5, 1, 4)), "photos": BETTER}, True, "better: 10 more"),
        ({"mnist": Comparison(paired(990, 5, 1, 4)), "photos": WORSE}, False, "significantly worse on photos"),
        ({"mnist": ACCEPTS_LESS, "photos": WORSE}, False, "significantly worse on mnist, accepted; photos"),
        ({"mnist": Comparison(paired(990, 5, 1, 4), paired(900, 1, 3, 96))}, True, "better: 4 more"),
        ({"mnist": Comparison(paired(990, 1, 3, 6), paired(900, 60, 1, 39))}, False, "not better: 2 more"),
        ({"mnist": Comparison(paired(1000, 0, 0, 0))}, False, "not better: 0 more"),
        ({}, False, "not better"),
    ],
    ids=[
        "better",
        "worse on one set",
        "accepts less",
        "accepts a little less",
        "accepts more alone",
        "the same",
        "nothing to compare",
    ],
)
def test_only_what_is_better_and_nowhere_worse_passes(results: dict[str, Comparison], passes: bool, reason: str) -> None:
    verdict = judge(results)

    assert verdict.passes is passes
    assert reason in verdict.reason


def answers(*digits: int) -> Read:
    """A reader that gives these answers; those below 0 are not accepted."""

    def read(pictures: Sequence[Pixels]) -> tuple[Labels, NDArray[np.bool_]]:
        given = np.array(digits[: len(pictures)])
        return np.abs(given), given >= 0

    return read


BLANK = np.full((8, 8, 3), 255, np.uint8)


def test_both_read_the_same_pictures_and_a_picture_of_nothing_may_be_turned_down() -> None:
    samples = Samples("mixed", [BLANK] * 3, np.array([3, 5, NO_ANSWER]))

    result = compare(samples, answers(3, -5, -8), answers(3, 6, 1))

    assert result == Comparison(read=Paired(3, 3, 1, 2, 0), accepted=Paired(2, 1, 1, 0, 0))


def test_a_version_that_turns_everything_down_does_not_pass_by_what_is_not_a_digit() -> None:
    digits = Samples("digits", [BLANK] * 40, np.full(40, 3))
    others = Samples("none", [BLANK] * 40, np.full(40, NO_ANSWER))

    results = {each.name: compare(each, answers(*[-3] * 40), answers(*[3] * 40)) for each in (digits, others)}

    assert results["digits"] == Comparison(read=Paired(40, 40, 40, 0, 0), accepted=Paired(40, 0, 40, 0, 40))
    assert results["none"] == Comparison(read=Paired(40, 40, 0, 40, 0), accepted=None)
    for wanted in (None, "none"):
        assert judge(results, wanted) == Verdict(False, "significantly worse on digits, accepted")


def test_the_report_names_both_and_the_verdict() -> None:
    results = {"photos": Comparison(paired(90, 8, 1, 1), accepted=paired(80, 2, 1, 17))}

    text = report(results, "digits-3", "digits/2", judge(results))

    assert "| photos | 100 | 98.00% | 91.00% | 8 | 1 | +7.00 (" in text
    assert "| photos, accepted | 100 | 82.00% | 81.00% | 2 | 1 | +1.00 (" in text
    assert "Verdict: passes; better: 7 more" in text
