"""Composes one made picture with its truth.

The order is that of the real world: a layout of characters, a pen that inks them, paper or a canvas under them, light on it,
and a camera or a file. Everything follows from one seed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from training.data import camera, canvases, lights, objects, papers
from training.data.dice import Colour, Dice, Floats, Pixels
from training.data.hands import Hands, Mnist
from training.data.layouts import KINDS, LAYOUTS, LEAST_DIGIT, MANY, OTHER, Item, Layout, draw_style, look_at
from training.data.pens import Pen, Stamp, choose_pen, stamp, tone
from training.data.stroke_variation import vary
from training.data.visible import all_seen

SIDE = 192  # pixels; longer side of a scene when it is composed
WINDOW_SIDE = 144  # pixels; side of the window of a second look
ON_CANVAS = ("canvas", "screenshot", "glyph")  # kinds that are never photos
CANVAS_SHARE = 0.35  # of scenes of the other kinds
CANVAS_SIDES = (
    28,
    28,
    28,
    28,
    28,
    28,
    32,
    32,
    32,
    40,
    48,
    56,
    64,
    84,
    100,
    128,
    140,
)  # pixels; sides of canvases drawn at their stored size
WHOLE = 0.70  # share of its box inside the picture from which a character counts
MNIST_SHARE = 0.5  # of the scenes of kind "glyph" that are MNIST's own digits
OBJECTS = 0.4  # share of the scenes without a digit that show something other than paper
EASY = 0.65  # share of scenes with few disturbances: most pictures that people take are good
FAINTEST = 10.0  # grey levels; ink with less contrast is written again in black or white
CLEARLY = 40.0  # the same in easy scenes
CLEAR_INK = 100.0  # grey levels; assumed if there is no ink
WEAK = 0.3  # the quantile of the ink's contrast that counts
LETTERBOXED = 0.04  # share of pictures pasted on a plain ground
STRETCHED = 0.06  # share of pictures of one digit cut to it and stretched to a square, as careless cropping does
STRETCHED_SIDES = (28, 28, 32, 32, 48, 64, 96)  # pixels
MOST_STRETCHED = 4.0  # most ratio of a digit's sides to be stretched; a bare stem would fill the square
TURNED = 0.03  # share of scenes on their side or upside down
SAME_TURNED = frozenset((0, 1, 6, 8, 9))  # digits that are digits upside down
ONE_ANOTHER = frozenset((6, 9))  # each is the other upside down


@dataclass(frozen=True)
class SceneDigit:
    """label: 0 to 9; box: x, y, width, height of its ink in pixels of the picture; line: number of the row, or -1."""

    label: int
    box: tuple[float, float, float, float]
    line: int = -1


@dataclass(frozen=True)
class SceneMark:
    """kind: point, comma, minus or other (a letter, a sign or a crossed-out digit); box, line: as for a digit."""

    kind: str
    box: tuple[float, float, float, float]
    line: int = -1


@dataclass(frozen=True)
class Scene:
    """A picture and its truth.

    pixels: (H, W, 3) uint8, RGB; ink: (H, W) uint8, the ink of all digits as MNIST would have drawn it; kind: of KINDS.
    turn: clockwise rotation of the whole scene in degrees: 0, 90, 180 or 270.
    """

    pixels: Pixels
    ink: Pixels
    digits: tuple[SceneDigit, ...]
    marks: tuple[SceneMark, ...]
    kind: str
    turn: int = 0


@dataclass(frozen=True)
class Inked:
    """All characters inked on one sheet. ink, canonical: (H, W) uint8; digits, marks: in pixels of the sheet."""

    ink: Pixels
    canonical: Pixels
    digits: tuple[SceneDigit, ...]
    marks: tuple[SceneMark, ...]


def make_scene(  # noqa: PLR0913
    seed: int,
    hands: Hands,
    only: frozenset[str] | None = None,
    without: frozenset[str] = frozenset(),
    *,
    side: int = SIDE,
    second_look: bool = False,
    easy: float = EASY,
) -> Scene:
    """Makes a scene that depends on the seed alone.

    only: the kinds to choose from, None for all; without: groups of ingredients (dice.GROUPS) to leave out.
    side: longer side of the largest picture, in pixels. second_look: makes what the finder's second look sees.
    easy: the chance of a scene with few disturbances.
    """
    rng = np.random.default_rng((seed, int(second_look)))
    dice = Dice(rng, without, easy=bool(rng.random() < easy))
    kind = choose_kind(dice, only)
    if kind == "glyph" and not second_look and hands.given is None and dice.maybe(MNIST_SHARE):
        return mnist_scene(hands.mnist, dice)
    drawn = kind in ON_CANVAS or (kind != "photo" and dice.maybe(CANVAS_SHARE, "canvases"))
    side = choose_size(kind, side, dice, drawn=drawn, second_look=second_look)
    layout = LAYOUTS[kind](dice, hands, side)
    if second_look:
        layout = look_at(layout, dice, side)
    layout = add_neighbours(add_signs(layout, hands, dice), hands, dice)
    if second_look and kind == "screenshot":
        kind = "canvas"  # the window around it is out of sight
    scene = draw(layout, hands, dice, kind) if drawn else shoot(layout, hands, dice, kind)
    if not second_look and hands.given is None and len(scene.digits) == 1 and not scene.marks and dice.maybe(STRETCHED):
        return stretch(scene, dice)
    if not second_look and dice.maybe(LETTERBOXED, "neighbours"):
        scene = letterbox(scene, dice)
    return turn_some(scene, dice) if hands.given is None else scene


def choose_kind(dice: Dice, only: frozenset[str] | None) -> str:
    """Chooses a kind by its share, among the allowed ones."""
    barred = (set(MANY) if "rows" in dice.without else set()) | (set(ON_CANVAS) if "canvases" in dice.without else set())
    shares = {kind: share for kind, share in KINDS.items() if (kind not in barred if only is None else kind in only)}
    return dice.weighted(shares)


def choose_size(kind: str, side: int, dice: Dice, *, drawn: bool, second_look: bool) -> int:
    """Chooses the longer side at which the scene is composed."""
    if second_look:
        return round(side * WINDOW_SIDE / SIDE)
    if kind == "glyph":
        return camera.SMALLEST if dice.maybe(0.7) else 4 * camera.SMALLEST
    if drawn and kind in ("canvas", "tight", "none") and dice.maybe(0.55):
        return dice.pick(CANVAS_SIDES)
    return side


def mnist_scene(mnist: Mnist, dice: Dice) -> Scene:
    """One of MNIST's digits, unchanged."""
    image, label = mnist.image(dice)
    x, y, width, height = cv2.boundingRect(image)
    digit = SceneDigit(label, (float(x), float(y), float(width), float(height)))
    return Scene(np.repeat(image[..., np.newaxis], 3, axis=2), image.copy(), (digit,), (), "glyph")


def add_signs(layout: Layout, hands: Hands, dice: Dice) -> Layout:
    """Adds a letter or a sign next to a single digit, if there is room."""
    if len(layout.items) != 1 or not layout.digits or not dice.maybe(0.08, "signs"):
        return layout
    (digit,) = layout.items
    side = min(layout.side * dice.between(0.4, 1.0), layout.height, layout.width)
    for _ in range(8):
        centre = dice.between(side / 2, layout.width - side / 2), dice.between(side / 2, layout.height - side / 2)
        if max(abs(centre[0] - digit.centre[0]), abs(centre[1] - digit.centre[1])) > (side + digit.side) * 0.55:
            sign = Item(vary(hands.sign(dice), dice), centre, side, draw_style(dice).shape(dice), OTHER)
            return replace(layout, items=(digit, sign))
    return layout


def add_neighbours(layout: Layout, hands: Hands, dice: Dice) -> Layout:
    """Adds pieces of other characters, cut by the picture's border, that do not count."""
    if not layout.items or not dice.maybe(0.16, "neighbours"):
        return layout
    pieces = []
    for side_of_picture in {dice.count(0, 3) for _ in range(dice.count(1, 3))}:
        written = hands.hand(dice).digit(dice) if dice.maybe(0.7) else hands.sign(dice)
        side, seen = max(layout.side, 4.0) * dice.between(0.7, 1.1), dice.between(0.08, 0.4)
        along, out = dice.between(0, 1), side * (0.5 - seen)
        centre = {
            0: (-out, along * layout.height),
            1: (layout.width + out, along * layout.height),
            2: (along * layout.width, -out),
            3: (along * layout.width, layout.height + out),
        }[side_of_picture]
        piece = Item(written, centre, side, draw_style(dice).shape(dice), counts=False)
        if all(
            abs(centre[0] - i.centre[0]) > (side + i.side) * 0.42 or abs(centre[1] - i.centre[1]) > (side + i.side) * 0.42
            for i in layout.items
        ):
            pieces.append(piece)
    return replace(layout, items=(*layout.items, *pieces))


def write(layout: Layout, pen: Pen, dice: Dice) -> Inked:
    """Inks all characters of the layout with one pen."""
    ink, canonical = (np.zeros((layout.height, layout.width), np.uint8) for _ in range(2))
    digits, marks = [], []
    for item in layout.items:
        width = pen.width * layout.side / item.side
        stamped = stamp(item.written, item.spot, replace(pen, width=width), dice)
        if stamped is None:
            continue
        papers.put(ink, stamped)
        box, seen = _inside(stamped, layout)
        if not item.counts or seen < WHOLE:
            continue
        if item.mark is None:
            papers.lay(canonical, stamped.canonical, stamped.left, stamped.top)
            digits.append(SceneDigit(item.written.label, box, item.line))
        else:
            marks.append(SceneMark(item.mark, box, item.line))
    _cross_out(ink, layout, pen, dice)
    return Inked(ink, canonical, tuple(digits), tuple(marks))


def _inside(stamped: Stamp, layout: Layout) -> tuple[tuple[float, float, float, float], float]:
    """The part of the box inside the picture, and its share of the box."""
    x, y, width, height = stamped.box
    left, top, right, bottom = max(x, 0.0), max(y, 0.0), min(x + width, layout.width), min(y + height, layout.height)
    seen = max(right - left, 0) * max(bottom - top, 0) / (width * height)
    return (left, top, right - left, bottom - top), seen


def _cross_out(ink: Pixels, layout: Layout, pen: Pen, dice: Dice) -> None:
    """Draws a line, a cross or a zigzag through a crossed-out character."""
    thick = max(1, round(pen.width * layout.side))
    for x, y, width, height in layout.crossed:
        turns = dice.pick((1, 2, 3, 6))
        ends = np.array(
            [(x + (0.7 if index % 2 else -0.7) * width, y + dice.between(-0.45, 0.45) * height) for index in range(turns + 1)]
        )
        cv2.polylines(ink, [np.round(ends * 16).astype(np.int32)[:, np.newaxis]], False, 255, thick, cv2.LINE_AA, 4)


def ink_colour(paper: Colour, dice: Dice, *, dark: bool) -> Colour:
    """A pen's colour: black, blue, pencil or any; chalk on a board; sometimes of the paper's own grey."""
    if dice.maybe(0.04, "papers"):
        return canvases.equal_grey(paper, dice)
    if dark:
        return np.clip(dice.grey(150, 255, 18), 0, 255)
    kind = dice.weighted({"black": 0.4, "blue": 0.25, "pencil": 0.2, "any": 0.15})
    if kind == "black":
        return dice.grey(0, 60, 8)
    if kind == "blue":
        return dice.rng.uniform((10, 20, 70), (90, 100, 200)).astype(np.float32)
    return dice.grey(50, 130, 6) if kind == "pencil" else dice.colour(0, 170)


def shoot(layout: Layout, hands: Hands, dice: Dice, kind: str) -> Scene:
    """Writes the layout on paper or a board, lights and photographs it."""
    paper, dark = papers.lay_paper(layout, hands, dice)
    if kind == "none" and dice.maybe(OBJECTS, "signs"):
        paper = objects.show(paper, layout, hands, dice)
    pen = choose_pen(dice, max(layout.side, 8.0), canvas=False)
    inked = write(layout, pen, dice)
    colour = ink_colour(_middle(paper), dice, dark=dark)
    opacity = dice.between(0.7, 1) if dice.easy else dice.between(0.4, 1) if dice.maybe(0.75) else dice.between(0.18, 0.4)
    mask = papers.part(inked.ink)
    if dice.maybe(0.6, "pens"):
        mask = np.asarray(mask * tone(mask, dice), np.float32)
    mask = np.clip(mask, 0, 1)
    light = lights.shine(layout, dice)[..., np.newaxis]
    picture = papers.blend(paper, colour, np.asarray(mask * opacity, np.float32))
    contrast = _contrast(np.asarray(picture * light), np.asarray(paper * light), inked.ink)
    if contrast < (CLEARLY if dice.easy else FAINTEST):
        colour = np.full(3, 0.0 if _middle(paper).mean() > 100 else 255.0, np.float32)
        picture = papers.blend(paper, colour, mask)
        contrast = _contrast(np.asarray(picture * light), np.asarray(paper * light), inked.ink)
    if dice.maybe(0.10, "papers"):
        picture = lights.table(picture, layout, dice)
    if kind in ("row", "page", "none", "scattered") and dice.maybe(0.04, "papers"):
        picture = lights.spiral(picture, layout, dice)
    side = _side(layout, dice)
    digit, contrast = _digit_pixels(layout, side), contrast * _breadth(pen, layout, side)
    lit, plainly = np.asarray(picture * light, np.float32), replace(dice, without=dice.without | {"camera"})
    in_two = camera.FORM_IN_TWO if layout.cells else camera.IN_TWO
    ways = (
        lambda: camera.photograph(lit, side, contrast, digit, dice, in_two),
        lambda: camera.photograph(lit, side, contrast, digit, plainly),
        lambda: camera.photograph(picture, side, contrast, digit, plainly),
    )
    return _finish(_first_good(ways, inked), inked, layout, kind)


def _first_good(ways: Sequence[Callable[[], Pixels]], inked: Inked) -> Pixels:
    """The picture from the first way of taking it in which all digits are visible, else from the last way."""
    boxes = [digit.box for digit in inked.digits]
    for take in ways[:-1]:
        if all_seen(pixels := take(), inked.ink, boxes):
            return pixels
    return ways[-1]()


def _middle(paper: Floats) -> Colour:
    """The paper's median colour."""
    step = max(1, max(paper.shape[:2]) // 16)
    return np.asarray(np.median(paper[::step, ::step].reshape(-1, 3), axis=0), np.float32)


def _contrast(picture: Floats, bare: Floats, ink: Pixels) -> float:
    """Contrast of the weaker strokes with their ground, in grey levels."""
    where = ink > 127
    if not where.any():
        return CLEAR_INK
    return float(np.quantile(np.abs(picture[where] - bare[where]).max(axis=1), WEAK))


def draw(layout: Layout, hands: Hands, dice: Dice, kind: str) -> Scene:
    """Draws the layout on a canvas and saves it."""
    ground, colour = canvases.choose_colours(dice)
    if kind == "glyph":
        ground, colour = np.zeros(3, np.float32), np.full(3, 255, np.float32)
    canvas = canvases.lay_canvas(layout, hands, ground, colour, dice)
    if layout.cells:
        canvas = papers.cells(canvas, layout, hands, dice)
    if kind == "none" and dice.maybe(OBJECTS / 2, "signs"):
        canvas = objects.show(canvas, layout, hands, dice)
    pen = choose_pen(dice, max(layout.side, 8.0), canvas=True)
    inked = write(layout, pen, dice)
    mask = papers.part(inked.ink)
    if dice.maybe(0.08, "pens"):
        mask = np.asarray(mask * tone(mask, dice), np.float32)
    picture = papers.blend(canvas, colour, np.clip(mask, 0, 1))
    if kind == "screenshot":
        picture, inked, layout = _in_window(picture, inked, layout, dice)
    side = _side(layout, dice)
    contrast = float(np.abs(colour - ground).max()) * _breadth(pen, layout, side)
    digit, plainly = _digit_pixels(layout, side), replace(dice, without=dice.without | {"camera"})
    ways = (
        lambda: camera.save_drawing(picture, side, contrast, digit, dice),
        lambda: camera.save_drawing(picture, side, contrast, digit, plainly),
    )
    return _finish(_first_good(ways, inked), inked, layout, kind)


def _digit_pixels(layout: Layout, side: int) -> float:
    """The digits' longer side in the stored picture."""
    return max(layout.side, LEAST_DIGIT) * side / max(layout.height, layout.width)


def _breadth(pen: Pen, layout: Layout, side: int) -> float:
    """The share of its contrast that a stroke keeps if it is thinner than a pixel of the stored picture."""
    return float(np.clip(pen.width * _digit_pixels(layout, side), 0.25, 1))


def _in_window(picture: Floats, inked: Inked, layout: Layout, dice: Dice) -> tuple[Floats, Inked, Layout]:
    shot, (left, top) = canvases.window(picture, layout, dice)
    height, width = shot.shape[:2]
    sheets = [np.zeros((height, width), np.uint8) for _ in range(2)]
    for sheet, part in zip(sheets, (inked.ink, inked.canonical), strict=True):
        sheet[top : top + layout.height, left : left + layout.width] = part
    digits = tuple(replace(digit, box=_shifted(digit.box, left, top)) for digit in inked.digits)
    marks = tuple(replace(mark, box=_shifted(mark.box, left, top)) for mark in inked.marks)
    return shot, Inked(sheets[0], sheets[1], digits, marks), replace(layout, height=height, width=width)


def _shifted(box: tuple[float, float, float, float], left: int, top: int) -> tuple[float, float, float, float]:
    return box[0] + left, box[1] + top, box[2], box[3]


def _side(layout: Layout, dice: Dice) -> int:
    """Chooses the longer side of the stored picture, large enough for its digits."""
    side = max(layout.height, layout.width)
    smallest = side * LEAST_DIGIT / layout.side if layout.side else 0
    return round(min(side, max(camera.choose_side(side, dice), smallest, camera.SMALLEST)))


def _finish(pixels: Pixels, inked: Inked, layout: Layout, kind: str) -> Scene:
    """Converts the truth to pixels of the stored picture."""
    height, width = pixels.shape[:2]
    down, across = height / layout.height, width / layout.width
    ink = inked.canonical
    if (height, width) != ink.shape:
        ink = np.asarray(
            cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA if down < 1 else cv2.INTER_LINEAR), np.uint8
        )

    def scaled(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        return box[0] * across, box[1] * down, box[2] * across, box[3] * down

    digits = tuple(replace(digit, box=scaled(digit.box)) for digit in inked.digits)
    marks = tuple(replace(mark, box=scaled(mark.box)) for mark in inked.marks)
    return Scene(pixels, ink, digits, marks, kind)


def letterbox(scene: Scene, dice: Dice) -> Scene:
    """Pastes the picture on a plain ground, square or with a margin."""
    height, width = scene.ink.shape
    if dice.maybe(0.5):
        across, down = (max(height, width) - width) // 2, (max(height, width) - height) // 2
    else:
        across, down = (round(dice.between(0, 0.4) * max(height, width)) for _ in range(2))
    shade = dice.pick((0.0, 255.0, 255.0, dice.between(0, 255)))
    pixels = cv2.copyMakeBorder(scene.pixels, down, down, across, across, cv2.BORDER_CONSTANT, value=(shade, shade, shade))
    ink = cv2.copyMakeBorder(scene.ink, down, down, across, across, cv2.BORDER_CONSTANT, value=0)
    digits = tuple(replace(digit, box=_shifted(digit.box, across, down)) for digit in scene.digits)
    marks = tuple(replace(mark, box=_shifted(mark.box, across, down)) for mark in scene.marks)
    return replace(scene, pixels=np.asarray(pixels, np.uint8), ink=np.asarray(ink, np.uint8), digits=digits, marks=marks)


def stretch(scene: Scene, dice: Dice) -> Scene:
    """Cuts the picture to its one digit and stretches it to a small square, unless the digit is very slim."""
    x, y, wide, high = scene.digits[0].box
    if max(wide, high) > MOST_STRETCHED * min(wide, high):
        return scene
    height, width = scene.ink.shape
    margin = dice.between(0, 0.12) * max(wide, high)
    left, top = max(0, int(x - margin)), max(0, int(y - margin))
    right, bottom = min(width, round(x + wide + margin) + 1), min(height, round(y + high + margin) + 1)
    side = dice.pick(STRETCHED_SIDES)
    smaller = side < max(right - left, bottom - top)
    way = cv2.INTER_AREA if smaller else dice.pick((cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST))
    across, down = side / (right - left), side / (bottom - top)
    pixels, ink = (
        np.asarray(cv2.resize(sheet[top:bottom, left:right], (side, side), interpolation=way), np.uint8)
        for sheet in (scene.pixels, scene.ink)
    )
    digit = replace(scene.digits[0], box=((x - left) * across, (y - top) * down, wide * across, high * down))
    return replace(scene, pixels=pixels, ink=ink, digits=(digit,))


def turn_some(scene: Scene, dice: Dice) -> Scene:
    """Turns a few scenes on their side or upside down, if each digit stays unambiguous."""
    labels = {digit.label for digit in scene.digits}
    if not dice.maybe(TURNED) or labels <= SAME_TURNED or scene.kind == "glyph":
        return scene
    return turned(scene, dice.pick((90, 270) if labels & ONE_ANOTHER else (90, 180, 270)))


def turned(scene: Scene, degrees: int) -> Scene:
    """The scene turned clockwise by 90, 180 or 270 degrees."""
    quarters = degrees // 90
    height, width = scene.ink.shape

    def turn(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        x, y, w, h = box
        if quarters == 1:
            return height - y - h, x, h, w
        if quarters == 2:
            return width - x - w, height - y - h, w, h
        return y, width - x - w, h, w

    return replace(
        scene,
        pixels=np.ascontiguousarray(np.rot90(scene.pixels, -quarters)),
        ink=np.ascontiguousarray(np.rot90(scene.ink, -quarters)),
        digits=tuple(replace(digit, box=turn(digit.box)) for digit in scene.digits),
        marks=tuple(replace(mark, box=turn(mark.box)) for mark in scene.marks),
        turn=degrees,
    )
