"""The page's benchmark: whose digits it draws, and what it reports."""

from dataclasses import replace

import numpy as np

from benchmarks.serving.page import BOTH, MOUSE, TOUCH, Drawing, choose, write_report
from training.data.pen_strokes import PenDigit

DRAWING = Drawing(label=7, writer=4, read="7", milliseconds=50, local="7", own="7", apart=1e-7, own_apart=1e-4)


def test_every_writer_and_every_digit_is_drawn() -> None:
    digits = [PenDigit(label, writer, (np.zeros((1, 2)),)) for writer in range(5) for label in range(10) for _ in range(25)]

    chosen = choose(digits, 300)

    assert len(chosen) == 300
    assert {digit.writer for digit in chosen} == set(range(5))
    assert {digit.label for digit in chosen} == set(range(10))


def test_the_report_shows_mistakes_and_delays() -> None:
    slip, late, stray = replace(DRAWING, read="1"), replace(DRAWING, milliseconds=90), replace(DRAWING, own="1", own_apart=0.5)

    report = write_report({MOUSE: [DRAWING, slip], TOUCH: [DRAWING, late], BOTH: [DRAWING, stray]}, [300, 400])

    assert f"| {MOUSE} | 2 | 50.00%, 1 wrong | 50 ms | 50 ms |" in report
    assert f"| {TOUCH} | 2 | 100.00%, 0 wrong | 70 ms | 88 ms |" in report
    assert "Mistakes by mouse and by finger: 7 as 1." in report
    assert "| the server's glyph | 2 of 2 | 100.00% | 1.0e-07 | 1.0e-07 |" in report
    assert "| the page's own glyph | 1 of 2 | 50.00% | 2.5e-01 | 5.0e-01 |" in report
