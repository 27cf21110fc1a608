"""Shows how a digit was found and read, step by step, as a drawing and in words."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from app.reading.answer import Box, Prediction
from app.reading.batch import Trace
from app.reading.decode.picture import Picture
from app.reading.find.glyph import SIZE, Steps

TILE = 8 * SIZE  # pixels: the side of each step, and of the glyph enlarged eight times
GAP, MARGIN = 12, 24
TITLE_TYPE, WORD_TYPE = 16, 14  # pixels
LINE = 20  # pixels from one line of text to the next
TITLES = ("picture", "ink", "strokes", "digit", "glyph")

Colour = tuple[int, int, int]
PAPER, SLOT, BLACK, WHITE = (243, 243, 243), (220, 220, 220), (17, 17, 17), (255, 255, 255)
RED, GREY = (208, 28, 28), (190, 190, 190)


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
    """Draws the steps in a row with the words below, RGB. If no digit was found, draws only the picture.

    Strokes that were recognised as printed lines or frames are red.
    """
    tiles = _tiles(trace.picture, trace.steps) if trace.picture else []
    width = 2 * MARGIN + len(TITLES) * TILE + (len(TITLES) - 1) * GAP
    top = MARGIN + LINE + GAP
    sheet = Image.new("RGB", (width, top + TILE + GAP + len(words) * LINE + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, (title, tile) in enumerate(zip(TITLES, tiles, strict=False)):
        x = MARGIN + index * (TILE + GAP)
        draw.text((x, MARGIN), title, BLACK, ImageFont.load_default(TITLE_TYPE))
        sheet.paste(tile, (x, top))
    for index, line in enumerate(words):
        text = line.encode("ascii", "replace").decode("ascii")  # Pillow's built-in font has only ASCII
        draw.text((MARGIN, top + TILE + GAP + index * LINE), text, BLACK, ImageFont.load_default(WORD_TYPE))
    return sheet


def _tiles(picture: Picture, steps: Steps | None) -> list[Image.Image]:
    if steps is None:
        return [_fit(picture.pixels)]
    digit = np.zeros_like(steps.strokes)
    box = steps.digit.box
    digit[box.y : box.y + box.height, box.x : box.x + box.width] = steps.digit.mask
    return [
        _fit(picture.pixels, box),
        _fit(np.repeat(255 - steps.ink[..., np.newaxis], 3, axis=2)),
        _fit(_paint((steps.strokes, RED), (steps.written, BLACK))),
        _fit(_paint((steps.written, GREY), (digit, BLACK)), box),
        _fit(np.repeat(steps.glyph.pixels[..., np.newaxis], 3, axis=2)),
    ]


def _paint(*layers: tuple[NDArray[np.uint8], Colour]) -> NDArray[np.uint8]:
    """Paints masks (H, W) of 0 and 1 in their colours on white, later ones on top: (H, W, 3) uint8."""
    painted = np.full((*layers[0][0].shape, 3), WHITE, np.uint8)
    for mask, colour in layers:
        painted[mask > 0] = colour
    return painted


def _fit(pixels: NDArray[np.uint8], box: Box | None = None) -> Image.Image:
    """Fits pixels (H, W, 3) into a tile: smooth when reduced, blocky when enlarged. box: drawn around its pixels."""
    height, width = pixels.shape[:2]
    factor = TILE / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    image = Image.fromarray(pixels).resize(size, Image.Resampling.BOX if factor < 1 else Image.Resampling.NEAREST)
    if box:
        corners = (box.x, box.y, box.x + box.width, box.y + box.height)
        ImageDraw.Draw(image).rectangle([round(corner * factor) for corner in corners], outline=RED, width=2)
    tile = Image.new("RGB", (TILE, TILE), SLOT)
    tile.paste(image, ((TILE - size[0]) // 2, (TILE - size[1]) // 2))
    return tile
