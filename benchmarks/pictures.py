"""Pictures for tests and docs, drawn by code: digits as strokes, on a canvas or on photographed paper."""

import io
import struct
import zlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Pixels = NDArray[np.uint8]

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
SUPERSAMPLE = 4

# Strokes of each digit: points (x, y) in a unit square, x to the right, y down.
STROKES: dict[int, list[list[tuple[float, float]]]] = {
    0: [[(.5, 0), (.28, .06), (.14, .3), (.12, .6), (.22, .88), (.45, 1), (.7, .94), (.86, .7), (.88, .4), (.78, .12), (.5, 0)]],
    1: [[(.56, 0), (.53, .3), (.5, .65), (.47, 1)]],
    2: [[(.14, .22), (.28, .05), (.52, 0), (.76, .1), (.8, .32), (.62, .56), (.34, .8), (.1, .98), (.45, .94), (.9, .97)]],
    3: [[(.16, .1), (.42, 0), (.72, .06), (.8, .26), (.64, .43), (.4, .48), (.66, .54), (.84, .72), (.72, .93), (.42, 1), (.12, .9)]],
    4: [[(.3, .0), (.24, .28), (.16, .54), (.45, .56), (.88, .52)], [(.72, .16), (.68, .6), (.64, 1)]],
    5: [[(.28, .02), (.25, .25), (.22, .44), (.45, .38), (.72, .48), (.82, .7), (.68, .93), (.4, 1), (.12, .9)], [(.27, .03), (.55, .02), (.84, 0)]],
    6: [[(.68, 0), (.42, .16), (.22, .45), (.16, .75), (.3, .97), (.56, 1), (.77, .84), (.72, .62), (.5, .54), (.28, .64), (.18, .78)]],
    7: [[(.1, .06), (.45, .04), (.86, .02), (.72, .3), (.55, .65), (.42, 1)]],
    8: [[(.5, .46), (.25, .3), (.28, .08), (.5, 0), (.74, .1), (.72, .3), (.5, .46), (.24, .62), (.18, .85), (.42, 1), (.7, .95), (.82, .75), (.7, .58), (.5, .46)]],
    9: [[(.78, .14), (.55, 0), (.28, .08), (.18, .3), (.32, .48), (.58, .46), (.76, .28), (.78, .14), (.76, .45), (.7, .75), (.6, 1)]],
}  # fmt: skip


def stroke_mask(digit: int, size: tuple[int, int], box: tuple[float, float, float, float], pen: float) -> Pixels:
    """A digit's strokes, smoothly drawn: (height, width) uint8, 255 where there is ink.

    size: (width, height); box: left, top, right and bottom of the strokes' middle lines, pen: their width, all in pixels.
    """
    left, top, right, bottom = box
    curves = [smooth(np.array(stroke)) * (right - left, bottom - top) + (left, top) for stroke in STROKES[digit]]
    return ink_mask(curves, size, pen)


def ink_mask(curves: Iterable[NDArray[np.float64]], size: tuple[int, int], pen: float) -> Pixels:
    """Curves of points (n, 2), drawn by a round pen: (height, width) uint8, 255 where there is ink. All in pixels."""
    width, height = (side * SUPERSAMPLE for side in size)
    image = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(image)
    for curve in curves:
        points = [(x * SUPERSAMPLE, y * SUPERSAMPLE) for x, y in curve]
        draw.line(points, fill=255, width=max(1, round(pen * SUPERSAMPLE)), joint="curve")
        radius = pen * SUPERSAMPLE / 2
        for x, y in (points[0], points[-1]):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return np.asarray(image.resize(size, Image.Resampling.BOX))


def smooth(points: NDArray[np.float64], steps: int = 8) -> NDArray[np.float64]:
    """Catmull-Rom spline through the points."""
    padded = np.concatenate((points[:1], points, points[-1:]))
    t = np.linspace(0, 1, steps, endpoint=False)[:, np.newaxis]
    pieces = []
    for p0, p1, p2, p3 in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        a, b, c = 2 * p0 - 5 * p1 + 4 * p2 - p3, 3 * p1 - p0 - 3 * p2 + p3, p2 - p0
        pieces.append(p1 + 0.5 * (c * t + a * t**2 + b * t**3))
    return np.concatenate((*pieces, points[-1:]))


def canvas(
    digit: int,
    size: int = 280,
    pen: float = 18,
    ink: Colour = BLACK,
    ground: Colour | None = WHITE,
    box: tuple[float, float, float, float] | None = None,
) -> Image.Image:
    """A drawing on screen: RGB on a ground, RGBA where the ground is None and the canvas transparent."""
    place = box or (0.3 * size, 0.2 * size, 0.7 * size, 0.8 * size)
    mask = stroke_mask(digit, (size, size), place, pen)
    if ground is None:
        rgba = np.dstack((np.broadcast_to(np.array(ink, np.uint8), (size, size, 3)), mask))
        return Image.fromarray(rgba)
    return Image.fromarray(_blend(np.full((size, size, 3), ground, np.float64), mask, ink))


def row(digits: str, gap: float, size: int = 400) -> Image.Image:
    """Digits side by side, 100 pixels high, with a gap of so many pixels between them."""
    ink = np.zeros((200, size), np.uint8)
    for index, digit in enumerate(digits):
        left = 40 + index * (60 + gap)
        ink = np.maximum(ink, stroke_mask(int(digit), (size, 200), (left, 50, left + 60, 150), 8))
    return Image.fromarray(255 - ink)


def photo(
    digit: int, size: tuple[int, int] = (640, 480), seed: int = 0, pen: float = 7, ink: Colour = (45, 50, 90)
) -> Image.Image:
    """A digit on photographed paper."""
    width, height = size
    side = 0.45 * height
    left, top = 0.42 * width, 0.28 * height
    mask = stroke_mask(digit, size, (left, top, left + 0.62 * side, top + side), pen)
    return photographed(mask, seed, ink)


def photographed(mask: Pixels, seed: int = 0, ink: Colour = (45, 50, 90)) -> Image.Image:
    """Ink (height, width) on photographed paper: beige, unevenly lit, with the edge of a shadow and the sensor's noise."""
    height, width = mask.shape
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    light = 0.72 + 0.28 * (1 - 0.6 * x - 0.4 * y)
    shadow = 1 / (1 + np.exp((x + 0.5 * y - 1.1) * 40))  # a soft edge across the sheet
    light = light * (0.72 + 0.28 * shadow)
    paper = np.broadcast_to(np.array((238, 228, 206), np.float64), (height, width, 3))
    lit = _blend(paper, mask, ink) * light[..., np.newaxis] + rng.normal(0, 3, (height, width, 1))
    return Image.fromarray(lit.clip(0, 255).astype(np.uint8))


def _blend(ground: NDArray[np.float64], mask: Pixels, ink: Colour) -> Pixels:
    weight = mask[..., np.newaxis] / 255
    return np.round(ground * (1 - weight) + np.array(ink) * weight).astype(np.uint8)


def encode(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    """The picture's bytes in a format of Pillow's."""
    file = io.BytesIO()
    image.save(file, format=file_format, **options)
    return file.getvalue()


def png_chunk(name: bytes, content: bytes, checksum: int | None = None) -> bytes:
    """A chunk of a PNG file, with its length and its checksum, or a wrong one where it is given."""
    right = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", right if checksum is None else checksum)
