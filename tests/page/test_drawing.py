"""Drawing on the page with mouse, finger and keys."""

import json

import numpy as np
import pytest
from playwright.sync_api import Page, Request, Route

from app.settings import Settings
from app.web.access.keys import make_key
from tests.page.conftest import Open
from tests.page.hand import PHONE, Sheet, draw_digit, draw_with_finger, draw_with_mouse, on_screen, strokes_of, wait_for_answer
from tests.servers import serving
from tests.versions import SHIPPED

pytestmark = pytest.mark.page


def test_each_digit_is_read_from_the_mouse(sheet: Sheet) -> None:
    page = sheet.page
    read = []
    for digit in range(10):
        read.append(draw_digit(page, digit))
        page.click("#clear")
        wait_for_answer(page)

    assert read == list("0123456789")


def test_digits_are_read_from_a_finger_on_a_phone(show: Open) -> None:
    page = show(**PHONE).page
    read = []
    for digit in (1, 4, 8):  # of one stroke and of two, open and closed
        draw_with_finger(page, strokes_of(digit))
        read.append(wait_for_answer(page))
        page.click("#clear")
        wait_for_answer(page)

    assert read == list("148")


def test_an_answer_is_shown_with_its_evidence(sheet: Sheet) -> None:
    page = sheet.page
    draw_digit(page, 4)

    assert page.locator("#badge").inner_text() == "Looks right"
    assert page.locator("#reason").inner_text().endswith("% sure")
    assert page.locator("#meta").is_hidden()
    page.click("#how summary")
    assert page.locator("#bars .best").inner_text().split()[0] == "4"
    assert page.locator("#glyph").get_attribute("src").startswith("data:image/png;base64,")  # type: ignore[union-attr]
    assert page.locator("#meta").inner_text().count(f" · model digits/{SHIPPED} on cpu · ") == 1
    assert page.locator("#live").inner_text().startswith("4. Looks right: ")


def test_a_pen_that_rests_where_it_was_set_down_leaves_a_dot_that_is_read(sheet: Sheet) -> None:
    page = sheet.page
    x, y = on_screen(page, strokes_of(7))[0][0]

    with page.expect_response("**/read/canvas?*") as asked:
        page.mouse.move(x, y)
        page.mouse.down()
    page.mouse.up()

    assert asked.value.status == 200


def test_ink_without_a_digit_and_refusals_while_a_stroke_goes_on_are_no_errors(sheet: Sheet) -> None:
    sheet.forgive("status of 503")
    page = sheet.page
    (x, y), (right, down) = on_screen(page, [np.array([(0.5, 0.5), (0.51, 0.51)])])[0]
    body = json.dumps({"code": "no-digit-found", "detail": "There is no digit.", "status": 422, "request_id": "one"})
    page.route("**/canvas?*", lambda route: route.fulfill(status=422, content_type="application/problem+json", body=body))

    with page.expect_response("**/canvas?*"):
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(right, down)
    resting = page.locator("#problem").is_hidden()
    with page.expect_response("**/canvas?*"):
        page.mouse.up()
    wait_for_answer(page)

    assert resting
    assert page.locator("#problem").is_hidden()
    assert "No digit yet." in page.locator("#reason").inner_text()
    page.unroute("**/canvas?*")
    page.route("**/canvas?*", lambda route: route.fulfill(status=503, body="busy"))
    with page.expect_response("**/canvas?*"):
        page.mouse.down()
    wait_for_answer(page)
    assert page.locator("#problem").is_hidden()
    page.mouse.up()
    page.wait_for_selector("#problem:not([hidden])")


def test_focus_stays_on_the_page_when_the_last_stroke_is_taken_back_by_key(sheet: Sheet) -> None:
    page = sheet.page
    page.click("#pad")
    wait_for_answer(page)
    page.focus("#undo")
    page.keyboard.press("Enter")
    wait_for_answer(page)

    assert page.evaluate("document.activeElement.id") == "pad"


def test_a_cleared_pad_has_no_answer(sheet: Sheet) -> None:
    page = sheet.page
    draw_digit(page, 8)
    page.click("#clear")

    assert wait_for_answer(page) == ""
    assert page.locator("#badge").inner_text() == "Nothing yet"
    assert page.locator("#undo").is_disabled()


def test_undo_takes_the_last_stroke_back(sheet: Sheet) -> None:
    page = sheet.page
    left, right = (
        [(stroke - 0.5) * 0.5 + (middle, 0.5) for stroke in strokes_of(digit)] for digit, middle in ((4, 0.3), (7, 0.7))
    )
    draw_with_mouse(page, left)
    wait_for_answer(page)
    before = page.locator("#glyph").get_attribute("src")
    draw_with_mouse(page, right)
    page.wait_for_selector("#text span:nth-child(2)")

    page.click("#pad")  # a dot, whose stroke is the last
    page.keyboard.press("Control+z")
    page.click("#undo")
    wait_for_answer(page)
    page.wait_for_selector("#text span:nth-child(2)", state="detached")

    assert page.locator("#glyph").get_attribute("src") == before


def drawn(page: Page) -> list[str]:
    """The pictures that the page asks about from now on."""
    pictures: list[str] = []

    def note(asked: Request) -> None:
        if asked.post_data and "/read/canvas" in asked.url:
            pictures.append(json.loads(asked.post_data)["image"])

    page.on("request", note)
    return pictures


def test_undo_lifts_the_pen_of_the_keyboard(sheet: Sheet) -> None:
    page, pictures = sheet.page, drawn(sheet.page)
    page.focus("#pad")

    def press(*keys: str) -> str:
        for key in keys:
            page.keyboard.press(key)
        return wait_for_answer(page)

    press("Space", "ArrowRight", "Backspace", "ArrowLeft")
    emptied = page.locator("#undo").is_disabled()
    press(*["ArrowUp"] * 10, "Space", *["ArrowDown"] * 20, "Space")
    stroke = pictures[-1]
    press("Space", "ArrowRight", "ArrowRight", "Backspace", *["ArrowRight"] * 5)

    assert emptied
    assert page.locator("#text").inner_text() == "1"
    assert pictures[-1] == stroke
    page.keyboard.press("Space")
    assert page.locator("#live").inner_text() == "Pen down"


def test_undo_ends_the_stroke_of_a_button_that_is_still_held(sheet: Sheet) -> None:
    page, pictures = sheet.page, drawn(sheet.page)
    draw_digit(page, 3)
    stroke = pictures[-1]
    page.mouse.move(*on_screen(page, [np.array([(0.2, 0.2)])])[0][0])
    page.mouse.down()
    page.mouse.move(*on_screen(page, [np.array([(0.3, 0.3)])])[0][0])
    page.keyboard.press("Control+z")
    page.mouse.move(*on_screen(page, [np.array([(0.9, 0.9)])])[0][0])
    page.mouse.up()

    assert wait_for_answer(page) == "3"
    assert pictures[-1] == stroke


def test_the_pens_width_and_pressure_count(sheet: Sheet) -> None:
    sheet.forgive("willReadFrequently")  # it is this test that reads the canvas often
    page = sheet.page

    def ink(width: int, kind: str, pressure: float) -> float:
        page.locator("#brush").fill(str(width))
        page.evaluate(
            """([kind, pressure]) => {
                const pad = document.querySelector("#pad"), area = pad.getBoundingClientRect();
                pad.setPointerCapture = () => {};
                for (const [type, share] of [["pointerdown", 0.3], ["pointermove", 0.7], ["pointerup", 0.7]])
                    pad.dispatchEvent(new PointerEvent(type, { pointerId: 7, pointerType: kind, pressure, bubbles: true,
                        clientX: area.left + area.width / 2, clientY: area.top + area.height * share }));
            }""",
            [kind, pressure],
        )
        wait_for_answer(page)
        alpha: float = page.evaluate(
            "document.querySelector('#pad').getContext('2d').getImageData(0, 0, 840, 840).data"
            ".reduce((sum, value, place) => place % 4 === 3 ? sum + value : sum, 0)"
        )
        page.click("#clear")
        wait_for_answer(page)
        return alpha

    thin, thick = ink(8, "mouse", 0.5), ink(24, "mouse", 0.5)
    light, firm = ink(16, "pen", 0.1), ink(16, "pen", 0.9)

    assert thick > 2 * thin
    assert firm > 1.5 * light


def test_older_answers_are_dropped(sheet: Sheet) -> None:
    page = sheet.page
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    page.route("**/read/canvas*", hold_the_first)
    page.mouse.move(400, 300)
    page.mouse.down()
    page.mouse.up()
    page.wait_for_timeout(200)
    assert held
    page.click("#clear")
    assert draw_digit(page, 7) == "7"
    held[0].abort()
    page.wait_for_timeout(100)

    assert page.locator("#text").inner_text() == "7"
    assert page.locator("#problem").is_hidden()


def test_an_answer_to_ink_that_has_changed_is_not_waited_for(sheet: Sheet) -> None:
    page = sheet.page
    page.route("**/read/canvas*", lambda _: None)
    page.clock.install(time=0)
    page.clock.pause_at(1000)
    page.mouse.move(400, 300)
    with page.expect_request("**/read/canvas*"):
        page.mouse.down()
        page.mouse.up()
        page.clock.run_for(1000)

    with page.expect_event("requestfailed"):  # before the pause after which the new ink is asked about
        page.mouse.down()

    assert page.locator("#answer").get_attribute("aria-busy") == "true"


def test_a_digit_can_be_drawn_and_read_by_keyboard_alone(sheet: Sheet) -> None:
    page = sheet.page
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "pad":
            break
    for _ in range(10):
        page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    for _ in range(20):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")

    assert wait_for_answer(page) == "1"
    assert page.evaluate("document.activeElement.id") == "pad"
    page.keyboard.press("Delete")
    assert wait_for_answer(page) == ""


def test_everything_can_be_reached_by_keyboard(sheet: Sheet) -> None:
    page = sheet.page
    draw_digit(page, 2)
    reached = set()
    page.evaluate("document.activeElement.blur()")
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.closest('[id]')?.id"))
    page.focus("#tab-draw")
    page.keyboard.press("End")
    last = page.evaluate("document.activeElement.id")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")

    assert {
        "language",
        "tab-draw",
        "pad",
        "undo",
        "clear",
        "brush",
        "examples",
        "history",
        "tab-curl",
        "copy",
        "code",
        "text",
        "how",
    } <= reached
    assert last == "tab-batch"
    assert page.locator("#photo").is_visible()
    assert page.evaluate("document.activeElement.id") == "tab-photo"


def test_a_drawing_is_one_entry_of_the_history(sheet: Sheet) -> None:
    page = sheet.page
    for digit in (4, 5):  # of two strokes each
        draw_digit(page, digit)
        page.click("#clear")
        wait_for_answer(page)

    page.click("#examples li:first-child button")
    wait_for_answer(page)
    page.click("#tab-draw")
    draw_digit(page, 3)

    assert page.locator("#history b").all_inner_texts() == ["3", "7", "5", "4"]
    page.click("#history li:nth-child(4) button")
    assert page.locator("#text").inner_text() == "4"
    page.click("#undo")  # its strokes are on the pad again: two
    wait_for_answer(page)
    assert page.locator("#clear").is_enabled()
    page.click("#undo")
    assert wait_for_answer(page) == ""
    assert page.locator("#clear").is_disabled()


@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_with_retry_after_is_tried_again(sheet: Sheet, status: int) -> None:
    sheet.forgive(str(status))
    page, busy = sheet.page, [True]

    def refuse(route: Route) -> None:
        if not busy:
            return route.continue_()
        body = {"code": "overloaded", "detail": "Too many requests wait.", "status": status, "request_id": "one"}
        headers = {"Retry-After": "1"}
        return route.fulfill(status=status, headers=headers, content_type="application/problem+json", body=json.dumps(body))

    page.route("**/read/canvas*", refuse)
    draw_with_mouse(page, strokes_of(3))
    page.wait_for_selector("#problem:not([hidden])")
    said = page.locator("#problem").inner_text()
    busy.clear()

    assert "Many are asking at the moment. Trying again in 1 s…" in said
    assert "Request one" in said
    assert wait_for_answer(page) == "3"
    assert page.locator("#problem").is_hidden()


def test_a_missing_server_is_reported_and_the_request_can_be_repeated(sheet: Sheet) -> None:
    sheet.forgive("ERR_FAILED")
    page = sheet.page
    page.route("**/read/canvas*", lambda route: route.abort())
    draw_with_mouse(page, strokes_of(6))

    assert wait_for_answer(page) == ""
    assert "The server cannot be reached." in page.locator("#problem").inner_text()
    page.unroute("**/read/canvas*")
    page.click("#again")
    page.wait_for_selector("#answer[data-state=accepted]")
    assert wait_for_answer(page) == "6"


def test_the_page_of_a_proxy_in_the_place_of_an_answer_is_reported(sheet: Sheet) -> None:
    page = sheet.page
    for path in ("**/read/canvas*", "**/model"):
        page.route(path, lambda route: route.fulfill(body="<h1>Log in</h1>", content_type="text/html"))
    page.reload()
    page.wait_for_selector("html[data-ready]")
    draw_with_mouse(page, strokes_of(6))

    assert wait_for_answer(page) == ""
    assert "The server cannot be reached." in page.locator("#problem").inner_text()
    page.unroute("**/read/canvas*")
    page.click("#again")
    page.wait_for_selector("#answer[data-state=accepted]")
    assert wait_for_answer(page) == "6"


def test_the_page_asks_for_a_key_keeps_it_for_the_tab_and_sends_it(show: Open) -> None:
    secret, kept = make_key("visitor", "predict")
    with serving(Settings(model_version=SHIPPED, api_keys=[str(kept)])) as port:
        sheet = show(at=f"http://127.0.0.1:{port}")
        sheet.forgive("401")
        page = sheet.page
        draw_with_mouse(page, strokes_of(9))
        page.wait_for_selector("#key-dialog[open]")
        first = page.locator("#key-wrong").is_visible()
        page.keyboard.type("another key")
        page.keyboard.press("Enter")
        page.locator("#key-wrong", has_text="The service does not know this key. Check it and try again.").wait_for()
        assert not first
        assert "does not know this key" in page.locator("#problem-title").inner_text()
        page.keyboard.type(secret)
        page.keyboard.press("Enter")
        page.wait_for_selector("#answer[data-state=accepted]")

        assert wait_for_answer(page) == "9"
        assert page.evaluate("Object.keys(localStorage)") == []
        assert "X-API-Key: $NUMERAL_KEY" in code(page)
        assert secret not in code(page)
        page.reload()
        page.wait_for_selector("html[data-ready]")
        assert draw_digit(page, 8) == "8"  # the tab still has it


def code(page: Page) -> str:
    return page.locator("#code").inner_text()
