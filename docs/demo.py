"""Films the README's moving picture: a hand draws digits, the page answers. ``make pictures``; needs Chromium."""

import io
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from benchmarks.serving.page import running_service
from tests.page.hand import densify, find_chromium, on_screen, open_browser, open_sheet, strokes_of, wait_for_answer

OUTPUT = Path(__file__).parent / "images" / "demo.webp"
DIGITS = (4, 2, 7)
WINDOW = {"width": 1000, "height": 640}  # what is filmed, in the page's pixels
WIDTH = 760  # of the picture
POINTS = 8  # of a stroke from one frame to the next
MOVING, RESTING = 60, 1600  # milliseconds that a frame of drawing and an answer are shown
QUALITY = 60

Frame = tuple[Image.Image, int]  # a picture, and the milliseconds that it is shown


def film(page: Page) -> Iterator[Frame]:
    """Draws each digit, stroke by stroke, then shows its answer."""
    for digit in DIGITS:
        for stroke in on_screen(page, [densify(stroke, step=0.02) for stroke in strokes_of(digit)]):
            page.mouse.move(*stroke[0])
            page.mouse.down()
            for number, point in enumerate(stroke[1:]):
                page.mouse.move(*point)
                if number % POINTS == 0:
                    yield take(page), MOVING
            page.mouse.up()
        wait_for_answer(page)
        page.evaluate("Promise.allSettled(document.getAnimations().map((each) => each.finished))")  # the bars have grown
        yield take(page), RESTING
        page.click("#clear")


def take(page: Page) -> Image.Image:
    """What is in view."""
    with Image.open(io.BytesIO(page.screenshot())) as image:
        height = round(image.height * WIDTH / image.width)
        return image.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS)


def main() -> None:
    """Writes docs/images/demo.webp."""
    chromium = find_chromium()
    if chromium is None:
        sys.exit("The moving picture stays as it is: it needs Chromium.")
    with tempfile.TemporaryDirectory() as folder, running_service(Path(folder)) as address, open_browser(chromium) as browser:
        sheet = open_sheet(browser, address, viewport=WINDOW, device_scale_factor=2)
        frames, shown = zip(*film(sheet.page), strict=True)
    frames[0].save(
        OUTPUT,
        save_all=True,
        append_images=frames[1:],
        duration=list(shown),
        loop=0,
        quality=QUALITY,
        method=6,
        minimize_size=True,
    )


if __name__ == "__main__":
    main()
