"""Made photos, drawings and outliers: found by the service's own code, the same for the same seed, and cached."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmarks.pictures import STROKES
from training.data import made_glyphs
from training.data.course import load_course
from training.data.made_glyphs import Amount, load_made, make, plan, run
from training.data.mnist import NONE, Split, load_digits
from training.data.non_digits import HELD_SIGNS, SIGNS, draw_outlier
from training.data.pen_strokes import PenDigit

Excerpt = tuple[NDArray[np.uint8], NDArray[np.uint8]]
DIGITS = [
    PenDigit(label, writer, tuple(np.array(stroke, dtype=np.float64) for stroke in strokes))
    for writer in range(5)
    for label, strokes in STROKES.items()
]


def mnist(excerpt: Excerpt, count: int) -> Split:
    return Split(torch.from_numpy(excerpt[0][:count]), torch.from_numpy(excerpt[1][:count]).long())


def ignore(_done: int, _total: int) -> None:
    pass


def test_what_is_found_is_what_was_written(excerpt: Excerpt) -> None:
    tasks = list(plan("train", mnist(excerpt, 20), DIGITS[:10], SIGNS, Amount(2, 2, 2, 20)))

    found = {task.kind: run(task) for task in tasks}

    assert [len(task.takes) for task in tasks] == [60, 20, 20]
    for glyphs, labels in found.values():
        assert glyphs.shape == (len(labels), 28, 28)
        assert (glyphs.max(axis=(1, 2)) > 200).all()
    assert len(found["photos"][1]) >= 40
    assert len(found["drawings"][1]) >= 18
    assert set(found["outliers"][1]) == {NONE}
    assert set(found["photos"][1]) <= set(range(10))


def test_the_same_seed_gives_the_same_pictures(excerpt: Excerpt) -> None:
    one, same, other = (
        next(iter(plan(split, mnist(excerpt, 6), DIGITS[:2], SIGNS, Amount(1, 1, 1, 1))))
        for split in ("train", "train", "validation")
    )

    np.testing.assert_array_equal(run(one)[0], run(same)[0])
    assert not np.array_equal(run(one)[0][:3], run(other)[0][:3])


def test_outliers_are_of_many_kinds_and_none_is_empty() -> None:
    rng = np.random.default_rng(0)

    drawn = [draw_outlier(rng, DIGITS, HELD_SIGNS) for _ in range(100)]

    assert {each.label for each in drawn} == {NONE}
    assert all(each.ink.any() for each in drawn)
    assert len({each.ink.tobytes() for each in drawn}) > 70  # the same sign and the same turned digit come again


def test_training_and_validation_use_different_letters() -> None:
    assert set(SIGNS).isdisjoint(HELD_SIGNS)


@pytest.fixture
def strokes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made_glyphs, "load_strokes", lambda _: DIGITS)


@pytest.mark.usefixtures("strokes")
def test_made_glyphs_are_kept_until_something_changes(mnist_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digits = load_digits(mnist_dir, verify=False, validation_size=490)
    calls: list[int] = []

    def count(*arguments: object) -> dict[str, NDArray[np.generic]]:
        calls.append(1)
        return make(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(made_glyphs, "make", count)
    monkeypatch.setattr(made_glyphs, "SMOKE", Amount(1, 1, 1, 10))
    small = Split(digits.validation.images[:10], digits.validation.labels[:10])
    tested = Split(digits.test.images[:10], digits.test.labels[:10])
    first, held, test = load_made(mnist_dir, type(digits)(digits.train, small, tested), ignore, smoke=True)
    again, *_ = load_made(mnist_dir, type(digits)(digits.train, small, tested), ignore, smoke=True)

    assert len(calls) == 1
    assert torch.equal(first.photos.images, again.photos.images)
    assert len(held.drawings)
    assert len(test.photos)
    load_made(mnist_dir, type(digits)(digits.train, digits.train, tested), ignore, smoke=True)
    assert len(calls) == 2


def test_processes_make_the_same_pictures(excerpt: Excerpt, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = list(plan("train", mnist(excerpt, 6), DIGITS[:10], SIGNS, Amount(1, 1, 1, 6)))
    reported: list[tuple[int, int]] = []

    alone = make(tasks, ignore)
    monkeypatch.setattr(made_glyphs, "MANY", 0)
    together = make(tasks, lambda done, total: reported.append((done, total)))

    assert reported[-1] == (32, 32)
    assert alone.keys() == together.keys()
    for name, array in alone.items():
        np.testing.assert_array_equal(array, together[name])


@pytest.mark.usefixtures("strokes")
def test_a_course_takes_its_share_of_each_source(mnist_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made_glyphs, "SMOKE", Amount(1, 1, 1, 10))

    course = load_course(mnist_dir, ignore, photos=0.5, outliers=0.1, smoke=True)

    assert [count for _, count in course.parts] == [400, 200, 40]
    assert list(course.judged) == [
        *("mnist_validation", "mnist_test", "photos_validation", "drawings_validation"),
        *("photos_test", "drawings_test"),
    ]
    assert len(course.validation) == sum(len(split) for name, split in course.judged.items() if name.endswith("validation"))
    assert course.outliers is not None
    assert set(course.outliers.labels.tolist()) == {NONE}
