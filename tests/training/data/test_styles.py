import numpy as np
import pytest
from numpy.typing import NDArray

from training.data.styles import style_of

Strokes = list[NDArray[np.float32]]


def line(*points: tuple[float, float]) -> NDArray[np.float32]:
    return np.array(points, np.float32)


def ring(x: float = 0.35, y: float = 0.5, wide: float = 0.35, high: float = 0.5, turns: float = 1.0) -> NDArray[np.float32]:
    angles = np.linspace(-np.pi / 2, -np.pi / 2 + turns * 2 * np.pi, 60)
    return np.stack([x + wide * np.cos(angles), y + high * np.sin(angles)], axis=1).astype(np.float32)


STEM = np.stack([np.full(20, 0.4), np.linspace(0, 1, 20)], axis=1).astype(np.float32)
AROUND = np.linspace(np.pi, -0.8 * np.pi, 60)
BOWL = np.stack([0.3 + 0.25 * np.cos(AROUND), 0.7 + 0.3 * np.sin(AROUND)], axis=1).astype(np.float32)
SEVEN = line((0, 0), (0.6, 0), (0.5, 0.3), (0.4, 0.6), (0.3, 1))
CASES: dict[str, tuple[int, Strokes, str | None]] = {
    "plain 0": (0, [ring()], None),
    "a 0 that ends inside": (0, [ring(turns=1.15)], None),
    "a slash of its own": (0, [ring(), line((0.7, 0), (0.35, 0.5), (0, 1))], "slashed 0"),
    "a slash in one go": (0, [np.concatenate([ring(), line((0.7, 0.1), (0.36, 0.5), (0.02, 0.9))])], "slashed 0"),
    "plain 1": (1, [STEM], None),
    "a leaning 1": (1, [line((0.5, 0), (0.2, 0.5), (0, 1))], None),
    "a 1 with a flag": (1, [np.concatenate([line((0.1, 0.3)), STEM])], "flagged 1"),
    "open 4": (4, [line((0.1, 0), (0, 0.6), (0.8, 0.6)), line((0.6, 0), (0.6, 1))], None),
    "closed 4": (4, [line((0.5, 0), (0, 0.6), (0.8, 0.6)), line((0.5, 0), (0.5, 1))], "closed 4"),
    "round 6": (6, [np.concatenate([line((0.5, 0), (0.22, 0.25), (0.08, 0.5)), BOWL])], None),
    "square 6": (6, [line((0.3, 0), (0.05, 0.5), (0, 1), (0.5, 1), (0.5, 0.55), (0.1, 0.55))], "square 6"),
    "plain 7": (7, [SEVEN], None),
    "a 7 in two strokes": (7, [line((0, 0), (0.6, 0)), line((0.6, 0), (0.3, 1))], None),
    "crossed 7": (7, [SEVEN, line((0.2, 0.5), (0.65, 0.48))], "crossed 7"),
    "another digit": (8, [ring(), ring(0.35, 0.25, 0.2, 0.25)], None),
}


@pytest.mark.parametrize("name", CASES)
def test_a_style_is_told_from_the_strokes(name: str) -> None:
    label, strokes, style = CASES[name]

    assert style_of(label, strokes) == style
