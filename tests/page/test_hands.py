"""Digits of writers that the model does not know, drawn on the page and in photos: a few of those of `make page-test`."""

from base64 import b64decode
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page

from app.web.page import onnxruntime_web
from benchmarks.serving.page import (
    Draw,
    choose,
    draw_all,
    draw_with_finger,
    draw_with_mouse,
    make_photos,
    open_watched,
    read_alone,
    show_all,
)
from tests.page import hand
from training.data.pen_strokes import FILE, load_strokes, split_writers

pytestmark = pytest.mark.page


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


def picture_of(page: Page) -> NDArray[np.float64]:
    """What is on the pad, in 0..1."""
    hand.wait_for_answer(page)
    url = page.locator("#pad").evaluate("(pad) => pad.toDataURL()")
    return np.asarray(Image.open(BytesIO(b64decode(url.partition(",")[2])))).astype(float) / 255


@pytest.mark.parametrize(
    ("one_by_one", "at_once", "options"),
    [(hand.draw_with_mouse, draw_with_mouse, {}), (hand.draw_with_finger, draw_with_finger, hand.PHONE)],
    ids=["mouse", "finger"],
)
def test_points_in_one_event_draw_what_they_draw_one_by_one(
    one_by_one: Draw, at_once: Draw, options: dict[str, Any], browser: Browser, address: str
) -> None:
    page = open_watched(browser, address, **options)
    pictures = []
    for draw in (one_by_one, at_once):
        draw(page, hand.strokes_of(5))
        pictures.append(picture_of(page))
        page.click("#clear")
    blank = picture_of(page)

    assert np.abs(pictures[0] - blank).mean() > 0.03
    assert np.abs(pictures[0] - pictures[1]).mean() < 0.002


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
