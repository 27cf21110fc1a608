"""Composites a transparent picture on a ground that keeps its strokes visible."""

import cv2
import numpy as np
from numpy.typing import NDArray

OPAQUE = 128  # alpha from which a pixel counts as painted
PAPER_SPREAD = (
    64  # grey levels between the 5th and 95th percentile of painted pixels, from which both ink and paper are painted
)
DARK, LIGHT = 96, 160  # grey levels of paint: at most, and at least
TRACE = 3  # pixels of dark and of light paint from which both are there
PAPER_SHARE = 0.5  # of the canvas; strokes alone cover less
SAMPLE = 2_000  # pixels; enough to find the colour of a ground
LUMA = np.array([0.299, 0.587, 0.114])  # of red, green and blue (ITU-R BT.601)


def composite(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Composites a transparent picture (H, W, 4) on a ground that shows its strokes: (H, W, 3). Opaque (H, W, 3) is unchanged.

    If paper was painted too, the ground continues the paper. If only strokes were painted, the ground is black or white,
    whichever is further from them. Where light paint and dark are there, it is white, as the page that people draw on: what was
    erased with a white pen stays invisible.
    """
    if rgba.shape[2] == 3:
        return rgba
    alpha = cv2.extractChannel(rgba, 3)
    if alpha.min() == 255:
        return np.asarray(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB), np.uint8)
    x, y, width, height = cv2.boundingRect(alpha)
    if not width:
        return np.full((*alpha.shape, 3), 255, np.uint8)
    there = slice(y, y + height), slice(x, x + width)  # most of a canvas is empty and is skipped below
    weight = np.ascontiguousarray(alpha[there], np.uint8)
    colours = np.asarray(cv2.cvtColor(rgba[there], cv2.COLOR_RGBA2RGB), np.uint8)
    solid = weight >= OPAQUE if weight.max() >= OPAQUE else weight > 0
    ground = _ground(colours, solid, share=np.count_nonzero(solid) / alpha.size)
    shown = np.full(
        (*alpha.shape, 3), 255 if ground.min() == 255 else ground, np.uint8
    )  # filling with a single level is far cheaper
    shown[there] = _blend(colours, weight, ground)
    return shown


def _blend(colours: NDArray[np.uint8], alpha: NDArray[np.uint8], ground: NDArray[np.uint8]) -> cv2.typing.MatLike:
    """Blends colours (H, W, 3) with a ground (3,): ground + (colour - ground) alpha / 255, rounded, in uint8 throughout."""
    weight = cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB)
    if ground.min() == 255:  # nothing is lighter
        return cv2.bitwise_not(cv2.multiply(cv2.bitwise_not(colours), weight, scale=1 / 255))
    level = np.array((*ground, 0), np.float64)
    lighter = cv2.multiply(cv2.subtract(colours, level), weight, scale=1 / 255)
    darker = cv2.multiply(cv2.subtract(level, colours), weight, scale=1 / 255)
    return cv2.subtract(cv2.add(lighter, level), darker)


def _ground(colours: NDArray[np.uint8], solid: NDArray[np.bool_], share: float) -> NDArray[np.uint8]:
    """The ground colour (3,) for colours (H, W, 3). share: of the whole picture that the solid ones cover."""
    if share >= PAPER_SHARE:
        step = 1 + np.count_nonzero(solid) // SAMPLE
        painted = colours.reshape(-1, 3)[::step][solid.ravel()[::step]]
        if not len(painted):  # a pattern that every step misses
            painted = colours[solid]
        grey = np.sort(painted @ LUMA)
        dark, light = grey[len(grey) * 5 // 100], grey[-1 - len(grey) * 5 // 100]
        if light - dark >= PAPER_SPREAD:
            return np.asarray(np.median(painted, axis=0), np.uint8)
    mean = cv2.mean(colours, solid.view(np.uint8))[:3]
    return np.full(3, 255 if mean @ LUMA < 128 or _has_light_and_dark(colours, solid) else 0, np.uint8)


def _has_light_and_dark(colours: NDArray[np.uint8], solid: NDArray[np.bool_]) -> bool:
    """Whether both were painted, as where a dark drawing was erased with a white pen."""
    grey, mask = cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY), solid.view(np.uint8)
    counts = cv2.calcHist([grey], [0], mask, [256], [0, 256]).ravel()
    return bool(counts[: DARK + 1].sum() >= TRACE and counts[LIGHT:].sum() >= TRACE)
