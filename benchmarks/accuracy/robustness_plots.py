"""The robustness suite's pictures: accuracy against severity, and a digit in every scene."""

from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from app.errors import NoDigitFound
from app.reading.reader import Reader
from benchmarks.accuracy.factors import CLEAN, FACTORS, SEVERITIES
from benchmarks.accuracy.result_counts import Outcome
from training.data.made_photos import HEIGHT, WIDTH, Scene, WrittenDigit, draw_chance, take

COLUMNS = 3
DPI = 110
MARKERS = "os"  # one a source
LINES = ("-", "--")

TILE_WIDTH, TILE_HEIGHT = WIDTH // 2, HEIGHT // 2
LABEL_WIDTH, CAPTION, GAP, TYPE = 150, 24, 8, 16  # pixels
PAPER, INK, RED = "#f3f3f3", "#111111", "#d01c1c"
CHECKS, CHECK_SIDE = (70, 92), 10  # grey levels of the ground under transparency, and the side of its squares


def draw_plot(outcome: Outcome, path: Path) -> None:
    """A panel a factor, the one that hurts most first: accuracy of the clean photos and at each severity."""
    rows = -(-len(outcome.worse) // COLUMNS)
    figure = Figure(figsize=(11.5, 2.45 * rows), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False)
    for axes, factor in zip(panels.flat, outcome.hardest_first(), strict=False):
        _draw_panel(axes, outcome, factor)
    for axes in panels.flat[len(outcome.worse) :]:
        axes.set_visible(False)
    for axes in panels[:, 0]:
        axes.set_ylabel("read rightly (%)")
    panels.flat[0].legend(loc="lower left")
    figure.savefig(path, dpi=DPI)


def _draw_panel(axes: Axes, outcome: Outcome, factor: str) -> None:
    for (source, tallies), marker, line in zip(outcome.worse[factor].items(), MARKERS, LINES, strict=False):
        shares = [100 * tally.share for tally in (outcome.clean[source], *tallies)]
        axes.plot((0, *SEVERITIES), shares, marker=marker, linestyle=line, markersize=4.5, label=source)
    words = [level.words.replace(", ", "\n").replace("pale ", "pale\n") for level in FACTORS[factor].levels]
    axes.set_xticks((0, *SEVERITIES), ["clean", *words], fontsize=9)
    axes.set(ylim=(-4, 104), yticks=range(0, 101, 25))
    axes.set_title(f"{factor}: {outcome.total(factor).share:.0%}", fontsize=11, fontweight="bold", loc="left")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def draw_samples(reader: Reader, digit: WrittenDigit, seed: int, path: Path) -> None:
    """A contact sheet: the digit in every scene, a row a factor, and below each the severity and the answer."""
    width = LABEL_WIDTH + len(SEVERITIES) * (TILE_WIDTH + GAP) + GAP
    step = TILE_HEIGHT + CAPTION + GAP
    sheet = Image.new("RGB", (width, GAP + (1 + len(FACTORS)) * step), PAPER)
    rows = {"clean": [("", CLEAN)]} | {name: [(x.words, x.scene) for x in factor.levels] for name, factor in FACTORS.items()}
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(TYPE)
    for row, (name, scenes) in enumerate(rows.items()):
        y = GAP + row * step
        draw.text((GAP, y + TILE_HEIGHT / 2), name, INK, font, anchor="lm")
        for column, (words, scene) in enumerate(scenes):
            x = LABEL_WIDTH + column * (TILE_WIDTH + GAP)
            tile, answer = _tile(reader, digit, scene, seed)
            sheet.paste(tile, (x, y))
            draw.text((x, y + TILE_HEIGHT + 3), words, INK, font)
            colour = INK if answer == str(digit.label) else RED
            draw.text((x + TILE_WIDTH, y + TILE_HEIGHT + 3), f"read {answer}", colour, font, anchor="ra")
    sheet.save(path, optimize=True)


def _tile(reader: Reader, digit: WrittenDigit, scene: Scene, seed: int) -> tuple[Image.Image, str]:
    """The picture, transparency shown as squares, and the answer: a digit or "none"."""
    data = take(digit, scene, draw_chance(np.random.default_rng((seed, 0))))
    try:
        answer = str(reader.read(data).digit)
    except NoDigitFound:
        answer = "none"
    return show(data).resize((TILE_WIDTH, TILE_HEIGHT), Image.Resampling.BOX), answer


def show(data: bytes) -> Image.Image:
    """The picture as a viewer shows it: RGB, transparency over grey squares."""
    picture = Image.open(BytesIO(data))
    if picture.mode != "RGBA":
        return picture.convert("RGB")
    y, x = np.indices((picture.height, picture.width)) // CHECK_SIDE
    squares = np.array(CHECKS, np.uint8)[(x + y) % 2]
    ground = Image.fromarray(squares).convert("RGBA")
    return Image.alpha_composite(ground, picture).convert("RGB")
