import numpy as np
import pytest

from training.data.dice import Dice
from training.data.hands import Written
from training.data.manners import vary

ANGLES = np.linspace(0, 2 * np.pi, 80)
RING = (0.5 + 0.5 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)).astype(np.float32)


def ring(own: bool = False) -> Written:
    return Written(0, "0", (RING,), np.full((60, 60), 255, np.uint8) if own else None)


def dice(seed: int) -> Dice:
    return Dice(np.random.default_rng(seed))


def test_strokes_are_bent_a_little_and_never_the_same_way_twice() -> None:
    made = [vary(ring(), dice(seed)).strokes[0] for seed in range(30)]

    assert all(0 < np.abs(stroke - RING).max() < 0.15 for stroke in made)
    assert np.mean([np.abs(stroke - RING).mean() for stroke in made]) > 0.005
    assert not np.allclose(made[0], made[1])


def test_a_mouse_draws_corners() -> None:
    (stroke,) = vary(ring(), dice(1), corners=0.05).strokes

    assert 4 <= len(stroke) <= 12


def test_a_hand_that_trembles_leaves_the_line_by_so_much() -> None:
    (stroke,) = vary(ring(), dice(2), tremble=0.02).strokes

    off = np.abs(np.hypot(*(stroke - 0.5).T) - 0.5)
    assert 0.005 < off.mean() < 0.05


@pytest.mark.parametrize("seed", range(20))
def test_a_character_with_an_outline_stays_whole_or_loses_it(seed: int) -> None:
    made = vary(ring(own=True), dice(seed))

    assert (made.own is not None) == np.array_equal(made.strokes[0], RING)
