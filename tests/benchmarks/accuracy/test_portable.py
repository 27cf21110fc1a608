"""The portable graph next to the service: the same answers on made scenes, and a report that lists what differs."""

from pathlib import Path

import numpy as np
import pytest

from app.reading.infer.store import find_model
from app.reading.reader import Reader
from app.settings import Settings
from benchmarks.accuracy.portable import Digit, Pair, compare, made_pictures, open_graph, overlap, write_report
from tests.versions import SHIPPED
from training.data.hands import Hands

SCENES = 40
HERE, THERE = (10.0, 10.0, 20.0, 30.0), (60.0, 10.0, 20.0, 30.0)


def test_the_graph_reads_scenes_as_the_service_does(reader: Reader, mnist_dir: Path) -> None:
    stored = find_model(Settings().model_store, "digits", SHIPPED)
    hands = Hands.load(mnist_dir, "test", with_fonts=False, with_uci=False, verify=False)
    golden = [(f"golden {number}", pixels) for number, pixels in enumerate(stored.read_golden().pictures)]

    pairs = list(compare(reader, open_graph(stored.path("reader")), [*golden, *made_pictures(hands, SCENES)]))

    assert all(pair.agree for pair in pairs[: len(golden)])
    assert sum(pair.agree for pair in pairs) >= len(pairs) - 1, write_report(pairs, "scenes")
    assert sum(len(pair.service) for pair in pairs) >= SCENES / 2
    assert sum(pair.matched for pair in pairs) >= 0.85 * sum(len(pair.service) for pair in pairs)  # of 1,000 scenes 93 %


def test_what_differs_is_told() -> None:
    same = Pair("a row", [Digit(3, True, HERE), Digit(5, False, THERE)], [Digit(3, True, HERE), Digit(5, False, THERE)])
    doubted = Pair("a photo", [Digit(3, True, HERE)], [Digit(3, False, HERE)])
    missed = Pair("a page", [Digit(3, True, HERE), Digit(5, True, THERE)], [Digit(3, True, HERE)])
    empty = Pair("nothing", [], [])

    report = write_report([same, doubted, missed, empty], "made scenes")

    assert "| the most prominent digit: digit and acceptance, or none | 3 | 4 | 75.00% |" in report
    assert "| all digits of the picture: number, place, digit and acceptance | 2 | 4 | 50.00% |" in report
    assert "| digits that the service finds: place, digit and acceptance | 3 | 5 | 60.00% |" in report
    assert report[-1] == "- a photo: service 3, graph 3?"


def test_a_digit_elsewhere_is_another_digit() -> None:
    moved = Pair("moved", [Digit(3, True, HERE)], [Digit(3, True, THERE)])

    assert moved.agree
    assert not moved.agree_on_all
    assert overlap(HERE, HERE) == 1
    assert overlap(HERE, (10, 10, 20, 15)) == pytest.approx(0.5)


def test_scenes_are_the_same_each_time_and_come_in_several_sizes(mnist_dir: Path) -> None:
    hands = Hands.load(mnist_dir, "test", with_fonts=False, with_uci=False, verify=False)

    once, again = (list(made_pictures(hands, 12)) for _ in range(2))

    assert all(np.array_equal(one[1], other[1]) for one, other in zip(once, again, strict=True))
    assert len({max(pixels.shape) for _, pixels in once}) >= 3
