"""Numbers: each digit with its box, its doubt and its explanation, the text to copy, and corrections."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Route

from app.settings import Settings
from benchmarks.pictures import encode, row
from tests.page.conftest import Open
from tests.page.hand import PHONE, Sheet, draw_digit, draw_with_mouse, strokes_of, wait_for_answer
from tests.page.test_pictures import payload
from tests.servers import serving
from tests.versions import SHIPPED

pytestmark = pytest.mark.page

LINES = ("3520", "864")


def show_lines(page: Page) -> str:
    """Gives the page a picture of LINES, and what it read."""
    pixels = np.concatenate([np.asarray(row(line, 24)) for line in LINES])
    page.set_input_files("#file", [payload("lines.png", encode(Image.fromarray(pixels)), "image/png")])
    return wait_for_answer(page)


def answer_with(page: Page, reading: dict[str, Any]) -> None:
    """Lets the service answer drawings with a reading."""
    page.route("**/read/canvas?*", lambda route: route.fulfill(content_type="application/json", body=json.dumps(reading)))


def digit(label: int, other: int, *codes: str) -> dict[str, Any]:
    """A digit of a reading that may be another one, with warnings."""
    probabilities = [0.6 if each == label else 0.4 if each == other else 0.0 for each in range(10)]
    warnings = [{"code": code, "value": 1, "detail": ""} for code in codes]
    box = {"x": 20 + 60 * label, "y": 90, "width": 50, "height": 90}
    return {
        "digit": label,
        "confidence": 0.6,
        "probabilities": probabilities,
        "accepted": not codes,
        "warnings": warnings,
        "box": box,
        "line": 0,
        "glyph": None,
    }


def reading(*digits: dict[str, Any], **others: Any) -> dict[str, Any]:
    """A reading of one line that is not accepted."""
    text = "".join(str(each["digit"]) for each in digits)
    line = {"text": text, "confidence": 0.999, "accepted": False, "box": digits[0]["box"], "digits": list(range(len(digits)))}
    model = {"name": "digits", "version": SHIPPED}
    answer = {"text": text, "confidence": 0.999, "accepted": False, "lines": [line], "digits": list(digits)}
    return {**answer, "alternatives": [], "marks": [], "warnings": [], "model": model, **others}


def test_each_digit_of_a_photo_has_a_box_and_explains_itself_when_touched(show: Open) -> None:
    page = show(**PHONE).page
    assert show_lines(page).split() == list(LINES)
    marks = page.locator("#shot-boxes b").all_inner_texts()
    closed = page.locator("#bars").is_hidden()
    page.locator("#shot-boxes span").nth(5).tap()

    assert [mark.rstrip("?") for mark in marks] == list("".join(LINES))
    assert closed
    assert page.locator("#which").inner_text() == "Digit 6 of 7: 6"
    assert page.locator("#bars .best").inner_text().split()[0] == "6"
    assert page.locator("#glyph").is_visible()
    page.locator("#text span").nth(1).tap()
    assert page.locator("#which").inner_text() == "Digit 2 of 7: 5"
    assert "picked" in (page.locator("#shot-boxes span").nth(1).get_attribute("class") or "")


def test_small_digits_of_a_photo_are_touched_within_44_pixels_and_the_nearest_one_is_meant(show: Open) -> None:
    page = show(**PHONE).page
    answer = reading(digit(3, 8), digit(4, 9), digit(9, 4))  # as high as a twentieth of the picture; two are close together
    page.route("**/read?*", lambda route: route.fulfill(content_type="application/json", body=json.dumps(answer)))
    page.set_input_files("#file", [payload("large.png", encode(Image.new("L", (1800, 1800), 255)), "image/png")])
    wait_for_answer(page)
    boxes = [mark.bounding_box() for mark in page.locator("#shot-boxes span").all()]
    middles = [(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in boxes if box]

    def touch(place: int, right: float, down: float) -> str:
        page.touchscreen.tap(middles[place][0] + right, middles[place][1] + down)
        return page.locator("#which").inner_text()

    assert max(box["height"] for box in boxes if box) < 30
    assert middles[1][0] - middles[0][0] < 22
    for away in ((-21, 0), (0, 21), (-21, 21)):
        touch(2, 0, 0)
        assert touch(0, *away) == "Digit 1 of 3: 3"
    assert [touch(0, 4, 0), touch(1, -4, 0), touch(1, 21, 0)] == [
        f"Digit {each}" for each in ("1 of 3: 3", "2 of 3: 4", "2 of 3: 4")
    ]
    touch(1, 25, 25)
    assert page.locator("#which").inner_text() == "Digit 2 of 3: 4"  # as before: nothing is there


def test_digits_are_explained_by_keyboard(sheet: Sheet) -> None:
    page = sheet.page
    show_lines(page)
    page.focus("#text span[tabindex='0']")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    second = page.locator("#which").inner_text()
    page.keyboard.press("End")

    assert second == "Digit 2 of 7: 5"
    assert page.locator("#which").inner_text() == "Digit 7 of 7: 4"
    assert page.locator("#text [aria-selected=true]").get_attribute("tabindex") == "0"


def test_the_text_is_copied_with_its_lines(show: Open) -> None:
    page = show().page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    show_lines(page)
    page.click("#copy-text")
    page.locator("#copy-text", has_text="Copied").wait_for()

    assert page.evaluate("navigator.clipboard.readText()") == "\n".join(LINES)


def test_a_number_is_written_on_the_pad(sheet: Sheet) -> None:
    page = sheet.page
    small = [(stroke - 0.5) * 0.5 for digit in (4, 7) for stroke in strokes_of(digit)]
    middles = [(0.3, 0.5)] * len(strokes_of(4)) + [(0.7, 0.5)] * len(strokes_of(7))
    draw_with_mouse(page, [stroke + middle for stroke, middle in zip(small, middles, strict=True)])

    assert wait_for_answer(page) == "47"
    assert [mark.rstrip("?") for mark in page.locator("#pad-boxes b").all_inner_texts()] == ["4", "7"]
    page.mouse.down()  # where the pen is: boxes go while ink comes
    assert page.locator("#pad-boxes b").count() == 0
    page.mouse.up()
    wait_for_answer(page)


def test_what_is_the_matter_stands_in_the_place_of_a_high_confidence(sheet: Sheet) -> None:
    page = sheet.page
    other = [{"text": "21", "confidence": 0.3}, {"text": "27", "confidence": 0.001}]
    answer_with(page, reading(digit(2, 3), digit(7, 1, "low-confidence", "faint"), alternatives=other))
    draw_digit(page, 3)

    assert page.locator("#badge").inner_text() == "Please check"
    assert page.locator("#reason").inner_text() == "Digit 2: is it a 7 or a 1?"
    assert page.locator("#warnings").inner_text().startswith("The ink hardly stands out.")
    assert page.locator("#alternatives").inner_text().split() == ["Or:", "21", "30%"]
    assert page.locator("#text .doubtful").inner_text() == "7"
    assert page.locator("#pad-boxes .doubtful").inner_text() == "7?"
    page.click("#how summary")
    assert page.locator("#which").inner_text() == "Digit 2 of 2: 7"  # the one in doubt


def test_a_whole_in_doubt_whose_digits_are_not_says_how_sure_it_is(sheet: Sheet) -> None:
    page = sheet.page
    answer_with(page, reading(digit(2, 3), digit(7, 1), confidence=0.9))
    draw_digit(page, 3)

    assert page.locator("#reason").inner_text() == "Only 90% sure that all of it is right."


def test_nothing_can_be_corrected_where_nothing_is_kept(sheet: Sheet) -> None:
    draw_digit(sheet.page, 3)

    assert sheet.page.locator("#correct").is_hidden()


KEPT = reading(digit(4, 9), id="one")


def test_enter_sends_a_correction_and_shift_enter_begins_another_line(sheet: Sheet) -> None:
    page, sent = sheet.page, []
    answer_with(page, KEPT)

    def take(route: Route) -> None:
        sent.append(route.request.post_data_json)
        route.fulfill(status=201, json={})

    page.route("**/corrections", take)
    draw_digit(page, 3)
    page.fill("#truth", "12")
    page.press("#truth", "Shift+Enter")
    page.keyboard.type("34")
    rows = page.locator("#truth").evaluate("(field) => field.rows")
    page.dispatch_event("#truth", "keydown", {"key": "Enter", "isComposing": True})  # ends what an input method composed
    page.press("#truth", "Enter")
    page.locator("#corrected", has_text="Noted. Thank you.").wait_for()

    assert rows == 2
    assert sent == [{"id": "one", "truth": "12\n34"}]
    assert page.locator("#truth").input_value() == "12\n34"


def test_on_a_phone_enter_begins_a_line_of_a_number_and_sends_a_single_digit(show: Open) -> None:
    page, sent = show(**PHONE).page, []

    def take(route: Route) -> None:
        sent.append(json.loads(route.request.post_data or "")["truth"])
        route.fulfill(status=201, json={})

    page.route("**/corrections", take)
    hints = []
    for answer in (reading(digit(4, 9), digit(2, 9), id="two"), KEPT):
        answer_with(page, answer)
        draw_digit(page, 3)
        hints.append(page.locator("#truth").get_attribute("enterkeyhint"))
        page.press("#truth", "End")
        page.press("#truth", "Enter")
        page.keyboard.type("7")
        if hints == ["enter"]:
            page.get_by_role("button", name="Tell").tap()
        page.locator("#corrected", has_text="Noted. Thank you.").wait_for()

    assert hints == ["enter", "send"]
    assert sent == ["42\n7", "4"]


def test_control_z_undoes_what_is_typed_into_a_correction_and_leaves_the_drawing(sheet: Sheet) -> None:
    page = sheet.page
    answer_with(page, KEPT)
    draw_digit(page, 3)
    page.focus("#truth")
    page.keyboard.press("End")
    page.keyboard.type("7")
    page.keyboard.press("Control+z")
    wait_for_answer(page)

    assert page.locator("#truth").input_value() == "4"
    assert page.locator("#truth").is_visible()
    assert page.locator("#undo").is_enabled()
    page.focus("#brush")  # where nothing is typed
    page.keyboard.press("Control+z")
    page.wait_for_selector("#correct", state="hidden")


def test_an_answer_is_corrected_where_answers_are_kept(show: Open, tmp_path: Path) -> None:
    with serving(Settings(model_version=SHIPPED, keep="glyphs", data_dir=tmp_path)) as port:
        address = f"http://127.0.0.1:{port}"
        page = show(at=address).page
        draw_digit(page, 3)
        page.fill("#truth", " 8 ")
        page.click("#correct button:not([type])")
        page.locator("#corrected", has_text="Noted. Thank you.").wait_for()
        show_lines(page)
        page.click("#no-digit")
        page.locator("#corrected", has_text="Noted. Thank you.").wait_for()
        page.fill("#truth", "seven")
        page.click("#correct button:not([type])")
        asked = page.locator("#corrected").inner_text()
        kept = page.request.get(f"{address}/admin/corrections").json()["corrections"]

    assert asked == "Write what it is in digits."
    assert {(each["answer"], each["truth"]) for each in kept} == {("3", "8"), ("\n".join(LINES), None)}
