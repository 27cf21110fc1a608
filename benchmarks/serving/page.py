"""Draws unknown writers' digits on the page in a real browser: how many it reads, how soon, and whether both ways agree.

The digits are pen strokes of UCI's pendigits by five writers whom neither training nor validation knows. Each is drawn on the
pad in Chromium, at the size and with the pen that the page starts with. What the page then shows is what counts. Every third
drawing, and photos that are made of the strokes, are given once more to a page whose server is gone, which reads by itself.

The pointer is pressed and lifted as a mouse or a finger does it. The points between come in one event, as browsers coalesce
them. One by one, each would take a frame, and on a busy machine so long that the page reads the unfinished stroke.
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
from playwright.sync_api import Browser, FilePayload, Page
from rich.console import Console
from rich.progress import track

from app.web.page import onnxruntime_web
from benchmarks.pictures import encode, ink_mask, photographed
from benchmarks.serving.server import serve
from tests.page.hand import (
    DIGIT_BOX,
    PHONE,
    Strokes,
    copy_store,
    find_chromium,
    fit,
    on_screen,
    open_browser,
    open_sheet,
)
from training.data.pen_strokes import PenDigit, load_strokes, split_writers

ENOUGH = 0.97  # of the digits must be read rightly
ALIKE = 0.99  # of the pictures of one digit must be read alike, and accepted alike, with and without the server
SOON = 100  # milliseconds from the last stroke's end to the answer, at the median
PAINTS = 10  # visits whose first paint is timed
READY = b"GET /health/ready HTTP/1.1\r\nHost: page\r\n\r\n"
MOUSE, TOUCH, ALONE = "by mouse", "by finger, on a phone's screen", "by mouse, the server gone"
PHOTO, FEWEST, LONGEST = (640, 480), 100, 260  # pixels of a photo, and least and most height of a digit in it
APART, ROOM = 0.85, 560  # heights from one digit of a number to the next, and pixels across that numbers may fill
NUMBERS = (2, 3, 4, 5)  # digits of the numbers in photos, in turn

# `answered` resolves when nothing is under way and the frame that shows the answer is drawn: to the text, what was said of it,
# and the milliseconds from the pen's lifting, by the event's own clock.
WATCH = """
addEventListener("pointerdown", (event) => (window.pressed = event), true);
addEventListener("pointerup", (event) => (window.lifted = event.timeStamp), true);
window.answered = async () => {
  const answer = document.querySelector("#answer");
  while (answer.ariaBusy !== "false")
    await new Promise((changed) => {
      const observer = new MutationObserver(() => (observer.disconnect(), changed()));
      observer.observe(answer, { attributeFilter: ["aria-busy"] });
    });
  await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)));
  return [document.querySelector("#text").innerText.trim(), answer.dataset.state, performance.now() - window.lifted];
};
"""

# Resolves to when the page was first painted, in milliseconds, once it was.
PAINTED = """() => new Promise((painted) => new PerformanceObserver((list) => {
  for (const { startTime } of list.getEntriesByName("first-contentful-paint")) painted(startTime);
}).observe({ type: "paint", buffered: true }))"""

# The points of a stroke, in one event of the pointer that is pressed.
MOVE = """(points) => {
  const { pointerId, pointerType, target } = window.pressed;
  const move = (more) => new PointerEvent("pointermove", { pointerId, pointerType, ...more });
  target.dispatchEvent(move({ coalescedEvents: points.map(([clientX, clientY]) => move({ clientX, clientY })) }));
}"""

Draw = Callable[[Page, Strokes], None]
Pairs = Sequence[tuple["Shown", "Shown"]]  # by the server, and by the browser alone


@dataclass(frozen=True)
class Shown:
    """What the page showed for a drawing or a photo.

    label: the right text; read: the digits that were shown, in their lines; accepted: whether it called them sure;
    milliseconds: from the last stroke's end to after the frame that showed them, of drawings.
    """

    label: str
    read: str
    accepted: bool
    milliseconds: float = 0.0

    @property
    def right(self) -> bool:
        """Whether it was read rightly."""
        return self.read == self.label

    def is_like(self, other: "Shown") -> bool:
        """Whether both showed the same text with the same acceptance."""
        return (self.read, self.accepted) == (other.read, other.accepted)


def choose(digits: Sequence[PenDigit], count: int) -> list[PenDigit]:
    """So many digits at equal steps, so that every writer and every digit is among them."""
    return [digits[place] for place in np.linspace(0, len(digits) - 1, count).round().astype(int)]


def draw_with_mouse(page: Page, strokes: Strokes) -> None:
    """Draws on the pad by mouse."""
    for first, *others in on_screen(page, strokes):
        page.mouse.move(*first)
        page.mouse.down()
        page.evaluate(MOVE, others)
        page.mouse.up()


def draw_with_finger(page: Page, strokes: Strokes) -> None:
    """Draws on the pad by touch."""
    session = page.context.new_cdp_session(page)
    for (x, y), *others in on_screen(page, strokes):
        session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
        page.evaluate(MOVE, others)
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    session.detach()


def draw_all(page: Page, digits: Iterable[PenDigit], draw: Draw) -> Iterator[Shown]:
    """Draws each digit on the empty pad, and notes what is shown."""
    for digit in digits:
        draw(page, fit(digit.strokes))
        yield _note(page, str(digit.label))
        page.evaluate("document.querySelector('#clear').click(), answered()")


def show_all(page: Page, photos: Iterable[tuple[str, bytes]]) -> Iterator[Shown]:
    """Has each photo read, a text and a file, and notes what is shown."""
    page.click("#tab-photo")
    for text, photo in photos:
        page.set_input_files("#file", FilePayload(name="photo.png", mimeType="image/png", buffer=photo))
        yield _note(page, text)


def _note(page: Page, label: str) -> Shown:
    read, state, milliseconds = page.evaluate("answered()")
    return Shown(label, read, state == "accepted", milliseconds)


def make_photo(digits: Sequence[PenDigit], seed: int) -> tuple[str, bytes]:
    """Digits next to each other on photographed paper: their text, and a PNG."""
    rng = np.random.default_rng(seed)
    height = min(rng.uniform(FEWEST, LONGEST), ROOM / APART / len(digits))
    left = PHOTO[0] / 2 - APART * height * (len(digits) - 1) / 2
    curves = []
    for number, digit in enumerate(digits):
        middle = (left + APART * height * number, PHOTO[1] / 2) + rng.normal(0, (0.02, 0.04)) * height
        curves += [(stroke - 0.5) / DIGIT_BOX[3] * height + middle for stroke in fit(digit.strokes)]
    mask = ink_mask(curves, PHOTO, height / rng.uniform(9, 14))
    return "".join(str(digit.label) for digit in digits), encode(photographed(mask, seed))


def make_photos(digits: Sequence[PenDigit], count: int) -> tuple[list[tuple[str, bytes]], list[tuple[str, bytes]]]:
    """So many photos of one digit, and half as many of a number."""
    single = [make_photo([digit], seed) for seed, digit in enumerate(choose(digits, count))]
    rng = np.random.default_rng(count)
    drawn = [rng.integers(0, len(digits), NUMBERS[number % len(NUMBERS)]) for number in range(count // 2)]
    return single, [make_photo([digits[place] for place in places], seed) for seed, places in enumerate(drawn, start=count)]


def read_alone(page: Page) -> None:
    """Has the page's browser read from now on: its switch is turned on, and its server goes."""
    page.check("#local")
    page.wait_for_selector('#local-state[data-state="local.ready"]')
    page.route("**/*", lambda route: route.abort())


def first_paints(browser: Browser, address: str, visits: int) -> list[float]:
    """Milliseconds from the start of navigation to the first contentful paint, each time with nothing in the cache."""
    paints = []
    for _ in range(visits):
        page = open_sheet(browser, address).page
        paints.append(page.evaluate(PAINTED))
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
    browser: Browser, address: str, digits: Sequence[PenDigit], by_touch: Sequence[PenDigit], photos: int
) -> tuple[dict[str, list[Shown]], dict[str, Pairs]]:
    """What the page shows for each way of drawing, and what it shows with and without its server, by kind of picture."""
    server, finger, alone = (open_watched(browser, address, **options) for options in ({}, PHONE, {}))
    read_alone(alone)
    console = Console(stderr=True)

    def follow(name: str, run: Iterator[Shown], count: int) -> list[Shown]:
        console.print(f"{name}: {count}")
        return list(track(run, "", count, console=console, transient=True, disable=not console.is_terminal))

    runs = {
        MOUSE: follow(MOUSE, draw_all(server, digits, draw_with_mouse), len(digits)),
        TOUCH: follow(TOUCH, draw_all(finger, by_touch, draw_with_finger), len(by_touch)),
        ALONE: follow(ALONE, draw_all(alone, digits[::3], draw_with_mouse), len(digits[::3])),
    }
    pairs: dict[str, Pairs] = {"drawings of one digit": list(zip(runs[MOUSE][::3], runs[ALONE], strict=True))}
    for name, some in zip(
        ("photos of one digit", "photos of a number of 2 to 5 digits"), make_photos(digits, photos), strict=True
    ):
        ways = [follow(name, show_all(page, some), len(some)) for page in (server, alone)]
        pairs[name] = list(zip(*ways, strict=True))
    return runs, pairs


def write_report(runs: Mapping[str, Sequence[Shown]], pairs: Mapping[str, Pairs], paints: Sequence[float], writers: int) -> str:
    """docs/page.md."""
    wrong = [shown for name in (MOUSE, TOUCH) for shown in runs[name] if not shown.right]
    mistakes = ", ".join(f"{shown.label} as {shown.read or 'nothing'}" for shown in wrong) or "none"
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, no GPU, load average {os.getloadavg()[1]:.1f}"
    return f"""# The page, measured

`make page-test` draws pen strokes of UCI's pendigits on the page in a real browser and reads what it shows. The strokes come
from {writers} writers whom neither training nor validation knows; the pen is the one that the
page starts with. The browser, the service and the hand shared one machine ({machine}), so times are upper
bounds.

![A four drawn on the page, the answer, and how it was read](images/page.png)

![The same page on a phone, in the dark theme](images/page-phone.png)

## How many it reads, and how soon

Milliseconds are from the event that ends the last stroke to after the frame that shows the answer.

| drawn | digits | read correctly | median | 95th percentile |
|---|---|---|---|---|
{_rows(runs)}

Mistakes by mouse and by finger: {mistakes}.

First contentful paint with nothing in the cache, {len(paints)} visits: median {np.median(paints):.0f} ms, slowest
{max(paints):.0f} ms.

## Reading in the browser, without the server

With its switch on, the page reads by itself when the server is gone: onnxruntime-web runs
[the one graph](model-store.md#one-graph-for-browsers-phones-and-other-servers) from a picture to its digits, and the page
puts them in lines. Every third drawing, and photos that are made of the strokes of these writers, are read both ways.

| pictures | the same text | and the same acceptance | right, by the server | right, by the browser |
|---|---|---|---|---|
{_agreement(pairs)}

Numbers differ more: the service weighs where digits of a number may be divided, and accepts it by the chance that all of it is
right. The browser takes each digit for itself.
"""


def _rows(runs: Mapping[str, Sequence[Shown]]) -> str:
    rows = []
    for name, drawings in runs.items():
        right = sum(drawing.right for drawing in drawings)
        middle, late = np.percentile([drawing.milliseconds for drawing in drawings], (50, 95))
        score = f"{right / len(drawings):.2%}, {len(drawings) - right} wrong"
        rows.append(f"| {name} | {len(drawings)} | {score} | {middle:.0f} ms | {late:.0f} ms |")
    return "\n".join(rows)


def _agreement(pairs: Mapping[str, Pairs]) -> str:
    rows = []
    for name, both in pairs.items():
        read = sum(server.read == browser.read for server, browser in both)
        right = [sum(each.right for each in way) for way in zip(*both, strict=True)]
        rows.append(f"| {len(both)} {name} | {read} | {_alike(both)} | {right[0]} | {right[1]} |")
    return "\n".join(rows)


def _alike(pairs: Pairs) -> int:
    return sum(server.is_like(browser) for server, browser in pairs)


def main(
    data: Annotated[Path, typer.Option(help="Folder with strokes/.", envvar="NUMERAL_DATA_DIR")] = Path("data"),
    count: Annotated[
        int, typer.Option(min=10, help="Digits by mouse; by finger and without the server a third of them, in photos a tenth.")
    ] = 300,
    output: Annotated[Path, typer.Option(help="Where to write the report.")] = Path("docs/page.md"),
) -> None:
    """Draws on the page and writes down what it shows; exit status 1 where it misses ENOUGH, SOON or ALIKE."""
    chromium = find_chromium()
    if chromium is None or not onnxruntime_web.is_complete():
        sys.exit("This needs Chromium (apt install chromium) and onnxruntime-web (make runtime).")
    *_, test = split_writers(load_strokes(data))
    with tempfile.TemporaryDirectory() as folder, running_service(Path(folder)) as address, open_browser(chromium) as browser:
        paints = first_paints(browser, address, PAINTS)
        runs, pairs = measure(browser, address, choose(test, count), choose(test[1:], count // 3), count // 10)
    output.write_text(write_report(runs, pairs, paints, len({digit.writer for digit in test})), encoding="utf-8")
    sys.stdout.write(output.read_text(encoding="utf-8"))
    drawn = [*runs[MOUSE], *runs[TOUCH]]
    right = sum(drawing.right for drawing in drawn) / len(drawn)
    late = float(np.median([drawing.milliseconds for drawing in drawn]))
    *single, _ = pairs.values()
    alike = sum(map(_alike, single)) / sum(map(len, single))
    sys.exit(right < ENOUGH or late > SOON or alike < ALIKE)


if __name__ == "__main__":
    typer.run(main)
