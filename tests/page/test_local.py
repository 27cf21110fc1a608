"""Reading in the browser: onnxruntime-web runs the portable graph on drawings and photos when the server is gone."""

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page

from app.reading.numbers.reading_order import group
from app.web.page import onnxruntime_web
from benchmarks.pictures import canvas, encode, photo, row
from tests.page.conftest import Open
from tests.page.hand import Sheet, densify, draw_digit, draw_with_mouse, fit, strokes_of, wait_for_answer
from tests.page.test_meanwhile import hold, hurry
from tests.page.test_pictures import payload

pytestmark = pytest.mark.page


def turn_on(sheet: Sheet) -> Page:
    """Turns the switch on, and waits until the browser can read."""
    if not onnxruntime_web.is_complete():
        pytest.skip("onnxruntime-web is not here; `make runtime` fetches it")
    sheet.page.check("#local")
    sheet.page.wait_for_selector('#local-state[data-state="local.ready"]')
    return sheet.page


def lose_server(sheet: Sheet) -> None:
    sheet.forgive("ERR_FAILED")
    sheet.page.route("**/*", lambda route: route.abort())


@pytest.fixture
def alone(sheet: Sheet) -> Page:
    """The page with its switch on, whose server is gone."""
    page = turn_on(sheet)
    lose_server(sheet)
    return page


def test_drawings_are_read_as_the_server_reads_them(sheet: Sheet) -> None:
    page = turn_on(sheet)

    def read(digit: int) -> tuple[str, str, str | None]:
        draw_with_mouse(page, strokes_of(digit))
        text = wait_for_answer(page)
        said = text, page.locator("#badge").inner_text(), page.locator("#answer").get_attribute("data-state")
        page.click("#clear")
        wait_for_answer(page)
        return said

    by_server = [read(digit) for digit in range(10)]
    lose_server(sheet)
    by_browser = [read(digit) for digit in range(10)]

    assert [text for text, *_ in by_server] == list("0123456789")
    assert by_browser == by_server


def test_an_answer_of_the_browser_says_so_and_explains_itself(alone: Page) -> None:
    draw_with_mouse(alone, strokes_of(4))

    assert wait_for_answer(alone) == "4"
    assert "this browser read it alone" in alone.locator("#warnings").inner_text()
    alone.click("#text span")
    assert "in this browser" in alone.locator("#meta").inner_text()
    assert alone.locator("#bars .best").inner_text().split()[0] == "4"
    assert alone.locator("#glyph").is_visible()
    assert alone.locator("#pad-boxes span").count() == 1


def test_a_photo_of_a_number_is_read_in_lines(alone: Page) -> None:
    lines = np.concatenate([np.asarray(row(line, 24)) for line in ("3520", "864")])
    alone.set_input_files("#file", [payload("lines.png", encode(Image.fromarray(lines)), "image/png")])

    assert wait_for_answer(alone).split() == ["3520", "864"]
    assert alone.locator("#shot-boxes span").count() == 7


def test_photos_are_read_large_turned_and_transparent(alone: Page) -> None:
    seven, turned = photo(7), photo(7).rotate(90, expand=True)
    exif = turned.getexif()
    exif[0x0112] = 6  # a quarter turn clockwise shows it upright
    chalk = canvas(5, ground=None, ink=(255, 255, 255))
    pictures = {
        "large.jpg": encode(seven.resize((3200, 2400)), "JPEG"),
        "turned.jpg": encode(turned, "JPEG", exif=exif),
        "chalk.png": encode(chalk),
    }
    read = []
    for name, data in pictures.items():
        alone.set_input_files("#file", [payload(name, data, f"image/{name[-3:].replace('jpg', 'jpeg')}")])
        read.append(wait_for_answer(alone))

    assert read == ["7", "7", "5"]


def test_a_picture_without_a_digit_and_one_that_cannot_be_opened_are_refused(alone: Page) -> None:
    alone.set_input_files("#file", [payload("blank.png", encode(Image.new("RGB", (90, 90), "white")), "image/png")])
    wait_for_answer(alone)
    blank = alone.locator("#problem-title").inner_text()
    alone.set_input_files("#file", [payload("words.txt", b"hello", "text/plain")])
    wait_for_answer(alone)

    assert blank.startswith("No digit was found.")
    assert alone.locator("#problem-title").inner_text().startswith("The server cannot be reached.")
    assert alone.locator("#again").is_visible()


def test_ink_unlike_a_digit_is_doubted_in_the_browser_too(alone: Page) -> None:
    letter = [np.array(stroke) for stroke in ([(0, 1), (0.5, 0), (1, 1)], [(0.2, 0.65), (0.8, 0.65)])]
    draw_with_mouse(alone, fit([densify(stroke) for stroke in letter]))
    wait_for_answer(alone)

    assert alone.locator("#badge").inner_text() in ("Please check", "Nothing yet")
    assert "% sure" not in alone.locator("#reason").inner_text()


def test_the_server_reads_again_when_it_is_back(sheet: Sheet) -> None:
    page = turn_on(sheet)
    lose_server(sheet)
    draw_with_mouse(page, strokes_of(3))
    wait_for_answer(page)
    page.unroute("**/*")
    page.click("#clear")
    wait_for_answer(page)
    draw_with_mouse(page, strokes_of(3))
    wait_for_answer(page)

    assert page.locator("#warnings li").count() == 0


def test_the_browser_reads_when_the_server_never_answers(sheet: Sheet) -> None:
    page = turn_on(sheet)
    hold(page, "**/read/canvas*")
    hurry(page)

    assert draw_digit(page, 4) == "4"
    assert "this browser read it alone" in page.locator("#warnings").inner_text()


def test_why_the_model_did_not_load_is_said_in_the_other_language_too(sheet: Sheet) -> None:
    sheet.forgive("ERR_FAILED")
    page = sheet.page
    if page.locator("#local").is_hidden():
        pytest.skip("onnxruntime-web is not here; `make runtime` fetches it")
    page.route("**/model", lambda route: route.abort())
    page.click("#local")
    page.locator("#local-state", has_text="This did not load. The server cannot be reached.").wait_for()
    page.click("#language")

    assert page.locator("#local-state").inner_text().startswith("加载失败。无法连接服务器。")


def test_without_the_switch_a_missing_server_is_reported(sheet: Sheet) -> None:
    page = turn_on(sheet)
    page.uncheck("#local")
    lose_server(sheet)
    draw_with_mouse(page, strokes_of(2))
    wait_for_answer(page)

    assert page.locator("#problem").is_visible()


def test_the_page_groups_lines_as_the_service_does(show: Open) -> None:
    rng = np.random.default_rng(1)
    page = show(bypass_csp=True).page
    for _ in range(50):
        count = int(rng.integers(1, 64))
        line = rng.integers(0, 5, count)
        x = rng.uniform(0, 800, count)
        height = rng.uniform(30, 50, count)
        slope = rng.uniform(-0.2, 0.2)
        places = np.stack([x, 80 + 90 * line + slope * x + rng.normal(0, 3, count), 0.6 * height, height], axis=1).astype(
            np.float32
        )
        boxes = [{"x": float(x - w / 2), "y": float(y - h / 2), "width": float(w), "height": float(h)} for x, y, w, h in places]
        lines = page.evaluate(
            "async (boxes) => (await import(`/${document.documentElement.dataset.assets}/lines.js`)).groupLines(boxes)", boxes
        )

        assert lines == group(places)
