"""Strokes of points -> a picture of them, for apps that have no canvas to encode."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from app.errors import InvalidRequest
from app.reading.answer import Box, Prediction
from app.reading.decode.picture import Picture
from app.web.endpoints import MOST_POINTS, MOST_STROKES
from app.web.json_body import BOM
from app.web.problems import describe
from app.web.schemas import StrokesRequest

SHAPE = '{"strokes": [[[x, y], …], …]}'
FURTHER = 100  # parts of the JSON besides its points
MARKS = {b"[": MOST_POINTS + MOST_STROKES, b",": 2 * MOST_POINTS + MOST_STROKES, b"{": 0, b'"': 0, b":": 0}

SIZE = 160  # pixels of a large stroke's longer side, about a digit's height
LARGE = 0.75  # quantile of the strokes' sizes at which a stroke is as high as its digit: some digits have a short one too
PEN = 1 / 9  # of that size, as MNIST's pen is of its digits
LEAST_PEN, MOST_PEN = 2, SIZE // 3  # pixels
MARGIN = SIZE // 4  # pixels of paper around the ink
MOST_SIDE = 890  # pixels of all ink; with the margins, no picture is reduced before it is read
SHIFT = 4  # binary digits of a pixel's fraction, in OpenCV's coordinates

Points = NDArray[np.float64]  # (N, 2): x and y


@dataclass(frozen=True)
class Drawing:
    """Ink on paper: pixels (H, W, 3) uint8, how many of them a unit of the points is, and the point at their corner."""

    pixels: NDArray[np.uint8]
    scale: float
    corner: NDArray[np.float64]


class Ink:
    """The ink in a request's body. It is drawn by a worker, and its answer then speaks of its points again."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._drawing: Drawing | None = None

    def picture(self) -> Picture:
        """The ink as a picture.

        Raises:
            InvalidRequest: the body holds no ink, or too much.
        """
        drawing = self._drawing = draw(*parse(self._body))
        height, width = drawing.pixels.shape[:2]
        return Picture(drawing.pixels, width, height)

    def place(self, prediction: Prediction) -> Prediction:
        """The prediction with its box in the units of the points, rounded outwards."""
        if self._drawing is None:
            return prediction
        box, scale, (x, y) = prediction.box, self._drawing.scale, self._drawing.corner
        left, top = floor(x + box.x / scale), floor(y + box.y / scale)
        right, bottom = ceil(x + (box.x + box.width) / scale), ceil(y + (box.y + box.height) / scale)
        return prediction.model_copy(update={"box": Box(left, top, right - left, bottom - top)})


def parse(body: bytes) -> tuple[list[Points], float | None]:
    """The strokes of a body in JSON, without empty ones, and the width of the pen, if it names one.

    Raises:
        InvalidRequest: it is something else, has no point, or has too many points or strokes.
    """
    if any(body.count(mark) > count + FURTHER for mark, count in MARKS.items()):  # before a tree is made of them
        raise _too_much()
    try:
        request = StrokesRequest.model_validate_json(body.removeprefix(BOM))
    except ValidationError as error:
        raise InvalidRequest(f"{describe(error.errors())}; send {SHAPE}.") from error
    strokes = [np.array(stroke) for stroke in request.strokes if stroke]
    if not strokes:
        raise InvalidRequest(f"There is no point in the strokes; send {SHAPE}.")
    if len(strokes) > MOST_STROKES or sum(map(len, strokes)) > MOST_POINTS:
        raise _too_much()
    return strokes, request.width


def _too_much() -> InvalidRequest:
    return InvalidRequest(f"There are more than {MOST_STROKES:,} strokes or {MOST_POINTS:,} points; send fewer.")


def draw(strokes: Sequence[Points], width: float | None = None) -> Drawing:
    """Black ink on white paper, as large as it is read well, whatever the unit of the points.

    width: of the pen, in that unit; by default, MNIST's.
    """
    points = np.concatenate(strokes)
    low, high = points.min(axis=0), points.max(axis=0)
    size = float(np.quantile([np.ptp(stroke, axis=0).max() for stroke in strokes], LARGE))
    longer = float((high - low).max())
    least, tiny = longer * SIZE / MOST_SIDE, float(np.finfo(np.float32).tiny)  # a smaller size would take a larger paper
    size = max(size, least)
    if size <= max(np.abs(points).max() * np.finfo(np.float32).eps, tiny):  # a dot
        size = max(width or 1.0, least, tiny)
    scale = SIZE / size
    pen = min(max((width or PEN * size) * scale, LEAST_PEN), MOST_PEN)
    margin = MARGIN + pen / 2
    across, down = np.ceil((high - low) * scale + 2 * margin).astype(int).tolist()
    paper = np.full((down, across), 255, np.uint8)
    for stroke in strokes:
        _draw_stroke(paper, (stroke - low) * scale + margin, pen)
    return Drawing(np.asarray(cv2.cvtColor(paper, cv2.COLOR_GRAY2RGB), np.uint8), scale, low - margin / scale)


def _draw_stroke(paper: NDArray[np.uint8], stroke: Points, pen: float) -> None:
    """Draws a stroke, whose points are pixels; of one point, a dot."""
    path = np.round(stroke * 2**SHIFT).astype(np.int32)
    x, y = path[0].tolist()
    cv2.circle(paper, (x, y), round(pen / 2 * 2**SHIFT), 0, cv2.FILLED, cv2.LINE_AA, SHIFT)
    cv2.polylines(paper, [path], False, 0, round(pen), cv2.LINE_AA, SHIFT)
