"""A browser and a hand that draws in it, shared by the tests of the page and its benchmark."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from benchmarks.pictures import STROKES, smooth
from tests.versions import SHIPPED, add_version

Strokes = Sequence[NDArray[np.float64]]  # each (n, 2): points x, y, in 0..1 of the pad

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE: dict[str, Any] = {
    "viewport": {"width": 393, "height": 727},
    "device_scale_factor": 2.75,
    "is_mobile": True,
    "has_touch": True,
}
DIGIT_BOX = (0.29, 0.19, 0.42, 0.62)  # left, top, width and height of a digit on the pad


def copy_store(folder: Path) -> Path:
    """A copy of the model store with the shipped model alone."""
    add_version(folder, SHIPPED)
    return folder


def find_chromium() -> str | None:
    """The browser's path, where one is installed."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for name in names if (path := shutil.which(name))), None)


@contextmanager
def open_browser(path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def installed_browser() -> Iterator[Browser]:
    """For a fixture: the browser that is installed; without one, its tests are skipped."""
    path = find_chromium()
    if path is None:
        pytest.skip("Chromium is not installed; `apt install chromium` installs it")
    with open_browser(path) as browser:
        yield browser


UNFINISHED = "422 (Unprocessable Entity)"  # a drawing is read while it is drawn, and its first stroke may be no digit


@dataclass
class Sheet:
    """The page in a context of its own, and what went wrong in it."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    forgiven: list[str] = field(default_factory=lambda: [UNFINISHED])

    def forgive(self, words: str) -> None:
        """Complaints that hold these words are meant to come."""
        self.forgiven.append(words)

    @property
    def unforgiven(self) -> list[str]:
        return [line for line in self.complaints if not any(words in line for words in self.forgiven)]


def open_sheet(browser: Browser, address: str, path: str = "/", **options: Any) -> Sheet:
    """Opens a page, and listens to what it logs and whom it asks."""
    context: BrowserContext = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
    sheet = Sheet(context.new_page())
    sheet.page.on("console", lambda line: sheet.complaints.append(line.text) if line.type in ("error", "warning") else None)
    sheet.page.on("pageerror", lambda error: sheet.complaints.append(str(error)))
    sheet.page.on(
        "request",
        lambda request: (
            None if request.url.startswith((address, "data:", "blob:")) else sheet.complaints.append(f"asked {request.url}")
        ),
    )
    sheet.page.goto(f"{address}{path}")
    if path == "/":
        sheet.page.wait_for_selector("html[data-ready]")
    return sheet


def strokes_of(digit: int) -> list[NDArray[np.float64]]:
    """The strokes of benchmarks.pictures, smooth as a hand's, in 0..1 of the pad."""
    return fit([smooth(np.array(stroke), steps=4) for stroke in STROKES[digit]])


def fit(strokes: Strokes) -> list[NDArray[np.float64]]:
    """Strokes in any units -> the middle of the pad, their longer side as high as a digit there."""
    points = np.concatenate([*strokes])
    low, high = points.min(axis=0), points.max(axis=0)
    scale = DIGIT_BOX[3] / max(float((high - low).max()), 1e-9)
    return [(stroke - (low + high) / 2) * scale + 0.5 for stroke in strokes]


def densify(points: NDArray[np.float64], step: float = 0.04) -> NDArray[np.float64]:
    """Points (n, 2) with others between them, at most step apart along x and y."""
    pieces = [
        np.linspace(start, end, max(2, int(np.abs(end - start).max() / step) + 1))[:-1] for start, end in pairwise(points)
    ]
    return np.concatenate((*pieces, points[-1:]))


def draw_with_mouse(page: Page, strokes: Strokes) -> None:
    for stroke in on_screen(page, strokes):
        page.mouse.move(*stroke[0])
        page.mouse.down()
        for point in stroke[1:]:
            page.mouse.move(*point)
        page.mouse.up()


def draw_with_finger(page: Page, strokes: Strokes) -> None:
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]})

    for stroke in on_screen(page, strokes):
        touch("touchStart", stroke[0])
        for point in stroke[1:]:
            touch("touchMove", point)
        touch("touchEnd")
    session.detach()


def on_screen(page: Page, strokes: Strokes) -> list[list[tuple[float, float]]]:
    """Strokes in 0..1 of the pad -> pixels of the window, the pad scrolled into view."""
    pad = page.locator("#pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    assert box
    return [[(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke.tolist()] for stroke in strokes]


def wait_for_answer(page: Page) -> str:
    """The digits that are shown once nothing is under way any more, in their lines; nothing where there are none."""
    page.wait_for_selector("#answer[aria-busy=false]")
    return page.locator("#text").inner_text().strip()


def draw_digit(page: Page, digit: int) -> str:
    """Draws a digit on an empty pad, and gives what was read."""
    draw_with_mouse(page, strokes_of(digit))
    return wait_for_answer(page)
