"""Glyphs from scenes: a digit's label where the box is the digit's, none where it is something else, nothing where there is no ink."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from training.data import found_glyphs
from training.data.compose import Scene, SceneDigit, SceneMark
from training.data.found_glyphs import MOST, Find, ask, choose, load_found
from training.data.hands import Hands
from training.data.mnist import BACKGROUND

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

SCENE = Scene(
    pixels=np.full((60, 120, 3), 255, np.uint8),
    ink=np.zeros((60, 120), np.uint8),
    digits=(SceneDigit(3, (10, 10, 20, 30)), SceneDigit(8, (60, 10, 20, 30))),
    marks=(SceneMark("other", (95, 20, 10, 20)),),
    kind="row",
)
THREE, EIGHT, LETTER = [20.0, 25, 20, 30], [70.0, 25, 20, 30], [100.0, 30, 10, 20]


def glyphs(*levels: int) -> Pixels:
    """A glyph for each level, all of whose pixels have it."""
    return np.array([np.full((28, 28), level) for level in levels], np.uint8).reshape(-1, 28, 28)


def chosen(boxes: Sequence[Sequence[float]], levels: Sequence[int], wanted: Sequence[int]) -> list[tuple[int, int]]:
    """Which glyphs, by their level, were taken with which label."""
    taken = choose(SCENE, np.array(boxes, np.float32), glyphs(*levels), list(wanted), np.random.default_rng(0))
    return sorted((int(glyph[0, 0]), label) for glyph, label in taken)


def test_what_the_finder_found_has_the_label_of_the_digit_there() -> None:
    assert chosen([THREE, EIGHT], [100, 200], []) == [(100, 3), (200, 8)]


def test_a_digit_that_was_found_is_not_taken_again_where_it_was_asked_for() -> None:
    assert chosen([THREE, THREE, EIGHT], [100, 110, 120], [3, 8]) == [(100, 3), (120, 8)]


def test_what_is_not_a_digit_is_none_whether_found_or_asked_for() -> None:
    assert chosen([LETTER, [40, 50, 10, 10]], [100, 200], [BACKGROUND]) == [(100, BACKGROUND), (200, BACKGROUND)]


@pytest.mark.parametrize(
    ("box", "wanted"),
    [([20.0, 25, 20, 30], [BACKGROUND]), ([26.0, 33, 20, 30], [])],
    ids=["a half that turned out to be the whole", "a box that is off"],
)
def test_what_is_neither_surely_a_digit_nor_surely_none_is_left_out(box: list[float], wanted: list[int]) -> None:
    assert chosen([box], [100], wanted) == []


def test_without_ink_there_is_nothing_to_learn() -> None:
    assert chosen([THREE, LETTER], [10, 0], [BACKGROUND]) == []


@pytest.mark.parametrize(("label", "is_halved"), [(label, label in {0, 2, 3, 5}) for label in range(10)])
def test_only_digits_are_halved_whose_halves_are_no_digits(label: int, is_halved: bool) -> None:
    """Half a 1 is a 1, and the loop of a 9 a 0."""
    alone = replace(SCENE, digits=(SceneDigit(label, (10, 10, 20, 30)),), marks=())
    asked = [ask(alone, np.random.default_rng(seed)) for seed in range(20)]

    inside = [
        box
        for boxes, labels in asked
        for box, wanted in zip(boxes, labels, strict=True)
        if wanted == BACKGROUND and abs(box[0] - 20) <= 10 and abs(box[1] - 25) <= 15 and (box[2:] <= (20, 30)).all()
    ]

    assert len(inside) >= (20 if is_halved else 0)
    assert is_halved or not inside


def test_a_picture_that_is_a_glyph_already_is_no_background(excerpt: tuple[Pixels, NDArray[np.int64]]) -> None:
    """Whichever of its boxes was asked for, its glyph is the whole digit."""
    image = excerpt[0][0]
    scene = replace(SCENE, pixels=np.dstack([image] * 3), digits=(SceneDigit(7, (4, 4, 20, 20)),), marks=())
    boxes = np.array([[14, 14, 20, 20], [6, 9, 4, 10]], np.float32)

    taken = list(choose(scene, boxes, np.stack([image] * 2), [BACKGROUND], np.random.default_rng(0)))

    assert [label for _, label in taken] == [7]


def test_what_is_asked_for_lies_at_digits_marks_and_elsewhere() -> None:
    asked = [ask(SCENE, np.random.default_rng(seed)) for seed in range(20)]

    assert all(boxes.shape == (len(labels), 4) for boxes, labels in asked)
    assert {label for _, labels in asked for label in labels} == {3, 8, BACKGROUND}
    for boxes, labels in asked:
        assert labels.count(BACKGROUND) >= 3  # the letter, half a digit, the pair
        pair = boxes[[index for index, label in enumerate(labels) if label == BACKGROUND][2]]
        assert pair.tolist() == [45, 25, 70, 30]


def test_an_empty_scene_asks_for_one_place() -> None:
    empty = Scene(SCENE.pixels, SCENE.ink, (), (), "none")

    boxes, labels = ask(empty, np.random.default_rng(0))

    assert labels == [BACKGROUND]
    assert boxes.shape == (1, 4)


def test_found_glyphs_are_made_once_and_kept(mnist_dir: Path) -> None:
    calls = []

    def find(pictures: Sequence[Pixels], asked: Sequence[Floats]) -> list[tuple[Floats, Pixels]]:
        calls.append(len(pictures))
        return [(boxes, glyphs(*[200] * len(boxes))) for boxes in asked]

    def load() -> tuple[Hands, Find]:
        return Hands.load(mnist_dir, "validation", with_fonts=False, with_uci=False, verify=False), find

    first = load_found(mnist_dir, "validation", 24, load, "a", lambda *_: None)
    again = load_found(mnist_dir, "validation", 24, load, "a", lambda *_: None)
    load_found(mnist_dir, "validation", 3, load, "b", lambda *_: None)

    assert calls == [24, 3]
    assert len(first.digits) == len(again.digits) > 0
    assert len(first.digits) <= 24 * MOST
    assert (first.digits.labels < BACKGROUND).all()
    assert (first.others.labels == BACKGROUND).all()


def test_found_glyphs_are_made_anew_where_the_code_has_changed(mnist_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def cut(*_: object) -> tuple[Pixels, NDArray[np.int64]]:
        made.append(1)
        return glyphs(200), np.array([3])

    monkeypatch.setattr(found_glyphs, "cut_from_scenes", cut)
    load = partial(load_to_show, mnist_dir)
    load_found(mnist_dir, "validation", 24, load, "a", lambda *_: None)
    monkeypatch.setattr(found_glyphs, "FILES", ("dice.py",))
    for _ in range(2):
        load_found(mnist_dir, "validation", 24, load, "a", lambda *_: None)

    assert len(made) == 2


def test_who_trains_together_has_them_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes while they are made waits at the lock."""

    def cut(*_: object) -> tuple[Pixels, NDArray[np.int64]]:
        (lock,) = (tmp_path / "made").glob("*.lock")
        with pytest.raises(Timeout):
            FileLock(lock).acquire(timeout=0)
        return glyphs(200), np.array([3])

    monkeypatch.setattr(found_glyphs, "cut_from_scenes", cut)

    found = load_found(tmp_path, "validation", 24, partial(load_to_show, tmp_path), "a", lambda *_: None)

    assert len(found.digits) == 1


def test_a_place_inside_a_digit_is_not_background() -> None:
    """It may look like another digit; a place that the finder found by itself and one that was asked for."""
    assert chosen([[20.0, 25, 6, 12]], [100], []) == []
    for seed in range(50):
        boxes, labels = ask(replace(SCENE, marks=()), np.random.default_rng(seed))
        inside = [box for box, label in zip(boxes, labels, strict=True) if label == BACKGROUND and max(box[2:]) < 20]
        assert not any(abs(box[0] - 70) < 10 + box[2] / 2 and abs(box[1] - 25) < 15 + box[3] / 2 for box in inside)


def load_to_show(data_dir: Path) -> tuple[Hands, Find]:
    """A finder that shows its picture in each place; other processes can import it."""
    return Hands.load(data_dir, "validation", with_fonts=False, with_uci=False, verify=False), show


def show(pictures: Sequence[Pixels], asked: Sequence[Floats]) -> list[tuple[Floats, Pixels]]:
    shown = (np.resize(picture, (28, 28)) | 128 for picture in pictures)
    return [(boxes, np.repeat(glyph[np.newaxis], len(boxes), axis=0)) for glyph, boxes in zip(shown, asked, strict=True)]


@pytest.mark.long
def test_they_do_not_depend_on_the_number_of_processes(mnist_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found_glyphs, "CHUNK", 4)
    done: list[int] = []

    def cut(processes: int) -> tuple[Pixels, NDArray[np.int64]]:
        load = partial(load_to_show, mnist_dir)
        return found_glyphs.cut_from_scenes("validation", 10, load, lambda made, _: done.append(made), processes)

    (images, labels), (same_images, same_labels) = cut(1), cut(2)

    assert len(images)
    assert np.array_equal(images, same_images)
    assert np.array_equal(labels, same_labels)
    assert done == [4, 8, 10] * 2
