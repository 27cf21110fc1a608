"""A sheet of made scenes with their truth drawn in, to compare with real pictures."""

from collections.abc import Sequence

import cv2
import numpy as np

from training.data.compose import Scene
from training.data.dice import Pixels

TILE = 144  # pixels
GAP = 2
COLUMNS = 12
NOWHERE = (255, 0, 255)  # around the pictures
DIGIT, MARK, INK = (0, 200, 0), (40, 60, 255), (255, 60, 0)


def draw_sheet(scenes: Sequence[Scene], columns: int = COLUMNS, *, truth: bool = True) -> Pixels:
    """Draws a grid of scenes, (H, W, 3) uint8: boxes and labels of digits in green, of marks in blue, ink in red if asked."""
    tiles = [_tile(scene, truth=truth) for scene in scenes]
    tiles += [np.full_like(tiles[0], NOWHERE)] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    return np.vstack(rows)


def _tile(scene: Scene, *, truth: bool) -> Pixels:
    height, width = scene.ink.shape
    scale = TILE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = np.asarray(cv2.resize(scene.pixels, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    if truth:
        _mark(picture, scene, scale)
    tile = np.empty((TILE + GAP, TILE + GAP, 3), np.uint8)
    tile[:] = NOWHERE
    tile[: size[1], : size[0]] = picture
    return tile


def _mark(picture: Pixels, scene: Scene, scale: float) -> None:
    size = picture.shape[1::-1]
    contours, _ = cv2.findContours(
        np.asarray(cv2.resize(scene.ink, size) > 127, np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(picture, contours, -1, INK, 1)
    for digit in scene.digits:
        _box(picture, digit.box, scale, DIGIT, str(digit.label))
    for mark in scene.marks:
        _box(picture, mark.box, scale, MARK, mark.kind[0])


def _box(
    picture: Pixels, box: tuple[float, float, float, float], scale: float, colour: tuple[int, int, int], text: str
) -> None:
    x, y, width, height = (round(side * scale) for side in box)
    cv2.rectangle(picture, (x, y), (x + width, y + height), colour, 1)
    cv2.putText(picture, text, (x + 1, max(8, y + 8)), cv2.FONT_HERSHEY_PLAIN, 0.7, colour, 1, cv2.LINE_AA)
