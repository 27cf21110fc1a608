import numpy as np
import pytest

from training.data.dice import Dice
from training.data.hands import Written
from training.data.stroke_variation import vary
from training.data.styles import style_of

ANGLES = np.linspace(0, 2 * np.pi, 80)
RING = (0.5 + 0.5 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)).astype(np.float32)


def ring(own: bool = False) -> Written:
    return Written(0, "0", (RING,), np.full((60, 60), 255, np.uint8) if own else None)


def dice(seed: int) -> Dice:
    return Dice(np.random.default_rng(seed))


def plain(label: int) -> Written:
    """A 0, a bare 1 or a 7 in their simplest forms."""
    strokes = {
        0: RING * (0.7, 1),
        1: np.linspace((0, 0), (0.1, 1), 20),
        7: np.concatenate([np.linspace((0, 0), (0.6, 0), 12), np.linspace((0.6, 0), (0.2, 1), 20)]),
    }
    return Written(label, str(label), (strokes[label].astype(np.float32),))


@pytest.mark.parametrize(("label", "style", "share"), [(0, "slashed 0", 0.12), (1, "flagged 1", 0.2), (7, "crossed 7", 0.2)])
def test_digits_get_the_forms_that_the_collections_lack(label: int, style: str, share: float) -> None:
    made = [vary(plain(label), dice(seed)).strokes for seed in range(300)]
    other = [strokes for strokes in made if len(strokes) > 1]

    assert abs(len(other) / len(made) - share) < 0.07
    as_written = [[np.concatenate(strokes[1::-1])] if label == 1 else strokes for strokes in other]  # a 1 begins with its flag
    assert sum(style_of(label, strokes) == style for strokes in as_written) > 0.8 * len(other)
    assert all(np.concatenate(strokes).min() > -0.2 and np.concatenate(strokes).max() < 1.2 for strokes in other)


@pytest.mark.parametrize("label", [0, 1, 7])
def test_hands_without_other_pens_keep_their_forms(label: int) -> None:
    made = [vary(plain(label), Dice(np.random.default_rng(seed), frozenset({"pens"}))) for seed in range(100)]

    assert {len(written.strokes) for written in made} == {1}


def test_strokes_are_bent_a_little_and_never_the_same_way_twice() -> None:
    made = [vary(ring(), Dice(np.random.default_rng(seed), frozenset({"pens"}))).strokes[0] for seed in range(30)]

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
