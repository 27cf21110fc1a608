"""What happens while something else is under way, and after answers and failures that nobody expects."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, Page, Route

from benchmarks.pictures import canvas, encode
from tests.page.conftest import Open
from tests.page.hand import Sheet, draw_digit, draw_with_mouse, strokes_of, wait_for_answer
from tests.page.test_numbers import KEPT, answer_with, digit, reading
from tests.page.test_pictures import give, payload
from tests.versions import SHIPPED

pytestmark = pytest.mark.page

NOT_UNDERSTOOD = "The server gave no answer that this page understands."
UNREACHABLE = "The server cannot be reached."
KEY_WANTED = {"code": "unauthorized", "detail": "Send a key.", "status": 401, "request_id": "one"}
SPOILED = {
    "an ellipsis": ("numeral_abc…", "… (U+2026)"),
    "a curly quote": ("“numeral_abc", "“ (U+201C)"),
    "a space of no width": ("numeral_\u200babc", "(U+200B)"),
}
RUNTIME = """
export const env = { wasm: {} };
export class Tensor {}
export const InferenceSession = { create: async () => {
    document.documentElement.dataset.created = "";
    return { run: async () => { throw new RangeError("Out of memory"); } };
} };
"""


def pictures(name: str, *digits: int) -> list[FilePayload]:
    return [payload(f"{name}{each}.png", encode(canvas(each)), "image/png") for each in digits]


def hold(page: Page, pattern: str) -> list[Route]:
    """Leaves requests without an answer from now on; gives those that came so far."""
    held: list[Route] = []

    def keep(route: Route) -> None:
        held.append(route)

    page.route(pattern, keep)
    return held


def hurry(page: Page) -> None:
    """From now on, the page waits a thousand times shorter than it means to: for a request, or to do something later."""
    page.evaluate(
        """() => {
            const later = window.setTimeout;
            window.setTimeout = (call, milliseconds) => later(call, milliseconds / 1000);
            const timeout = Object.getOwnPropertyDescriptor(XMLHttpRequest.prototype, "timeout");
            const set = function (milliseconds) { timeout.set.call(this, milliseconds / 1000); };
            Object.defineProperty(XMLHttpRequest.prototype, "timeout", { ...timeout, set });
        }"""
    )


def one_of(held: list[Route], page: Page, place: int = 0) -> Route:
    """A request that was made: Playwright tells of it a little before it hands it over."""
    while len(held) <= place:
        page.wait_for_timeout(20)
    return held[place]


def count_posts(page: Page) -> None:
    """Counts what is sent from now on, in window.posts."""
    page.evaluate(
        """() => {
            window.posts = 0;
            const send = XMLHttpRequest.prototype.send;
            XMLHttpRequest.prototype.send = function (body) { window.posts++; send.call(this, body); };
        }"""
    )


def ask_for_key(page: Page, pattern: str) -> None:
    """Lets the service refuse what comes without a key."""

    def refuse(route: Route) -> None:
        if "x-api-key" in route.request.headers:
            route.continue_()
        else:
            route.fulfill(status=401, content_type="application/problem+json", body=json.dumps(KEY_WANTED))

    page.route(pattern, refuse)


def use_runtime(page: Page, script: str) -> None:
    """Gives the page a runtime to read with in the browser, and a model of no weight."""
    html = page.request.get(page.url).text()
    html = re.sub('data-runtime="[^"]*"', 'data-runtime="runtime"', html)
    page.route(page.url, lambda route: route.fulfill(body=html, content_type="text/html"))
    page.route("**/runtime/*.mjs", lambda route: route.fulfill(body=script, content_type="text/javascript"))
    page.route("**/model/file?*", lambda route: route.fulfill(body=b"model"))
    page.reload()
    page.wait_for_selector("html[data-ready]")


def saved(page: Page) -> list[str]:
    """The files of the table as CSV."""
    page.wait_for_selector("#csv:enabled")
    with page.expect_download() as download:
        page.click("#csv")
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    return [row["file"] for row in csv.DictReader(io.StringIO(text))]


def test_pictures_given_while_others_are_read_take_their_place_in_table_and_csv(sheet: Sheet) -> None:
    sheet.forgive("ERR_FAILED")
    page, held = sheet.page, hold(sheet.page, "**/read/batch")
    with page.expect_request("**/read/batch"):
        give(page, "drop", *pictures("old", *range(10)))
    with page.expect_request("**/read/batch"):
        one_of(held, page).continue_()
    page.wait_for_selector("#rows tr:nth-child(8)")

    with page.expect_event("requestfailed"), page.expect_request("**/read/batch"):
        give(page, "drop", *pictures("new", 3, 8))
    waiting = page.locator("#batch-progress").is_visible()
    one_of(held, page, 2).continue_()
    page.wait_for_selector("#rows tr:nth-child(2)")

    assert waiting
    assert saved(page) == ["new3.png", "new8.png"]
    assert page.locator("#batch-hint").inner_text() == "2 of 2 read"
    assert page.locator("#batch-progress").is_hidden()


def test_pictures_that_are_still_being_prepared_are_not_sent_once_others_are_given(sheet: Sheet) -> None:
    page = sheet.page
    count_posts(page)
    page.evaluate(
        """() => {
            const create = window.createImageBitmap, opened = new Promise((resolve) => (window.open_ = resolve));
            let prepared = 0;
            window.createImageBitmap = async (file) => {
                if (file.name.startsWith("old")) await opened;
                const bitmap = await create(file);
                document.documentElement.dataset.prepared = ++prepared;
                return bitmap;
            };
        }"""
    )
    give(page, "drop", *pictures("old", 1, 2))
    give(page, "drop", *pictures("new", 3, 8))
    page.wait_for_selector("#rows tr:nth-child(2)")
    page.evaluate("window.open_()")
    page.wait_for_selector('html[data-prepared="4"]')

    assert page.evaluate("window.posts") == 1
    assert saved(page) == ["new3.png", "new8.png"]


def test_a_picture_given_while_another_is_opened_is_the_one_that_is_read(sheet: Sheet) -> None:
    page = sheet.page
    count_posts(page)
    page.evaluate(
        """() => {
            const decode = HTMLImageElement.prototype.decode;
            HTMLImageElement.prototype.decode = function () {
                if ("decoding" in document.documentElement.dataset) return decode.call(this);
                document.documentElement.dataset.decoding = "";
                return new Promise((resolve) => (window.open_ = resolve));
            };
        }"""
    )
    page.set_input_files("#file", pictures("first", 3))
    page.wait_for_selector("html[data-decoding]")
    page.set_input_files("#file", pictures("second", 5))
    page.wait_for_selector("#history li")
    page.evaluate("window.open_()")

    assert page.evaluate("window.posts") == 1
    assert wait_for_answer(page) == "5"


def test_a_picture_of_the_history_does_not_leave_the_tab_that_was_chosen_since(sheet: Sheet) -> None:
    page = sheet.page
    page.set_input_files("#file", pictures("", 3))
    wait_for_answer(page)
    page.evaluate("() => { HTMLImageElement.prototype.decode = () => new Promise((resolve) => (window.open_ = resolve)); }")
    page.click("#history button")
    page.click("#tab-draw")
    page.evaluate("window.open_()")

    assert page.locator("#draw").is_visible()


def test_a_server_that_never_answers_cannot_be_reached(sheet: Sheet) -> None:
    page = sheet.page
    hold(page, "**/read**")
    hold(page, "**/read/**")
    hold(page, "**/seven.jpg")
    hurry(page)
    draw_digit(page, 3)
    drawing = page.locator("#problem-title").inner_text()
    page.set_input_files("#file", pictures("", 3))
    wait_for_answer(page)
    photo = page.locator("#problem-title").inner_text()
    page.click("#examples li:nth-child(1) button")
    wait_for_answer(page)
    example = page.locator("#problem-title").inner_text()
    page.set_input_files("#files", pictures("", 3, 8))
    page.locator("#batch-hint", has_text=UNREACHABLE).wait_for()

    assert [title.startswith(UNREACHABLE) for title in (drawing, photo, example)] == [True] * 3


def test_an_upload_that_goes_on_is_waited_for(sheet: Sheet) -> None:
    page = sheet.page
    page.evaluate(
        """() => {
            window.timeouts = new Promise((resolve) => {
                XMLHttpRequest.prototype.send = function () {
                    const first = this.timeout;
                    setTimeout(() => {
                        this.upload.onprogress({ loaded: 1, total: 2 });
                        resolve([first, this.timeout]);
                    }, 20);
                };
            });
        }"""
    )
    page.set_input_files("#file", pictures("", 3))
    first, later = page.evaluate("window.timeouts")

    assert 0 < first < later


def test_the_example_touched_last_is_the_one_that_is_read(sheet: Sheet) -> None:
    sheet.forgive("ERR_FAILED")
    page = sheet.page
    page.locator("#examples").scroll_into_view_if_needed()
    page.evaluate("Promise.all([...document.querySelectorAll('#examples img')].map((image) => image.decode()))")
    hold(page, "**/seven.jpg")
    with page.expect_request("**/seven.jpg"):
        page.click("#examples li:nth-child(1) button")

    with page.expect_event("requestfailed"):
        page.click("#examples li:nth-child(2) button")
    page.wait_for_selector("#history li")

    assert wait_for_answer(page) == "5"


def test_an_example_that_cannot_be_fetched_is_a_problem_that_is_shown(sheet: Sheet) -> None:
    sheet.forgive("ERR_FAILED")
    page = sheet.page
    page.route("**/seven.jpg", lambda route: route.abort())
    page.click("#examples li:nth-child(1) button")
    page.locator("#problem-title", has_text=UNREACHABLE).wait_for()

    assert wait_for_answer(page) == ""
    assert page.locator("#again").is_hidden()  # nothing was asked


def test_the_answer_to_a_photo_leaves_the_code_of_many_pictures(sheet: Sheet) -> None:
    page, held = sheet.page, hold(sheet.page, "**/read?*")
    with page.expect_request("**/read?*"):
        page.set_input_files("#file", pictures("", 3))
    page.set_input_files("#files", pictures("", 3, 8))
    page.wait_for_selector("#rows tr:nth-child(2)")
    one_of(held, page).continue_()
    page.wait_for_selector("#history li", state="attached")

    assert "/read/batch" in page.locator("#code").inner_text()
    page.click("#tab-photo")
    assert wait_for_answer(page) == "3"
    assert "/read?" in page.locator("#code").inner_text()


def test_the_answer_to_a_drawing_leaves_the_progress_of_a_photo(sheet: Sheet) -> None:
    page = sheet.page
    page.evaluate(
        """() => {
            const send = XMLHttpRequest.prototype.send;
            XMLHttpRequest.prototype.send = function (body) {
                if (body instanceof FormData) this.upload.onprogress({ loaded: 1, total: 1 }); // all is sent, and the answer takes long
                else send.call(this, body);
            };
        }"""
    )
    page.set_input_files("#file", pictures("", 3))
    page.wait_for_selector("#progress:not([value])")
    page.click("#tab-draw")
    draw_digit(page, 7)
    page.click("#tab-photo")

    assert page.locator("#progress").is_visible()


def correct(page: Page, truth: str) -> None:
    """Types a correction and sends it."""
    page.fill("#truth", truth)
    with page.expect_request("**/corrections"):
        page.press("#truth", "Enter")


def test_a_correction_takes_the_place_of_one_that_is_under_way(sheet: Sheet) -> None:
    sheet.forgive("ERR_FAILED")
    page = sheet.page
    answer_with(page, KEPT)
    draw_digit(page, 3)
    held = hold(page, "**/corrections")
    correct(page, "5")
    with page.expect_event("requestfailed"):
        correct(page, "8")
    one_of(held, page, 1).fulfill(status=201, json={})
    page.locator("#corrected", has_text="Noted. Thank you.").wait_for()

    assert [json.loads(route.request.post_data or "")["truth"] for route in held] == ["5", "8"]


def test_thanks_for_a_correction_are_not_said_of_the_next_answer(sheet: Sheet) -> None:
    page = sheet.page
    answer_with(page, KEPT)
    draw_digit(page, 3)
    held = hold(page, "**/corrections")
    correct(page, "8")
    page.click("#clear")
    wait_for_answer(page)
    draw_digit(page, 3)
    said = page.locator("#live").inner_text()
    with page.expect_event("requestfinished"):
        one_of(held, page).fulfill(status=201, json={})

    assert said.startswith("4. ")
    assert page.locator("#live").inner_text() == said
    assert page.locator("#corrected").inner_text().startswith("Wrong?")


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
@pytest.mark.parametrize(("key", "found"), SPOILED.values(), ids=SPOILED.keys())
def test_a_key_that_cannot_be_sent_is_not_kept_and_its_dialog_says_why(show: Open, locale: str, key: str, found: str) -> None:
    sheet = show(locale=locale)
    sheet.forgive("401")
    page = sheet.page
    ask_for_key(page, "**/read/canvas*")
    draw_with_mouse(page, strokes_of(9))
    page.wait_for_selector("#key-dialog[open]")
    page.fill("#key", key)
    page.click("#key-dialog .primary")
    page.locator("#key-wrong", has_text=found).wait_for(timeout=5000)

    words = "Copy the whole key again." if locale == "en-GB" else "请重新复制完整的密钥。"
    assert words in page.locator("#key-wrong").inner_text()
    assert page.evaluate("sessionStorage.length") == 0
    assert page.evaluate("document.activeElement.id") == "key"
    page.keyboard.insert_text("numeral_abc")  # takes the place of what was there
    page.keyboard.press("Enter")
    page.wait_for_selector("#answer[data-state=accepted]")
    assert wait_for_answer(page) == "9"
    assert page.evaluate("Object.values(sessionStorage)") == ["numeral_abc"]


def test_all_that_waits_for_a_key_is_read_once_there_is_one(sheet: Sheet) -> None:
    sheet.forgive("401")
    page, held = sheet.page, hold(sheet.page, "**/read/batch")
    with page.expect_request("**/read/batch"):
        give(page, "drop", *pictures("", 3, 8))
    batch = one_of(held, page)
    ask_for_key(page, "**/read/**")
    page.click("#tab-draw")
    draw_with_mouse(page, strokes_of(9))
    page.wait_for_selector("#key-dialog[open]")
    batch.fulfill(status=401, content_type="application/problem+json", body=json.dumps(KEY_WANTED))
    page.locator("#batch-hint", has_text="API key").wait_for(state="attached")
    page.fill("#key", "numeral_abc")
    page.keyboard.press("Enter")
    page.wait_for_selector("#answer[data-state=accepted]")

    assert wait_for_answer(page) == "9"
    page.click("#tab-batch")
    page.wait_for_selector("#rows tr:nth-child(2)")


def test_an_answer_of_another_shape_is_reported(sheet: Sheet) -> None:
    sheet.forgive("TypeError")
    page = sheet.page
    page.route("**/read/**", lambda route: route.fulfill(json={"status": "ok"}))
    draw_with_mouse(page, strokes_of(6))

    page.locator("#problem-title", has_text=NOT_UNDERSTOOD).wait_for(timeout=5000)
    assert wait_for_answer(page) == ""
    page.set_input_files("#files", pictures("", 3, 8))
    page.locator("#batch-hint", has_text=NOT_UNDERSTOOD).wait_for(timeout=5000)


def test_a_browser_that_fails_to_read_reports_that_the_server_is_gone(sheet: Sheet) -> None:
    for words in ("ERR_FAILED", "Out of memory"):
        sheet.forgive(words)
    page = sheet.page
    use_runtime(page, RUNTIME)
    page.check("#local")
    page.wait_for_selector('#local-state[data-state="local.ready"]')
    page.route("**/read/canvas*", lambda route: route.abort())
    draw_with_mouse(page, strokes_of(6))

    page.locator("#problem-title", has_text=UNREACHABLE).wait_for(timeout=5000)
    assert wait_for_answer(page) == ""


def test_a_switch_turned_off_while_the_model_loads_stays_off(sheet: Sheet) -> None:
    page = sheet.page
    use_runtime(page, RUNTIME)
    held = hold(page, "**/model/file?*")
    with page.expect_request("**/model/file?*"):
        page.check("#local")
    page.uncheck("#local")
    one_of(held, page).fulfill(body=b"model")
    page.wait_for_selector("html[data-created]")

    assert page.locator("#local-state").get_attribute("data-state") == "local.off"


def test_a_new_model_is_fetched_once_however_many_answers_it_gives_meanwhile(sheet: Sheet) -> None:
    page = sheet.page
    use_runtime(page, RUNTIME)
    page.check("#local")
    page.wait_for_selector('#local-state[data-state="local.ready"]')
    held = hold(page, "**/model/file?*")
    answer_with(page, reading(digit(4, 9), model={"name": "digits", "version": "later"}))
    served = page.request.get(f"{page.url}model").json()
    page.route("**/model", lambda route: route.fulfill(json={**served, "version": "later"}))
    with page.expect_request("**/model/file?*"):
        draw_digit(page, 3)
    for _ in range(3):
        page.click("#undo")
        draw_digit(page, 3)
    one_of(held, page).fulfill(body=b"model")
    page.wait_for_selector('#local-state[data-state="local.ready"]')

    assert served["version"] == SHIPPED
    assert len(held) == 1


@pytest.mark.parametrize("copy", ["#copy", "#copy-text"])
def test_what_a_browser_does_not_copy_over_plain_http_is_said(sheet: Sheet, copy: str) -> None:
    page = sheet.page
    draw_digit(page, 3)
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")  # as there
    page.click(copy)

    page.locator(copy, has_text="Cannot copy: select it").wait_for(timeout=5000)
