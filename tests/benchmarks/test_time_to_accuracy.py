"""The race to an accuracy: both recipes train, stop at the target, and are compared. No figure here counts."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.time_to_accuracy import FAST_EPOCHS, PARTS, RECIPES, Outcome, ends_part, race, write_table
from training.data import Digits, load_digits


@pytest.fixture
def digits(mnist_dir: Path) -> Digits:
    return load_digits(mnist_dir, verify=False, validation_size=100)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_until_the_target_and_stops(name: str, digits: Digits, mnist_dir: Path) -> None:
    outcome = race(RECIPES[name], digits, mnist_dir, seed=0, target=0.5)

    assert outcome.validation >= 0.5
    assert outcome.test > 0.3
    assert 1 / PARTS <= outcome.epochs <= FAST_EPOCHS
    assert outcome.training > 0
    assert outcome.evaluating > 0


def test_a_target_out_of_reach_ends_with_the_recipe_and_without_a_look_at_the_test_digits(
    digits: Digits, mnist_dir: Path
) -> None:
    outcome = race(RECIPES["fast"], digits, mnist_dir, seed=0, target=1.1)

    assert outcome.epochs == FAST_EPOCHS
    assert outcome.test == 0


@given(st.integers(PARTS, 5_000))
def test_an_epoch_has_its_parts_and_ends_with_the_last(steps: int) -> None:
    ends = [step for step in range(1, steps + 1) if ends_part(step, steps)]

    assert len(ends) == PARTS
    assert ends[-1] == steps


def test_the_table_compares_seed_by_seed() -> None:
    classic = [Outcome(400, 50, 5, 0.9901, 0.99), Outcome(300, 50, 4, 0.99, 0.991)]
    fast = [Outcome(20, 3, 2.5, 0.9901, 0.99), Outcome(20, 3, 2, 0.99, 0.991)]

    table = write_table({"classic": classic, "fast": fast})

    assert "| fast | 20.0 ± 0.0 s | 3.0 ± 0.0 s | 2.25 ± 0.35 |" in table
    assert "The classic recipe takes 17.5 times the CPU time (20.0, 15.0)." in table
