"""The ratios of two services that took turns, summed up."""

import numpy as np
import pytest

from benchmarks.serving.turns import Turns, together


def test_the_interval_holds_the_true_median_as_often_as_it_says() -> None:
    dice = np.random.default_rng(0)
    intervals = [Turns(1, 1, np.sort(dice.lognormal(0, 0.2, 40)).tolist()).interval for _ in range(2_000)]

    assert 0.94 < np.mean([low <= 1 <= high for low, high in intervals]) < 0.98


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_few_ratios_are_their_own_interval(count: int) -> None:
    ratios = [1 + number / 10 for number in range(count)]

    assert Turns(1, 1, ratios).interval == (ratios[0], ratios[-1])


def test_the_line_has_both_figures_and_the_spread() -> None:
    few = Turns(1.5, 1.53, [0.99, 1.02, 1.05]).describe("off", "on")
    many = Turns(1.5, 1.53, [0.9, *[1.02] * 18, 1.1]).describe("off", "on")

    assert few == "1.500 ms off, 1.530 ms on; ratio 1.020 (median of 3 turns, range 0.990 to 1.050)"
    assert many.endswith("(median of 20 turns, with 95 % certainty 1.020 to 1.020; range 0.900 to 1.100)")


def test_each_start_counts_once() -> None:
    both = together([Turns(1.0, 1.1, [1.0, 1.1, 1.2]), Turns(2.0, 2.3, [1.05])])
    alone = Turns(1.0, 1.1, [1.0, 1.2])

    assert both == Turns(1.5, 1.7, [1.05, 1.1], of="starts")
    assert both.describe("off", "on").endswith("ratio 1.075 (median of 2 starts, range 1.050 to 1.100)")
    assert together([alone]) is alone


def test_starts_that_differ_do_not_narrow_the_interval() -> None:
    """Each start is off by one per cent or so, and each of its turns by two."""
    dice = np.random.default_rng(0)
    intervals = []
    for _ in range(500):
        starts = [Turns(1, 1, np.sort(np.exp(dice.normal(dice.normal(0, 0.01), 0.02, 8))).tolist()) for _ in range(6)]
        intervals.append(together(starts).interval)

    assert np.mean([low <= 1 <= high for low, high in intervals]) > 0.94
