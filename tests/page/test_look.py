"""How the page looks, loads and speaks: accessibility, themes, languages, weight, and its content security policy."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route

from app.errors import RequestError
from app.web.page.pages import STATIC
from benchmarks.pictures import canvas, encode, photo
from tests.page.conftest import Open
from tests.page.hand import (
    PHONE,
    Sheet,
    draw_digit,
    draw_with_finger,
    strokes_of,
    wait_for_answer,
)
from tests.page.test_numbers import answer_with, digit, reading
from tests.page.test_pictures import payload

pytestmark = pytest.mark.page

HEAVIEST = 70_000  # bytes over the wire, pictures and all, without the runtime
LANGUAGES = {"en-GB": "en", "zh-CN": "zh-Hans"}
DOUBTFUL = reading(digit(2, 3), digit(7, 1, "low-confidence", "faint"), alternatives=[{"text": "21", "confidence": 0.3}])
CHINESE = re.compile("[\u4e00-\u9fff]")


def violations(page: Page, axe: str) -> list[str]:
    """What axe-core finds wrong, by the rules of WCAG 2.2 A and AA and its own best practices."""
    page.evaluate(axe)  # by the debugger, which no policy binds
    found: list[dict[str, Any]] = page.evaluate("axe.run(document).then((result) => result.violations)")
    return [f"{rule['id']}: {node['html']}" for rule in found for node in rule["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", LANGUAGES)
def test_axe_finds_nothing_in_any_state(scheme: str, locale: str, show: Open, axe: str) -> None:
    sheet = show(color_scheme=scheme, locale=locale)
    sheet.forgive("status of 4")
    page, found = sheet.page, []
    found += violations(page, axe)
    draw_digit(page, 3)
    found += violations(page, axe)
    page.click("#examples li:nth-child(3) button")
    wait_for_answer(page)
    page.focus("#text span")  # explains it
    found += violations(page, axe)
    page.click("#tab-draw")
    answer_with(page, DOUBTFUL)
    draw_digit(page, 6)
    found += violations(page, axe)
    page.set_input_files("#file", [payload("words.txt", b"hello", "text/plain")])
    page.wait_for_selector("#problem:not([hidden])")
    found += violations(page, axe)
    page.set_input_files("#files", [payload("3.png", encode(canvas(3))), payload("words.txt", b"hello", "text/plain")])
    page.wait_for_selector("#rows tr:nth-child(2)")
    found += violations(page, axe)
    page.evaluate("document.querySelector('#key-dialog').showModal()")
    found += violations(page, axe)

    assert found == []


def test_a_phone_shows_drawing_and_answer_together(show: Open) -> None:
    page = show(**PHONE).page
    draw_with_finger(page, strokes_of(5))
    wait_for_answer(page)
    pad, digit = page.locator("#pad").bounding_box(), page.locator("#text").bounding_box()

    assert pad
    assert digit
    assert pad["y"] >= 0
    assert digit["y"] + digit["height"] <= PHONE["viewport"]["height"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_keys_of_the_pad_are_explained_on_a_narrow_screen_once_a_keyboard_is_used(show: Open) -> None:
    page = show(viewport={"width": 320, "height": 640}).page
    draw_digit(page, 3)
    by_mouse = page.locator("#pad-keys").is_visible()
    page.focus("#tab-draw")
    page.keyboard.press("Tab")

    assert not by_mouse
    assert page.evaluate("document.activeElement.id") == "pad"
    assert page.locator("#pad-keys").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


SCREENS = {
    "a phone across": (852, 345),
    "a small phone across": (667, 331),
    "a tablet upright": (768, 954),
    "a laptop": (1366, 657),
}


@pytest.mark.parametrize(("width", "height"), SCREENS.values(), ids=SCREENS.keys())
def test_pad_and_answer_stand_side_by_side_and_leave_room_to_scroll(width: int, height: int, show: Open) -> None:
    page = show(viewport={"width": width, "height": height}, has_touch=True).page
    pad, digit = page.locator("#pad").bounding_box(), page.locator(".said").bounding_box()

    assert pad
    assert digit
    assert pad["height"] < height
    assert pad["x"] > 16  # a finger next to the pad scrolls
    assert digit["x"] > pad["x"] + pad["width"]
    assert digit["y"] + digit["height"] < height
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_thumbnails_show_all_of_a_picture(show: Open) -> None:
    page = show().page
    page.set_input_files("#file", [payload("wide.png", encode(photo(7, (900, 300))), "image/png")])
    page.wait_for_selector("#history img")

    assert page.evaluate("getComputedStyle(document.querySelector('#history img')).objectFit") == "contain"


def test_a_phone_shows_many_pictures_as_cards(show: Open) -> None:
    page = show(**PHONE).page
    page.set_input_files("#files", [payload(f"{digit}.png", encode(canvas(digit))) for digit in (3, 8)])
    page.wait_for_selector("#rows tr:nth-child(2)")
    box = page.locator("#batch-scroll").evaluate("(each) => [each.scrollWidth, each.clientWidth]")

    assert box[0] <= box[1]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.get_by_role("row").count() == 3
    assert page.get_by_role("rowheader").all_inner_texts() == ["3.png", "8.png"]


def test_the_language_can_be_switched_when_the_server_is_gone(sheet: Sheet) -> None:
    page = sheet.page
    page.route("**/*", lambda route: route.abort())
    page.click("#language")

    assert page.evaluate("document.documentElement.lang") == "zh-Hans"
    assert page.locator("#tab-draw").inner_text() == "手写"


def test_nothing_on_the_page_stays_in_the_old_language(sheet: Sheet) -> None:
    page = sheet.page
    answer_with(page, {**DOUBTFUL, "id": "one"})
    draw_digit(page, 6)
    page.fill("#truth", "28")
    page.set_input_files("#files", [payload("3.png", encode(canvas(3))), payload("words.txt", b"hello", "text/plain")])
    page.wait_for_selector("#rows tr:nth-child(2)")

    def said() -> list[str]:
        labels = [page.locator("#history button").get_attribute("aria-label") or "", page.title()]
        return [*labels, *page.locator("#batch-hint, #rows td:last-child").all_inner_texts()]

    english = said()
    page.click("#language")
    chinese = said()
    pictures = page.locator("#rows img").evaluate_all("(all) => Promise.all(all.map((image) => image.decode()))")
    page.click("#language")

    assert english[0] == "Show again: 27, 99.9%"
    assert english[2:4] == ["2 of 2 read", "looks right"]
    assert [text for text in chinese if not CHINESE.search(text)] == []
    assert len(pictures) == 1
    assert "/read/batch" in page.locator("#code").inner_text()
    assert said() == english
    page.click("#tab-draw")
    assert page.locator("#truth").input_value() == "28"


def test_what_is_under_way_and_what_failed_are_said_in_the_other_language_too(sheet: Sheet) -> None:
    sheet.forgive("ERR_FAILED")
    page = sheet.page
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/read?*", hold)
    page.set_input_files("#file", [payload("3.png", encode(canvas(3)))])
    page.locator("#reason", has_text="Sending 3.png…").wait_for()
    page.click("#language")
    sending = page.locator("#reason").inner_text()
    page.route("**/read/batch", lambda route: route.abort())
    page.set_input_files("#files", [payload(f"{digit}.png", encode(canvas(digit))) for digit in (3, 8)])
    page.locator("#batch-hint", has_text="无法连接服务器").wait_for()
    page.click("#language")

    assert sending == "正在发送 3.png…"
    assert page.locator("#batch-hint").inner_text().startswith("The server cannot be reached.")
    held[0].abort()


def small_targets(page: Page) -> list[str]:
    """What can be touched and is narrower or lower than a finger."""
    small: list[str] = page.evaluate(
        """[...document.querySelectorAll("button, a, input, label, summary, textarea, [role=option]")].filter((each) => {
            const { width, height } = each.getBoundingClientRect();
            return each.checkVisibility() && !each.matches(".unseen, .skip, label > input") && (width < 44 || height < 44);
        }).map((each) => each.outerHTML)"""
    )
    return small


def test_targets_are_large_enough_for_fingers(show: Open) -> None:
    sheet = show(**PHONE)
    sheet.forgive("status of 4")
    page = sheet.page
    draw_digit(page, 5)
    small = small_targets(page)
    page.set_input_files("#file", [payload("words.txt", b"hello", "text/plain")])
    page.wait_for_selector("#problem:not([hidden])")
    small += small_targets(page)
    page.set_input_files("#files", [payload(f"{digit}.png", encode(canvas(digit))) for digit in (3, 8)])
    page.wait_for_selector("#rows tr:nth-child(2)")
    small += small_targets(page)
    page.evaluate("document.querySelector('#key-dialog').showModal()")
    small += small_targets(page)

    assert small == []


@pytest.mark.parametrize("screen", [PHONE, {}], ids=["phone", "desktop"])
def test_each_digit_of_a_long_number_is_large_enough_for_a_finger(screen: dict[str, Any], show: Open) -> None:
    page = show(**screen).page
    answer_with(page, reading(*(digit(place % 10, 1) for place in range(40))))
    draw_digit(page, 6)

    assert page.locator("#text [role=option]").count() == 40
    assert small_targets(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_dark_is_dark_and_light_is_light(show: Open) -> None:
    def brightness(scheme: str) -> float:
        page = show(color_scheme=scheme).page
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3

    assert brightness("dark") < 40
    assert brightness("light") > 220


@pytest.mark.parametrize(("locale", "language"), LANGUAGES.items())
def test_the_page_speaks_the_browsers_language(locale: str, language: str, show: Open) -> None:
    page = show(locale=locale).page

    assert page.evaluate("document.documentElement.lang") == language


def test_no_english_is_left_on_the_chinese_page(show: Open) -> None:
    page = show(locale="zh-CN").page
    answer_with(page, DOUBTFUL)
    draw_digit(page, 6)
    words = page.locator("[data-t]:visible").all_inner_texts() + page.locator("#warnings li").all_inner_texts()
    words += [page.locator(f"#{part}").inner_text() for part in ("badge", "reason", "meta", "local-state")]

    assert [text for text in words if text and not CHINESE.search(text)] == []
    page.click("#language")
    assert page.locator("#badge").inner_text() == "Please check"
    page.reload()
    assert page.locator("#tab-draw").inner_text() == "Write"  # the choice is kept


def test_both_languages_say_the_same_things() -> None:
    def keys(name: str) -> set[str]:
        return set(re.findall(r'^  "([^"]+)":', (STATIC / name).read_text(encoding="utf-8"), re.MULTILINE))

    html = (STATIC / "index.html").read_text(encoding="utf-8")
    in_html = set(re.findall(r'data-t(?:-\w+)?="([^"]+)"', html))

    assert keys("en.js") | in_html == keys("zh.js")


@pytest.mark.parametrize("locale", LANGUAGES)
def test_the_page_is_small_over_the_wire(locale: str, show: Open, address: str) -> None:
    sheet = show("/health/live", locale=locale)  # where nothing of the page is in the cache yet
    sheet.forgive("404")  # Chromium looks for a favicon there
    page = sheet.page
    session = page.context.new_cdp_session(page)
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    session.send("Network.enable")
    page.goto(address)
    page.wait_for_selector("html[data-ready]")
    page.locator("#examples").scroll_into_view_if_needed()
    page.wait_for_load_state("networkidle")

    assert len(sizes) > 15  # it really was everything
    assert sum(sizes) < HEAVIEST


def test_nothing_moves_while_it_loads_or_answers(show: Open, address: str) -> None:
    page = show().page
    page.add_init_script(
        "window.shift = 0; new PerformanceObserver((list) => list.getEntries().forEach((entry) => (window.shift += entry.value)))"
        ".observe({ type: 'layout-shift', buffered: true });"
    )
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/main.js", hold)
    page.goto(address, wait_until="commit")
    while not (held and page.evaluate("performance.getEntriesByName('first-contentful-paint').length")):
        page.wait_for_timeout(20)  # until the page shows what it has without the script, as on a busy machine
    held[0].continue_()
    page.wait_for_selector("html[data-ready]")
    draw_digit(page, 6)
    page.click("#clear")
    wait_for_answer(page)
    answer_with(page, DOUBTFUL)
    draw_digit(page, 6)

    assert page.locator("#warnings li").count() == 1
    assert page.locator("#badge").inner_text() == "Please check"
    assert page.evaluate("window.shift") < 0.01


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_documentation_has_the_pages_look_and_a_way_back(scheme: str, show: Open, address: str) -> None:
    page = show("/docs", color_scheme=scheme).page
    page.wait_for_selector(".opblock")
    brightness = [
        sum(map(int, re.findall(r"\d+", colour_of(page, part, "backgroundColor"))[:3])) / 3 for part in ("body", "html")
    ]
    words = sum(map(int, re.findall(r"\d+", colour_of(page, ".opblock-summary-path", "color"))[:3])) / 3
    page.click("nav a")
    page.wait_for_selector("html[data-ready]")

    assert (max(brightness) < 40) == (scheme == "dark")
    assert (words > 150) == (scheme == "dark")
    assert page.url == f"{address}/"


def colour_of(page: Page, part: str, which: str) -> str:
    """A colour as the browser shows it."""
    colour: str = page.evaluate("([part, which]) => getComputedStyle(document.querySelector(part))[which]", [part, which])
    return colour


def test_errors_are_chinese_on_the_chinese_page(show: Open) -> None:
    sheet = show(locale="zh-CN")
    sheet.forgive("status of 4")
    page = sheet.page
    page.set_input_files("#file", [payload("words.txt", b"hello", "text/plain")])
    wait_for_answer(page)

    assert CHINESE.search(page.locator("#problem-title").inner_text())
    assert re.fullmatch(r"请求编号 [0-9a-f]{32}", page.locator("#problem-detail").inner_text())


def test_every_refusal_of_a_picture_has_words() -> None:
    english = (STATIC / "en.js").read_text(encoding="utf-8")
    codes = {error.code for error in errors_of(RequestError)} - NEVER_HERE

    assert {code for code in codes if f'"problem.{code}"' not in english} == set()


NEVER_HERE = {
    "unreadable-file",
    "invalid-tensor",
    "model-rejected",
    "switch-in-progress",
}  # codes of calls that the page does not make


def errors_of(kind: type[RequestError]) -> Iterator[type[RequestError]]:
    """The classes below one."""
    for each in kind.__subclasses__():
        yield each
        yield from errors_of(each)


def test_the_documentation_works_under_the_policy(show: Open) -> None:
    page = show("/docs").page
    page.wait_for_selector(".opblock")
    page.click("#operations-health-getLive .opblock-summary-control")
    page.click(".try-out__btn")
    page.click(".execute")
    page.wait_for_selector(".live-responses-table")

    assert '"live"' in page.locator(".live-responses-table").inner_text()


def test_the_page_works_below_a_path_prefix(show: Open, address: str) -> None:
    sheet = show()
    page = sheet.page
    page.route("**/below/**", lambda route: route.continue_(url=route.request.url.replace("/below/", "/")))
    page.goto(f"{address}/below/")
    page.wait_for_selector("html[data-ready]")

    assert draw_digit(page, 3) == "3"
    assert "/below/read/canvas" in page.locator("#code").inner_text()


def test_a_server_without_the_runtime_has_no_dead_switch(show: Open) -> None:
    page = show().page
    html = page.request.get(page.url).text()
    page.route(
        page.url,
        lambda route: route.fulfill(body=re.sub('data-runtime="[^"]*"', 'data-runtime=""', html), content_type="text/html"),
    )
    page.reload()
    page.wait_for_selector("html[data-ready]")

    assert page.locator("#local").is_hidden()


def test_the_page_shows_the_servers_words_for_problems_it_does_not_know(sheet: Sheet) -> None:
    sheet.forgive("status of 418")
    problem = {"code": "teapot", "detail": "It is short and stout.", "status": 418, "request_id": "three"}
    sheet.page.route(
        "**/read/canvas*",
        lambda route: route.fulfill(status=418, content_type="application/problem+json", body=json.dumps(problem)),
    )
    draw_digit(sheet.page, 2)

    assert "It is short and stout." in sheet.page.locator("#problem-title").inner_text()


def test_the_scripts_pass_the_type_check() -> None:
    tsc = shutil.which("tsc")
    if tsc is None:
        pytest.skip("tsc is not installed; `npm install --global typescript` installs it")

    done = subprocess.run([tsc, "-p", Path(__file__).parent / "jsconfig.json"], capture_output=True, text=True, check=False)

    assert done.stdout == ""
