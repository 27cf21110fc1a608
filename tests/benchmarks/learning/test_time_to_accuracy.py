"""The race to an accuracy: both recipes train, stop at the target and are compared. The figures here do not count."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.learning.time_to_accuracy import FAST_EPOCHS, PARTS, RECIPES, Outcome, ends_part, race, write_table
from training.data.mnist import Digits, load_digits


@pytest.fixture
def digits(mnist_dir: Path) -> Digits:
    return load_digits(mnist_dir, verify=False, validation_size=100)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_until_the_target_and_stops(name: str, digits: Digits, mnist_dir: Path) -> None:
    looks: list[float] = []

    outcome = race(RECIPES[name], digits, mnist_dir, 0, 0.5, lambda epochs, _: looks.append(epochs))

    assert outcome.reached
    assert outcome.validation >= 0.5
    assert looks == [(look + 1) / PARTS for look in range(len(looks))]
    assert looks[-1] == outcome.epochs
    assert outcome.test > 0.3
    assert 1 / PARTS <= outcome.epochs <= FAST_EPOCHS
    assert outcome.training > 0
    assert outcome.evaluating > 0


def test_a_target_out_of_reach_ends_with_the_recipe(digits: Digits, mnist_dir: Path) -> None:
    outcome = race(RECIPES["fast"], digits, mnist_dir, 0, 1.1, lambda *_: None)

    assert outcome.epochs == FAST_EPOCHS
    assert not outcome.reached


def test_a_recipe_stops_at_its_longest_time(digits: Digits, mnist_dir: Path) -> None:
    outcome = race(RECIPES["classic"], digits, mnist_dir, 0, 1.1, lambda *_: None, most=0)

    assert outcome.epochs == 1 / PARTS
    assert not outcome.reached


@given(st.integers(PARTS, 5_000))
def test_an_epoch_has_its_parts_and_ends_with_the_last(steps: int) -> None:
    ends = [step for step in range(1, steps + 1) if ends_part(step, steps)]

    assert len(ends) == PARTS
    assert ends[-1] == steps


def test_the_table_compares_seed_by_seed_and_says_where_a_time_is_a_bound() -> None:
    fast = [Outcome(20, 3, 2.5, 0.9901, 0.99, reached=True), Outcome(20, 3, 2, 0.99, 0.991, reached=True)]
    classic = [Outcome(400, 50, 5, 0.9901, 0.99, reached=True), Outcome(300, 50, 4, 0.99, 0.991, reached=True)]
    never = [classic[0], Outcome(300, 50, 14, 0.989, 0.991, reached=False)]

    table, bound = (write_table({"fast": fast, "classic": runs}, target=0.99) for runs in (classic, never))

    assert "| fast | 2 of 2 | 20.0 ± 0.0 s | 3.0 ± 0.0 s | 2.25 ± 0.35 |" in table
    assert "The classic recipe takes 17.5 times the CPU time (20.0, 15.0)." in table
    assert "| classic | 1 of 2 |" in bound
    assert "takes at least 17.5 times" in bound
