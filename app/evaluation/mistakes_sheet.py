"""Draws the mistakes on one sheet: the picture, what the model saw, the label and the answer."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from app.errors import RequestError
from app.evaluation.report import Result
from app.reading.answer import Box
from app.reading.decode.limits import Limits, read_bytes
from app.reading.decode.picture import Decoder, Picture
from app.reading.reader import LAPTOP

MOST = 200  # mistakes on a sheet, which is then about 10,000 pixels high
COLUMNS = 4
TILE = 140  # pixels: the side of a picture on the sheet, and of a glyph enlarged five times
GAP, MARGIN = 8, 24
LARGE_TYPE, SMALL_TYPE = 18, 12  # pixels
CELL_WIDTH, CELL_HEIGHT = 2 * TILE + GAP, TILE + 48
HEADER = 60

PAPER, SLOT, INK, GREY, RED = "#f3f3f3", "#dcdcdc", "#111111", "#666666", "#d01c1c"
LEGEND = "Left: the picture and where the digit was found; right: what the model saw; below: label, answer, confidence."


def draw_mistakes(
    mistakes: Sequence[Result], folder: Path, decoder: Decoder, title: str, limits: Limits = LAPTOP
) -> Image.Image:
    """A contact sheet, RGB, of the first MOST mistakes; the title says what they are mistakes of.

    Decodes each picture again: keeping thousands of them from the evaluation would fill the memory. limits: a larger file is
    not read.
    """
    shown = mistakes[:MOST]
    if len(mistakes) > MOST:
        title += f"; the first {MOST} are shown"
    rows = -(-len(shown) // COLUMNS)
    width = MARGIN + COLUMNS * (CELL_WIDTH + MARGIN)
    sheet = Image.new("RGB", (width, MARGIN + HEADER + rows * (CELL_HEIGHT + MARGIN)), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), title, INK, ImageFont.load_default(LARGE_TYPE))
    draw.text((MARGIN, MARGIN + LARGE_TYPE + GAP), LEGEND, GREY, ImageFont.load_default(SMALL_TYPE))
    for index, mistake in enumerate(shown):
        row, column = divmod(index, COLUMNS)
        x, y = MARGIN + column * (CELL_WIDTH + MARGIN), MARGIN + HEADER + row * (CELL_HEIGHT + MARGIN)
        sheet.paste(_picture(mistake, folder, decoder, limits), (x, y))
        sheet.paste(_glyph(mistake), (x + TILE + GAP, y))
        _caption(draw, mistake, x, y + TILE + 6)
    return sheet


def _picture(mistake: Result, folder: Path, decoder: Decoder, limits: Limits) -> Image.Image:
    """The picture with its box, fitted into a tile."""
    try:
        picture = decoder.decode(read_bytes(mistake.row.file(folder), limits))
    except (RequestError, OSError):  # the caption has the code
        return _note("no picture")
    factor = TILE / max(picture.width, picture.height)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    tile = Image.fromarray(picture.pixels).resize(size, _filter(picture, factor))
    if mistake.prediction:
        _frame(tile, mistake.prediction.box, factor)
    slot = Image.new("RGB", (TILE, TILE), SLOT)
    slot.paste(tile, ((TILE - size[0]) // 2, (TILE - size[1]) // 2))
    return slot


def _filter(picture: Picture, factor: float) -> Image.Resampling:
    """A smooth filter to reduce the picture; none to enlarge it, so that its pixels stay visible."""
    return Image.Resampling.BOX if factor * picture.scale < 1 else Image.Resampling.NEAREST


def _frame(tile: Image.Image, box: Box, factor: float) -> None:
    left, top = round(box.x * factor) - 2, round(box.y * factor) - 2
    right, bottom = round((box.x + box.width) * factor) + 1, round((box.y + box.height) * factor) + 1
    corners = (max(0, left), max(0, top), min(tile.width - 1, right), min(tile.height - 1, bottom))
    ImageDraw.Draw(tile).rectangle(corners, outline=RED, width=2)


def _glyph(mistake: Result) -> Image.Image:
    if mistake.glyph is None:
        return _note("no glyph")
    return Image.fromarray(np.kron(mistake.glyph, np.ones((TILE // 28, TILE // 28), np.uint8))).convert("RGB")


def _note(text: str) -> Image.Image:
    tile = Image.new("RGB", (TILE, TILE), SLOT)
    ImageDraw.Draw(tile).text((TILE / 2, TILE / 2), text, GREY, ImageFont.load_default(SMALL_TYPE), anchor="mm")
    return tile


def _caption(draw: ImageDraw.ImageDraw, mistake: Result, x: float, y: float) -> None:
    """Writes the label, an arrow, and the answer with its confidence or the error code; below, the path."""
    large, small = ImageFont.load_default(LARGE_TYPE), ImageFont.load_default(SMALL_TYPE)
    draw.text((x, y), mistake.row.label, INK, large)
    _arrow(draw, x + 18, y + LARGE_TYPE * 0.6)
    answer = str(mistake.prediction.digit) if mistake.prediction else mistake.code or ""
    draw.text((x + 46, y), answer, RED, large)
    if mistake.prediction:
        sureness = f"{mistake.prediction.confidence:.1%}" + ("" if mistake.prediction.accepted else ", not accepted")
        draw.text((x + TILE + GAP, y + LARGE_TYPE - SMALL_TYPE), sureness, INK, small)
    draw.text((x, y + LARGE_TYPE + 8), _fit(mistake.row.path, small), GREY, small)


def _arrow(draw: ImageDraw.ImageDraw, x: float, y: float) -> None:
    """Draws an arrow, which Pillow's built-in font does not have."""
    draw.line((x, y, x + 14, y), GREY, 2)
    draw.polygon(((x + 20, y), (x + 12, y - 5), (x + 12, y + 5)), GREY)


def _fit(path: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """As much of the end of the path as fits into a cell, in the characters of Pillow's built-in font."""
    text = path.encode("ascii", "replace").decode("ascii")
    if font.getlength(text) <= CELL_WIDTH:
        return text
    while font.getlength("..." + text) > CELL_WIDTH:
        text = text[1:]
    return "..." + text
