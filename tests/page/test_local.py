"""Reading in the browser: onnxruntime-web runs the model on the service's glyph and on the page's own."""

import numpy as np
import pytest
from playwright.sync_api import Page

from app.web.page import onnxruntime_web
from tests.page.hand import Sheet, densify, draw_with_mouse, fit, strokes_of, wait_for_answer


@pytest.fixture
def reading(sheet: Sheet) -> Page:
    """The page with its switch on."""
    if not onnxruntime_web.is_complete():
        pytest.skip("onnxruntime-web is not here; `make runtime` fetches it")
    sheet.forgive("ERR_FAILED")
    page = sheet.page
    page.check("#local")
    page.wait_for_selector("#local:checked")
    page.get_by_text("Ready. Draw or show a digit to compare.").wait_for()
    return page


def test_the_browser_agrees_with_the_service(reading: Page) -> None:
    for digit in (3, 5, 8):
        draw_with_mouse(reading, strokes_of(digit))
        assert wait_for_answer(reading) == str(digit)
        reading.wait_for_selector("#local-state[data-digit]")
        state = reading.locator("#local-state")

        assert state.inner_text().startswith(f"Agrees: {digit}, ")
        assert float(state.get_attribute("data-apart") or 1) < 1e-4
        assert state.get_attribute("data-own") == str(digit)
        assert float(state.get_attribute("data-own-apart") or 1) < 0.05
        reading.click("#clear")
        wait_for_answer(reading)


def test_drawings_are_still_read_when_the_server_is_gone(reading: Page) -> None:
    reading.route("**/*", lambda route: route.abort())
    draw_with_mouse(reading, strokes_of(4))

    assert wait_for_answer(reading) == "4"
    assert "in this browser" in reading.locator("#meta").inner_text()
    assert "out of reach" in reading.locator("#local-state").inner_text()
    assert reading.locator("#glyph").is_visible()


def test_ink_unlike_a_digit_is_doubted_in_the_browser_too(reading: Page) -> None:
    reading.route("**/predict/**", lambda route: route.abort())
    letter = [np.array(stroke) for stroke in ([(0, 1), (0.5, 0), (1, 1)], [(0.2, 0.65), (0.8, 0.65)])]
    draw_with_mouse(reading, fit([densify(stroke) for stroke in letter]))
    wait_for_answer(reading)

    assert reading.locator("#badge").inner_text() == "Not accepted"
    assert reading.locator("#warnings li").count() >= 1


def test_the_switch_can_be_turned_off_again(reading: Page) -> None:
    reading.uncheck("#local")
    draw_with_mouse(reading, strokes_of(2))
    wait_for_answer(reading)

    assert reading.locator("#local-state").get_attribute("data-digit") is None
