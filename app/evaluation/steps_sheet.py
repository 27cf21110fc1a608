"""Shows how a digit was found and read, step by step, as a drawing and in words."""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from app.reading.answer import Prediction
from app.reading.find.finder import INK
from app.reading.find.glyph import SIZE
from app.reading.find.window import Area, to_area
from app.reading.trace import FirstLook, Trace

TILE = 8 * SIZE  # pixels: the side of each step, and of the glyph enlarged eight times
GAP, MARGIN = 12, 24
TITLE_TYPE, WORD_TYPE = 16, 14  # pixels
LINE = 20  # pixels from one line of text to the next
TITLES = ("picture", "first look", "second look", "ink", "glyph")

PAPER, SLOT, BLACK = (243, 243, 243), (220, 220, 220), (17, 17, 17)
RED = (208, 28, 28)
PALE = 0.4  # how much of the picture is left under the heat map


def describe(prediction: Prediction, trace: Trace) -> list[str]:
    """The answer, the measurements and the warnings, one line each. trace: of this prediction."""
    accepted = "accepted" if prediction.accepted else "not accepted"
    lines = [f"{prediction.digit}, confidence {prediction.confidence:.2%}, {accepted}"]
    if trace.steps:
        m = trace.steps.glyph.measurements
        strokes = f"{m.strokes} stroke{'s' if m.strokes != 1 else ''}"
        widths = f"stroke width {m.stroke_width:.1%} of the digit's side, edge width {m.edge_width:.1%}"
        lines.append(f"{strokes}; {widths}; contrast {m.contrast:.0%}; slant {m.slant:+.0f} degrees")
    return lines + [f"{warning.code} ({warning.value:g}): {warning.detail}" for warning in prediction.warnings]


def draw_steps(trace: Trace, words: Sequence[str]) -> Image.Image:
    """Draws the steps in a row with the words below, RGB, as far as they were taken.

    In the first look, it is the redder the likelier a digit has its centre there. Boxes are those that the finder saw.
    """
    tiles = _tiles(trace)
    width = 2 * MARGIN + len(TITLES) * TILE + (len(TITLES) - 1) * GAP
    top = MARGIN + LINE + GAP
    sheet = Image.new("RGB", (width, top + TILE + GAP + len(words) * LINE + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, (title, tile) in enumerate(zip(TITLES, tiles, strict=False)):
        x = MARGIN + index * (TILE + GAP)
        draw.text((x, MARGIN), title, BLACK, ImageFont.load_default(TITLE_TYPE))
        sheet.paste(tile or _fit(np.full((1, 1, 3), SLOT, np.uint8)), (x, top))
    for index, line in enumerate(words):
        text = line.encode("ascii", "replace").decode("ascii")  # Pillow's built-in font has only ASCII
        draw.text((MARGIN, top + TILE + GAP + index * LINE), text, BLACK, ImageFont.load_default(WORD_TYPE))
    return sheet


def _tiles(trace: Trace) -> list[Image.Image | None]:
    """A tile for each of TITLES, None for a step that was not taken; those after the last step are missing."""
    if trace.picture is None:
        return []
    tiles: list[Image.Image | None] = [_fit(trace.picture.pixels, _boxes_in(trace))]
    if trace.first:
        boxes = [to_area(box) for box in trace.steps.detections.boxes] if trace.steps and trace.steps.detections else []
        tiles.append(_fit(_heat(trace.first), boxes))
    if not trace.steps:
        return tiles
    first, second, glyph = trace.steps.first, trace.steps.second, trace.steps.glyph
    last = second or first
    tiles[1:] = [
        tiles[1] if first else None,
        _fit(second.window.pixels, [second.area]) if second else None,
        _fit(_grey(255 - np.asarray(last.look.ink * 255, np.uint8)), [_halved(last.area)]) if last else None,
        _fit(_grey(glyph.pixels)),
    ]
    return tiles


def _boxes_in(trace: Trace) -> list[Area]:
    """The box of the digit that was read, in pixels of the picture: centre in x and y, width and height."""
    if not (trace.steps and trace.picture):
        return []
    box, scale = trace.steps.glyph.box, trace.picture.scale
    x, y = (box.x + box.width / 2) / scale, (box.y + box.height / 2) / scale
    return [(x, y, box.width / scale, box.height / scale)]


def _heat(first: FirstLook) -> NDArray[np.uint8]:
    """The window (96, 96, 3), paler, and redder where a digit may have its centre."""
    pixels = first.window.pixels
    scores = cv2.resize(first.look.scores, (pixels.shape[1], pixels.shape[0]), interpolation=cv2.INTER_NEAREST)
    pale = PALE * pixels + (1 - PALE) * 255
    return np.asarray(pale + (np.array(RED) - pale) * scores[..., np.newaxis], np.uint8)


def _halved(area: Area) -> Area:
    """In pixels of the window -> in pixels of the ink."""
    x, y, width, height = area
    return x / INK, y / INK, width / INK, height / INK


def _grey(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(levels[..., np.newaxis], 3, axis=2)


def _fit(pixels: NDArray[np.uint8], boxes: Iterable[Area] = ()) -> Image.Image:
    """Fits pixels (H, W, 3) into a tile: smooth when reduced, blocky when enlarged. boxes: drawn, each (4,) in its pixels."""
    height, width = pixels.shape[:2]
    factor = TILE / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    image = Image.fromarray(pixels).resize(size, Image.Resampling.BOX if factor < 1 else Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(image)
    for x, y, broad, high in boxes:
        corners = (x - broad / 2, y - high / 2, x + broad / 2, y + high / 2)
        draw.rectangle([round(float(corner) * factor) for corner in corners], outline=RED, width=2)
    tile = Image.new("RGB", (TILE, TILE), SLOT)
    tile.paste(image, ((TILE - size[0]) // 2, (TILE - size[1]) // 2))
    return tile
