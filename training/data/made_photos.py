"""Made photos of handwritten digits: a scene describes how a digit is written on paper, lit and photographed.

written digit -> write: the ink's mask on the page -> paper -> ink -> light -> camera -> bytes of a JPEG, or of a PNG
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Colour = tuple[int, int, int]
Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

WIDTH, HEIGHT = 360, 270  # pixels of a photo: many times the glyph's box, and fast to read
DRAWN = 200  # pixels; the longer side of a digit before it is placed on the page
OWN_PEN = 0.08  # width of the pen over the digit's longer side, if the strokes do not give theirs
SOFT_EDGE = 0.4  # share of full ink at which MNIST's strokes are cut: thin ones are grey throughout
STEEP = 4  # factor by which the edges of MNIST's enlarged strokes are sharpened

RULE = (70, 90, 170)  # colour of printed lines
RULE_WIDTH = 1.5  # pixels
SHADOW_EDGE = 3.0  # pixels from light to dark
NEAR_MIDDLE = 0.15  # of the sides: largest distance of a shadow's edge from the middle, so that it often crosses the digit


@dataclass(frozen=True)
class WrittenDigit:
    """ink: (h, w) uint8, 255 where its own pen wrote; drawn: (h, w) uint8, 1 on the strokes' middle line, if it is known."""

    label: int
    ink: Pixels
    drawn: Pixels | None = None

    @cached_property
    def line(self) -> Pixels:
        """The strokes' middle line, (h, w) uint8 of 0 and 1, for other pens."""
        return self.drawn if self.drawn is not None else thin(np.asarray(np.pad(self.ink, 1) > 127, np.uint8))


@dataclass(frozen=True)
class Scene:
    """How a digit is written, lit and photographed; by default, a good photo of a dark pen on plain paper.

    side: longer side of the digit over the page's height; pen: its width over the digit's longer side, None for its own.
    tilt: degrees; off_centre: share of the way from the page's middle to its border, 1 where the ink touches it.
    opacity: of the ink; rules: distance of printed lines over the page's height, None for none; squared: lines both ways.
    rule_opacity: of the lines; light_lost, shadow: share of the light that is missing at the far corner, in the shadow.
    blur: standard deviation in pixels; noise: standard deviation in grey levels; quality: JPEG's.
    canvas: not a photo but a PNG with strokes on a transparent ground.
    """

    side: float = 0.42
    pen: float | None = None
    tilt: float = 0
    off_centre: float = 0
    ink: Colour = (40, 45, 90)
    opacity: float = 1
    paper: Colour = (244, 240, 230)
    rules: float | None = None
    squared: bool = False
    rule_opacity: float = 0
    light_lost: float = 0.2
    shadow: float = 0
    blur: float = 0.6
    noise: float = 2
    quality: int = 92
    canvas: bool = False


@dataclass(frozen=True)
class Chance:
    """The random part of a photo, drawn once per digit, so that its photos differ only by their scene.

    turn: +1 or -1, the direction of the tilt; way: (2,) in -1..1, the direction from the middle to a side or a corner.
    light, shadow: angles; crossing: (2,), a point on the shadow's edge; phase: (2,), of printed lines; noise: (H, W, 3),
    the size of the photo.
    """

    turn: int
    way: tuple[int, int]
    light: float
    shadow: float
    crossing: tuple[float, float]
    phase: tuple[float, float]
    noise: Floats = field(repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """The photo's height and width in pixels."""
        height, width, _ = self.noise.shape
        return height, width


WAYS = ((-1, -1), (0, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (0, 1), (1, 1))


def draw_chance(rng: np.random.Generator, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Chance:
    """Draws the random part of one digit's photos with this height and width in pixels."""
    crossing, phase = rng.uniform(-NEAR_MIDDLE, NEAR_MIDDLE, 2), rng.uniform(0, 1, 2)
    return Chance(
        turn=1 if rng.random() < 0.5 else -1,
        way=WAYS[rng.integers(len(WAYS))],
        light=rng.uniform(0, 2 * np.pi),
        shadow=rng.uniform(0, 2 * np.pi),
        crossing=(float(crossing[0]), float(crossing[1])),
        phase=(float(phase[0]), float(phase[1])),
        noise=rng.standard_normal((*size, 3), dtype=np.float32),
    )


def take(digit: WrittenDigit, scene: Scene, chance: Chance) -> bytes:
    """Takes a picture of the digit in the scene, as bytes for the service: a JPEG, or an RGBA PNG if the scene is a canvas."""
    return shoot(write(digit, scene, chance), scene, chance)


def shoot(ink: Floats, scene: Scene, chance: Chance) -> bytes:
    """Photographs a page with the ink mask from ``write``, (H, W) in 0..1, in the scene."""
    mask = ink * np.float32(scene.opacity)
    if scene.canvas:
        return _encode(_to_canvas(mask, scene.ink), "PNG")
    page = _blend(lay_paper(scene, chance), scene.ink, mask)
    page *= shine(scene, chance)[..., np.newaxis]
    return _encode(photograph(page, scene, chance), "JPEG", quality=scene.quality)


def write(digit: WrittenDigit, scene: Scene, chance: Chance) -> Floats:
    """The mask of the digit's ink on the page: (H, W) float32 in 0..1."""
    page_height, page_width = chance.size
    ink = _turn(_with_pen(digit, scene.pen), scene.tilt * chance.turn)
    height, width = ink.shape
    scale = scene.side * page_height / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(ink, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    free = page_width - size[0], page_height - size[1]
    left, top = (round(room / 2 * (1 + scene.off_centre * way)) for room, way in zip(free, chance.way, strict=True))
    page = np.zeros(chance.size, np.float32)
    page[top : top + size[1], left : left + size[0]] = small / np.float32(255)
    return page


def lay_paper(scene: Scene, chance: Chance) -> Floats:
    """The paper with its printed lines: (H, W, 3) float32 in 0..255."""
    height, width = chance.size
    paper = np.empty((height, width, 3), np.float32)
    paper[:] = scene.paper
    if scene.rules is None:
        return paper
    step = scene.rules * height
    lines = np.broadcast_to(_rule(height, step, chance.phase[0])[:, np.newaxis], (height, width))
    if scene.squared:
        lines = np.maximum(lines, _rule(width, step, chance.phase[1]))
    return _blend(paper, RULE, lines * np.float32(scene.rule_opacity))


def shine(scene: Scene, chance: Chance) -> Floats:
    """The light on the page: (H, W) float32, 1 at the brightest point."""
    height, width = chance.size
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, width), np.linspace(-0.5, 0.5, height))
    across = x * np.cos(chance.light) + y * np.sin(chance.light)
    light = 1 - scene.light_lost * (across - across.min()) / np.ptp(across)
    away = (x - chance.crossing[0]) * np.cos(chance.shadow) + (y - chance.crossing[1]) * np.sin(chance.shadow)
    shaded = np.clip(away * height / SHADOW_EDGE + 0.5, 0, 1)
    return np.asarray(light * (1 - scene.shadow * shaded), np.float32)


def photograph(page: Floats, scene: Scene, chance: Chance) -> Pixels:
    """Passes the lit page, (H, W, 3) in 0..255, through lens and sensor: (H, W, 3) uint8."""
    sharp = cv2.GaussianBlur(page, (0, 0), scene.blur) if scene.blur else page
    return np.asarray(np.round(sharp + chance.noise * np.float32(scene.noise)).clip(0, 255), np.uint8)


def from_mnist(image: Pixels, label: int) -> WrittenDigit:
    """Enlarges one of MNIST's digits, (28, 28) uint8 bright on black, smoothly, with edges as sharp as a pen's."""
    left, top, width, height = cv2.boundingRect(image)
    cut = np.pad(image[top : top + height, left : left + width], 2).astype(np.float32) / 255
    scale = DRAWN / max(width, height)
    large = cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    smooth = cv2.GaussianBlur(large, (0, 0), scale / 3)
    ink = np.clip((smooth - SOFT_EDGE) * STEEP + 0.5, 0, 1) * 255
    return WrittenDigit(label, _crop(np.asarray(ink.round(), np.uint8)))


def from_strokes(strokes: Sequence[NDArray[np.float64]], label: int) -> WrittenDigit:
    """A digit of pen strokes, each (n, 2) points x, y with y down, written with a pen of OWN_PEN."""
    points = np.concatenate(strokes)
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    scale = DRAWN / max(float(span.max()), 1.0)
    width, height = (int(side) for side in np.ceil(span * scale))
    line = np.zeros((height + 3, width + 3), np.uint8)
    for stroke in strokes:
        fixed = np.round((stroke - low) * scale + 1).astype(np.int32)
        cv2.polylines(line, [fixed[:, np.newaxis]], False, 1)
    return WrittenDigit(label, _widen(line, OWN_PEN), line)


def thin(mask: Pixels) -> Pixels:
    """The middle lines, one pixel wide, of a mask (H, W) of 0 and 1 whose border is 0.

    Source: Zhang and Suen, A fast parallel algorithm for thinning digital patterns, CACM 27 (1984).
    """
    line = mask.astype(np.bool_)
    while True:
        before = line.sum()
        for odd in (False, True):
            line &= ~_removable(line, odd=odd)
        if line.sum() == before:
            return line.astype(np.uint8)


def _removable(line: NDArray[np.bool_], *, odd: bool) -> NDArray[np.bool_]:
    """The pixels that a pass of Zhang and Suen removes: on the outline, but not the end of a line or a bridge."""
    around = np.pad(line, 1)
    height, width = line.shape
    ring = ((0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0))  # from the north, clockwise
    north, *_ = neighbours = [around[y : y + height, x : x + width] for y, x in ring]
    east, south, west = neighbours[2], neighbours[4], neighbours[6]
    count = np.sum(neighbours, axis=0, dtype=np.uint8)
    rises = np.sum([~a & b for a, b in zip(neighbours, [*neighbours[1:], north], strict=True)], axis=0, dtype=np.uint8)
    open_side = ~(north & west & (east | south)) if odd else ~(east & south & (north | west))
    removable: NDArray[np.bool_] = (count >= 2) & (count <= 6) & (rises == 1) & open_side
    return removable


def _with_pen(digit: WrittenDigit, pen: float | None) -> Pixels:
    return digit.ink if pen is None else _widen(digit.line, pen)


def _widen(line: Pixels, pen: float) -> Pixels:
    """Widens the line (h, w) of 0 and 1 to a round pen whose width is that share of the longer side."""
    width = max(1, round(pen * max(line.shape)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    return _crop(np.asarray(cv2.dilate(np.pad(line, width), kernel) * 255, np.uint8))


def _turn(ink: Pixels, degrees: float) -> Pixels:
    if not degrees:
        return ink
    margin = max(ink.shape) // 2
    sheet = np.pad(ink, margin)
    height, width = sheet.shape
    turned = cv2.warpAffine(sheet, cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1), (width, height))
    return _crop(np.asarray(turned, np.uint8))


def _crop(ink: Pixels) -> Pixels:
    left, top, width, height = cv2.boundingRect(ink)
    return ink[top : top + height, left : left + width]


def _rule(length: int, step: float, phase: float) -> Floats:
    """The profile of lines ``step`` pixels apart, (length,) float32 in 0..1."""
    distance = np.abs((np.arange(length) / step + phase + 0.5) % 1 - 0.5) * step
    return np.asarray(np.clip(RULE_WIDTH / 2 + 0.5 - distance, 0, 1), np.float32)


def _blend(ground: Floats, colour: Colour, mask: Floats) -> Floats:
    weight = mask[..., np.newaxis]
    return ground * (1 - weight) + np.array(colour, np.float32) * weight


def _to_canvas(mask: Floats, colour: Colour) -> Pixels:
    """Strokes of one colour on a transparent ground: (H, W, 4) uint8."""
    alpha = np.asarray((mask * 255).round(), np.uint8)
    return np.dstack((np.broadcast_to(np.array(colour, np.uint8), (*mask.shape, 3)), alpha))


def _encode(pixels: Pixels, file_format: str, **options: int) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, file_format, **options)
    return file.getvalue()
