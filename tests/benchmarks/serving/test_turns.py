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
    line = Turns(1.5, 1.53, [0.99, 1.02, 1.05]).describe("off", "on")

    assert (
        line == "1.500 ms off, 1.530 ms on; ratio 1.020 (median of 3, with 95 % certainty 0.990 to 1.050; all 0.990 to 1.050)"
    )


def test_turns_after_several_starts_count_together() -> None:
    both = together([Turns(1.0, 1.1, [1.0, 1.2]), Turns(2.0, 2.3, [1.1])])

    assert both == Turns(1.5, 1.7, [1.0, 1.1, 1.2])
