"""Digits of writers that the model does not know, drawn on the page: a few of those that `make page-test` draws."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from benchmarks.serving.page import choose, draw_all, open_watched
from tests.page.hand import draw_with_mouse
from training.data.pen_strokes import FILE, load_strokes, split_writers


@pytest.fixture
def strokes_dir() -> Path:
    folder = Path(__file__).parents[2] / "data"
    if not (folder / "strokes" / FILE).is_file():
        pytest.skip("the pen strokes are not in data/; `python -m training data` fetches them")
    return folder


def test_digits_of_unknown_writers_are_read(browser: Browser, address: str, strokes_dir: Path) -> None:
    *_, test = split_writers(load_strokes(strokes_dir))
    page = open_watched(browser, address)

    drawings = list(draw_all(page, choose(test, 10), draw_with_mouse))

    assert sum(drawing.right for drawing in drawings) >= 9
    assert all(drawing.milliseconds > 0 for drawing in drawings)
