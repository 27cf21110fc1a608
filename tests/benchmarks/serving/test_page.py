"""The page's benchmark: whose digits it draws, and what it reports."""

from dataclasses import replace

import numpy as np

from benchmarks.serving.page import ALONE, MOUSE, TOUCH, Shown, choose, make_photos, write_report
from training.data.pen_strokes import PenDigit

DRAWING = Shown(label="7", read="7", accepted=True, milliseconds=50)


def test_every_writer_and_every_digit_is_drawn() -> None:
    digits = [PenDigit(label, writer, (np.zeros((1, 2)),)) for writer in range(5) for label in range(10) for _ in range(25)]

    chosen = choose(digits, 300)

    assert len(chosen) == 300
    assert {digit.writer for digit in chosen} == set(range(5))
    assert {digit.label for digit in chosen} == set(range(10))


def test_photos_show_one_digit_each_or_a_number() -> None:
    digits = [PenDigit(label, 1, (np.array([(10.0, 0.0), (20.0, 100.0 + label)]),)) for label in range(10)]

    photos, numbers = make_photos(digits, 10)

    assert {text for text, _ in photos} == set("0123456789")
    assert [len(text) for text, _ in numbers] == [2, 3, 4, 5, 2]
    assert len({photo for _, photo in photos + numbers}) == 15


def test_the_report_shows_mistakes_delays_and_disagreement() -> None:
    slip, late, unsure = replace(DRAWING, read="1"), replace(DRAWING, milliseconds=90), replace(DRAWING, accepted=False)
    runs = {MOUSE: [DRAWING, slip], TOUCH: [DRAWING, late], ALONE: [DRAWING, DRAWING]}

    report = write_report(runs, {"drawings": [(DRAWING, DRAWING), (slip, DRAWING), (DRAWING, unsure)]}, [300, 400], writers=5)

    assert f"| {MOUSE} | 2 | 50.00%, 1 wrong | 50 ms | 50 ms |" in report
    assert f"| {TOUCH} | 2 | 100.00%, 0 wrong | 70 ms | 88 ms |" in report
    assert "Mistakes by mouse and by finger: 7 as 1." in report
    assert "| 3 drawings | 2 | 1 | 2 | 3 |" in report
