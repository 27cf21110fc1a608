import cv2
import numpy as np
import pytest

from training.data.visible import all_seen, separation

BOX = (20.0, 10.0, 20.0, 60.0)


def picture(ground: int, ink: int, noise: float = 0) -> tuple[np.ndarray, np.ndarray]:
    """A bar on even ground with noise, (90, 60, 3), and where it is."""
    where = np.zeros((90, 60), np.uint8)
    cv2.rectangle(where, (20, 10), (39, 69), 255, -1)
    grey = np.where(where > 0, ink, ground) + np.random.default_rng(0).normal(0, noise, where.shape)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., np.newaxis], 3, axis=2), where


@pytest.mark.parametrize(
    ("ground", "ink", "noise", "seen"),
    [
        (255, 0, 0, True),
        (0, 40, 0, True),
        (128, 127, 0, False),
        (128, 120, 30, False),
        (128, 90, 30, True),
        (255, 255, 0, False),
    ],
)
def test_ink_is_seen_where_it_leaves_the_grounds_noise(ground: int, ink: int, noise: float, seen: bool) -> None:
    pixels, where = picture(ground, ink, noise)

    assert all_seen(pixels, where, [BOX]) == seen


def test_each_character_has_to_be_seen() -> None:
    pixels, where = picture(255, 0)
    where[10:70, 50:58] = 255  # written there, but not in the picture

    assert not all_seen(pixels, where, [BOX, (50, 10, 8, 60)])


def test_the_ground_far_away_does_not_count() -> None:
    pixels, where = picture(200, 150)
    pixels[:, 50:] = 0

    assert separation(pixels, where, BOX) > 5


def test_pictures_may_be_smaller_than_the_page() -> None:
    pixels, where = picture(255, 0)

    assert all_seen(np.asarray(cv2.resize(pixels, (20, 30), interpolation=cv2.INTER_AREA)), where, [BOX])
