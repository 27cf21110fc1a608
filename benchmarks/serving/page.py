"""Draws unknown writers' digits on the page in a real browser: how many it reads, how soon, and whether both ways agree.

The digits are pen strokes of UCI's pendigits by five writers whom neither training nor validation knows. Each is drawn on the
pad in Chromium, at the size and with the pen that the page starts with; the pointer moves from point to point as the tablet
recorded them. What the page then shows is what counts.
"""

import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from playwright.sync_api import Browser, Page
from rich.console import Console
from rich.progress import track

from app.web.page import onnxruntime_web
from benchmarks.serving.server import serve
from tests.page.hand import (
    PHONE,
    Strokes,
    copy_store,
    draw_with_finger,
    draw_with_mouse,
    find_chromium,
    fit,
    open_browser,
    open_sheet,
    wait_for_answer,
)
from training.data.pen_strokes import PenDigit, load_strokes, split_writers

ENOUGH = 0.97  # of the digits must be read rightly
SOON = 100  # milliseconds from the last stroke's end to the answer, at the median
PAINTS = 10  # visits whose first paint is timed
READY = b"GET /health/ready HTTP/1.1\r\nHost: page\r\n\r\n"
MOUSE, TOUCH, BOTH = "by mouse", "by finger, on a phone's screen", "by mouse, the browser reading, too"

# From the pen's lifting, by the event's own clock, to after the frame that shows the answer.
WATCH = """
addEventListener("pointerup", (event) => (window.lifted = event.timeStamp), true);
addEventListener("DOMContentLoaded", () => new MutationObserver(() => {
  if (document.querySelector("#answer").ariaBusy === "false")
    requestAnimationFrame(() => setTimeout(() => (window.shown = performance.now())));
  else window.shown = 0;
}).observe(document.querySelector("#answer"), { attributeFilter: ["aria-busy"] }));
"""

Draw = Callable[[Page, Strokes], None]


@dataclass(frozen=True)
class Drawing:
    """What the page showed for a drawing.

    read: the digit, or - or ?; milliseconds: from the last stroke's end to the frame that showed it; local, own: what this
    browser read, from the service's glyph and from its own; apart, own_apart: the largest difference of a probability.
    """

    label: int
    writer: int
    read: str
    milliseconds: float
    local: str = ""
    own: str = ""
    apart: float = 0.0
    own_apart: float = 0.0

    @property
    def right(self) -> bool:
        """Whether it was read rightly."""
        return self.read == str(self.label)


def choose(digits: Sequence[PenDigit], count: int) -> list[PenDigit]:
    """So many digits at equal steps, so that every writer and every digit is among them."""
    return [digits[place] for place in np.linspace(0, len(digits) - 1, count).round().astype(int)]


def draw_all(page: Page, digits: Iterable[PenDigit], draw: Draw, *, compare: bool = False) -> Iterator[Drawing]:
    """Draws each digit on the empty pad, and notes what is shown; with compare, the page's switch must be on."""
    for digit in digits:
        draw(page, fit(digit.strokes))
        read = wait_for_answer(page)
        page.wait_for_timeout(20)  # the frame that shows it
        lifted, shown = page.evaluate("[window.lifted, window.shown]")
        noted = _compared(page) if compare else {}
        yield Drawing(digit.label, digit.writer, read, shown - lifted, **noted)  # type: ignore[arg-type]
        page.click("#clear")
        wait_for_answer(page)


def _compared(page: Page) -> dict[str, str | float]:
    page.wait_for_selector("#local-state[data-digit]")
    data = page.evaluate("({ ...document.querySelector('#local-state').dataset })")
    return {
        "local": data["digit"],
        "own": data["own"],
        "apart": float(data["apart"]),
        "own_apart": float(data["ownApart"]),
    }


def first_paints(browser: Browser, address: str, visits: int) -> list[float]:
    """Milliseconds from the start of navigation to the first contentful paint, each time with nothing in the cache."""
    paints = []
    for _ in range(visits):
        page = open_sheet(browser, address).page
        page.wait_for_timeout(200)
        paints.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
        page.context.close()
    return paints


def open_watched(browser: Browser, address: str, **options: Any) -> Page:
    """The page, with a watch on when answers are shown."""
    page = open_sheet(browser, address, **options).page
    page.add_init_script(WATCH)
    page.reload()
    page.wait_for_selector("html[data-ready]")
    return page


@contextmanager
def running_service(folder: Path) -> Iterator[str]:
    """The service in a process of its own, with the model's edition for browsers, at its address."""
    environment = {"NUMERAL_MODEL_STORE": str(copy_store(folder / "store")), "NUMERAL_DRAIN_SECONDS": "0"}
    command = [sys.executable, "-m", "app", "serve", "--port", "{port}"]
    with serve(command, READY, set(range(os.cpu_count() or 1)), environment, folder / "log") as server:
        yield f"http://127.0.0.1:{server.port}"


def measure(
    browser: Browser, address: str, digits: Sequence[PenDigit], by_touch: Sequence[PenDigit]
) -> dict[str, list[Drawing]]:
    """The digits drawn by mouse, some by finger on a phone, and by mouse again with the browser reading, too."""
    mouse = open_watched(browser, address)
    finger = open_watched(browser, address, **PHONE)
    both = open_watched(browser, address)
    both.check("#local")
    both.get_by_text("Ready. Draw or show a digit to compare.").wait_for()
    runs = {
        MOUSE: (digits, draw_all(mouse, digits, draw_with_mouse)),
        TOUCH: (by_touch, draw_all(finger, by_touch, draw_with_finger)),
        BOTH: (digits, draw_all(both, digits, draw_with_mouse, compare=True)),
    }
    console = Console(stderr=True)
    return {name: list(track(run, name, len(of), console=console, transient=True)) for name, (of, run) in runs.items()}


def write_report(runs: Mapping[str, Sequence[Drawing]], paints: Sequence[float]) -> str:
    """docs/page.md."""
    both = runs[BOTH]
    wrong = [drawing for drawings in (runs[MOUSE], runs[TOUCH]) for drawing in drawings if not drawing.right]
    mistakes = ", ".join(f"{drawing.label} as {drawing.read}" for drawing in wrong) or "none"
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, no GPU, load average {os.getloadavg()[1]:.1f}"
    return f"""# The page, measured

`make page-test` draws pen strokes of UCI's pendigits on the page in a real browser and reads what it shows. The strokes come
from {len({drawing.writer for drawing in both})} writers whom neither training nor validation knows; the pen is the one that the
page starts with. The browser, the service and the hand shared one machine ({machine}), so times are upper
bounds.

![A four drawn on the page, the answer, and the glyph that the model saw](images/page.png)

![The same page on a phone, in the dark theme](images/page-phone.png)

## How many it reads, and how soon

Milliseconds are from the event that ends the last stroke to after the frame that shows the answer.

| drawn | digits | read correctly | median | 95th percentile |
|---|---|---|---|---|
{_rows(runs)}

Mistakes by mouse and by finger: {mistakes}.

First contentful paint with nothing in the cache, {len(paints)} visits: median {np.median(paints):.0f} ms, slowest
{max(paints):.0f} ms.

## Reading in the browser, next to the server

With the switch on, the browser reads each drawing twice: from the glyph that the server returned, and from one that the page
made itself, as it does when the server is gone. "Apart" is the largest difference among a drawing's ten probabilities.

| {len(both)} drawings, read by the browser from | the same digit as the server | read correctly | apart, median | at most |
|---|---|---|---|---|
{_agreement("the server's glyph", both, [(drawing.local, drawing.apart) for drawing in both])}
{_agreement("the page's own glyph", both, [(drawing.own, drawing.own_apart) for drawing in both])}
"""


def _rows(runs: Mapping[str, Sequence[Drawing]]) -> str:
    rows = []
    for name, drawings in runs.items():
        right = sum(drawing.right for drawing in drawings)
        middle, late = np.percentile([drawing.milliseconds for drawing in drawings], (50, 95))
        score = f"{right / len(drawings):.2%}, {len(drawings) - right} wrong"
        rows.append(f"| {name} | {len(drawings)} | {score} | {middle:.0f} ms | {late:.0f} ms |")
    return "\n".join(rows)


def _agreement(name: str, drawings: Sequence[Drawing], read: Sequence[tuple[str, float]]) -> str:
    same = sum(digit == drawing.read for drawing, (digit, _) in zip(drawings, read, strict=True))
    right = sum(digit == str(drawing.label) for drawing, (digit, _) in zip(drawings, read, strict=True))
    apart = [difference for _, difference in read]
    of = len(drawings)
    return f"| {name} | {same} of {of} | {right / of:.2%} | {np.median(apart):.1e} | {max(apart):.1e} |"


def main(
    data: Annotated[Path, typer.Option(help="Folder with strokes/.", envvar="NUMERAL_DATA_DIR")] = Path("data"),
    count: Annotated[int, typer.Option(min=10, help="Digits by mouse; by finger a third of them.")] = 300,
    output: Annotated[Path, typer.Option(help="Where to write the report.")] = Path("docs/page.md"),
) -> None:
    """Draws on the page and writes down what it shows; exit status 1 where it reads less than ENOUGH or later than SOON."""
    chromium = find_chromium()
    if chromium is None or not onnxruntime_web.is_complete():
        sys.exit("This needs Chromium (apt install chromium) and onnxruntime-web (make runtime).")
    *_, test = split_writers(load_strokes(data))
    with tempfile.TemporaryDirectory() as folder, running_service(Path(folder)) as address, open_browser(chromium) as browser:
        paints = first_paints(browser, address, PAINTS)
        runs = measure(browser, address, choose(test, count), choose(test[1:], count // 3))
    output.write_text(write_report(runs, paints), encoding="utf-8")
    sys.stdout.write(output.read_text(encoding="utf-8"))
    drawn = [*runs[MOUSE], *runs[TOUCH]]
    right = sum(drawing.right for drawing in drawn) / len(drawn)
    late = float(np.median([drawing.milliseconds for drawing in drawn]))
    sys.exit(right < ENOUGH or late > SOON)


if __name__ == "__main__":
    typer.run(main)
