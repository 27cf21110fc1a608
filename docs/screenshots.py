"""Takes the pictures of docs/page.md with the shipped model: ``make pictures``; needs Chromium and onnxruntime-web."""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from app.web.page import onnxruntime_web
from benchmarks.serving.page import running_service
from tests.page.hand import PHONE, draw_with_finger, draw_with_mouse, find_chromium, open_browser, open_sheet, strokes_of
from tests.page.hand import wait_for_answer as wait

IMAGES = Path(__file__).parent / "images"
COLOURS = 256  # enough for a page that is nearly grey, and a third of the bytes


def show_desktop(page: Page) -> None:
    """A seven on a photo before, a four drawn now, and how it was read."""
    page.click("#examples li:first-child button")
    wait(page)
    page.click("#tab-draw")
    draw_with_mouse(page, strokes_of(4))
    wait(page)
    page.click("#how summary")


def show_phone(page: Page) -> None:
    """A three, by finger, in the dark."""
    draw_with_finger(page, strokes_of(3))
    wait(page)


def take(page: Page, name: str, width: int) -> None:
    """Writes what is in view, so many pixels wide."""
    page.wait_for_timeout(300)  # the bars have grown
    with Image.open(io.BytesIO(page.screenshot())) as image:
        height = round(image.height * width / image.width)
        small = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    small.quantize(COLOURS, dither=Image.Dither.NONE).save(IMAGES / name, optimize=True)


def main() -> None:
    """Writes docs/images/page.png and docs/images/page-phone.png."""
    chromium = find_chromium()
    if chromium is None or not onnxruntime_web.is_complete():
        sys.exit("The page's pictures stay as they are: they need Chromium, and onnxruntime-web, which make runtime fetches.")
    with tempfile.TemporaryDirectory() as folder, running_service(Path(folder)) as address, open_browser(chromium) as browser:
        desktop = open_sheet(browser, address, viewport={"width": 1180, "height": 880}, device_scale_factor=2).page
        show_desktop(desktop)
        take(desktop, "page.png", 1180)
        phone = open_sheet(browser, address, "/", color_scheme="dark", **PHONE).page
        show_phone(phone)
        take(phone, "page-phone.png", 465)


if __name__ == "__main__":
    main()
