"""The likeliest strings of what was seen."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.reading.find.finder import Floats
from app.reading.numbers.evidence import Evidence
from app.reading.numbers.strings import BEST, Guess, combine, find_stretches, read_stretch

EVEN = 1 / 9


def boxes(*places: tuple[float, float]) -> Floats:
    """Boxes of height 20 at these centres and widths, in one line."""
    return np.array([(x, 50, width, 20) for x, width in places], np.float32)


def evidence(chances: list[float], labels: list[tuple[int, float]]) -> Evidence:
    """labels: of each candidate, its digit and how sure that is; the other digits share the rest."""
    rows = np.array([np.full(10, (1 - sure) * EVEN) for _, sure in labels])
    for row, (digit, sure) in zip(rows, labels, strict=True):
        row[digit] = sure
    return Evidence(np.array(chances), np.log(rows))


def strings(areas: Floats, seen: Evidence, count: int | None = None) -> list[tuple[str, float]]:
    stretches = [read_stretch(each, areas, seen) for each in find_stretches(areas, seen.chances)]
    return [(guess.text, math.exp(guess.chance)) for guess in combine(stretches, count)]


def test_digits_that_share_no_room_are_all_read() -> None:
    areas = boxes((10, 12), (30, 12), (50, 12))

    best, *others = strings(areas, evidence([9, 9, 9], [(4, 0.99), (0, 0.99), (7, 0.9)]))

    assert best[0] == "407"
    assert best[1] == pytest.approx(0.99 * 0.99 * 0.9, abs=0.01)
    assert {len(text) for text, _ in others} == {3}
    assert all(text.startswith("40") for text, _ in others[:2])


@pytest.mark.parametrize(("whole", "halves", "text"), [(6.0, 2.0, "8"), (2.0, 4.0, "33")], ids=["one box", "two boxes"])
def test_one_wide_box_competes_with_two_narrow_ones(whole: float, halves: float, text: str) -> None:
    areas = boxes((20, 30), (12, 14), (28, 14))

    best, *others = strings(areas, evidence([whole, halves, halves], [(8, 0.99), (3, 0.99), (3, 0.99)]))

    assert best[0] == text
    assert {"8", "33"} - {text} <= {other for other, _ in others}


def test_what_is_unlikely_to_be_a_digit_is_left_out() -> None:
    best, second, *_ = strings(boxes((10, 12), (30, 12)), evidence([9, -2], [(4, 0.999), (1, 0.999)]))

    assert best[0] == "4"
    assert second[0] == "41"


def test_two_boxes_around_one_digit_count_as_one_reading() -> None:
    areas = boxes((10, 12), (11, 13))

    best, *_ = strings(areas, evidence([5, 5], [(6, 0.99), (6, 0.99)]))

    assert best[0] == "6"
    assert best[1] > 0.97


def test_a_known_count_decides() -> None:
    areas = boxes((20, 30), (12, 14), (28, 14))
    seen = evidence([6, 2, 2], [(8, 0.99), (3, 0.99), (3, 0.99)])

    assert strings(areas, seen, count=2)[0][0] == "33"
    assert strings(areas, seen, count=1)[0][0] == "8"
    assert strings(areas, seen, count=3) == []


def test_chances_of_strings_are_at_most_1_together() -> None:
    rng = np.random.default_rng(0)
    areas = boxes(*((float(x), 14.0) for x in rng.uniform(0, 200, 30)))
    labels = [(int(digit), 0.6) for digit in rng.integers(0, 10, 30)]

    found = strings(areas, evidence(rng.normal(0, 4, 30).tolist(), labels))

    assert 0 < sum(chance for _, chance in found) <= 1 + 1e-9
    assert [chance for _, chance in found] == sorted((chance for _, chance in found), reverse=True)


def test_a_stretch_whose_labels_are_all_in_doubt_has_guesses_still() -> None:
    """Seven digits in a row that touch: of each, no label is likely, so every guess is far less likely than where digits are."""
    areas = boxes(*((10.0 * place, 10.0) for place in range(7)), *((10.0 * place + 5, 10.0) for place in range(6)))

    best, *_ = strings(areas, evidence([2.0] * 7 + [-2.0] * 6, [(3, 0.2)] * 13))

    assert best[0] == "3" * 7


def guesses(*sizes_and_chances: tuple[int, float]) -> list[Guess]:
    """The likeliest first; each digit of a guess is another candidate."""
    found = [Guess(chance, tuple((place, size) for place in range(size))) for size, chance in sizes_and_chances]
    return sorted(found, key=lambda guess: -guess.chance)


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(-20, 0)), min_size=1, max_size=8), max_size=4),
    st.none() | st.integers(0, 8),
)
def test_the_likeliest_of_all_strings_are_found(made: list[list[tuple[int, float]]], count: int | None) -> None:
    stretches = [guesses(*each) for each in made]
    every = [
        sum(guess.chance for guess in way)
        for way in product(*stretches)
        if count in (None, sum(len(guess.digits) for guess in way))
    ]

    found = combine(stretches, count)

    assert [guess.chance for guess in found] == sorted(every, reverse=True)[:BEST]
    assert all(count in (None, len(guess.digits)) for guess in found)


def test_the_caller_may_pause_at_each_stretch() -> None:
    pauses: list[None] = []

    combine([guesses((1, -0.1), (0, -2.3))] * 30, 20, lambda: pauses.append(None))

    assert len(pauses) == 30
