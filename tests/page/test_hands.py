"""Digits of writers that the model does not know, drawn on the page and in photos: a few of those of `make page-test`."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from app.web.page import onnxruntime_web
from benchmarks.serving.page import choose, draw_all, make_photos, open_watched, read_alone, show_all
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


def test_browser_and_service_read_alike(browser: Browser, address: str, strokes_dir: Path) -> None:
    if not onnxruntime_web.is_complete():
        pytest.skip("onnxruntime-web is not here; `make runtime` fetches it")
    *_, test = split_writers(load_strokes(strokes_dir))
    photos, numbers = make_photos(test, 8)
    server, alone = (open_watched(browser, address) for _ in range(2))
    read_alone(alone)

    drawings = [list(draw_all(page, choose(test, 8), draw_with_mouse)) for page in (server, alone)]
    shown = [list(show_all(page, photos)) for page in (server, alone)]
    by_browser = list(show_all(alone, numbers))

    assert sum(one.is_like(other) for one, other in zip(*drawings, strict=True)) == 8
    assert sum(one.is_like(other) for one, other in zip(*shown, strict=True)) >= 7
    assert sum(each.right for each in by_browser) >= len(numbers) // 2
