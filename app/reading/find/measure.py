"""Measures a digit: stroke width, edge width, slant."""

from dataclasses import dataclass
from math import atan2, degrees

import cv2
import numpy as np
from numpy.typing import NDArray

Levels = NDArray[np.uint8]  # (h, w) grey levels of ink, 255 where a stroke is full
Mask = NDArray[np.uint8]  # (H, W) of 0 and 1

HALF, NEARLY_FULL = 128, 204  # of 255: between them, the inner part of an edge, which lies within the stroke


@dataclass(frozen=True)
class Measurements:
    """What was measured on a digit, for warnings and for watching how pictures change over time.

    contrast: of its edges, 0 to 1; stroke_width, edge_width: over its longer side, edge_width from ground to full ink;
    strokes: how many parts do not touch; slant: degrees from upright, to the right above 0.
    """

    contrast: float
    stroke_width: float
    edge_width: float
    strokes: int
    slant: float


def edge_width(levels: Levels) -> float:
    """How many pixels lie between ground and full ink, on the mean: the area of the edges' inner part over their length.

    The edge's width is what Marziliano et al. measure blur by (A no-reference perceptual blur metric, ICIP 2002).
    """
    inner = at_least(HALF, levels)
    length = outline(inner)
    between = cv2.countNonZero(inner) - cv2.countNonZero(at_least(NEARLY_FULL, levels))
    return between / length * 255 / (NEARLY_FULL - HALF) if length else 0.0


def slant(levels: Levels) -> float:
    """How far a digit (h, w) leans to the right, in degrees: the shear that would make its second moment μ11 vanish.

    Source: deslanting as in LeCun, Bottou, Bengio, Haffner, Gradient-based learning applied to document recognition (1998).
    """
    moments = cv2.moments(levels)
    return degrees(atan2(-moments["mu11"], moments["mu02"]))


def at_least(level: int, levels: Levels) -> Levels:
    """Where levels (h, w) are no lower: 255 there, 0 elsewhere."""
    _, mask = cv2.threshold(levels, level - 1, 255, cv2.THRESH_BINARY)
    return np.asarray(mask, np.uint8)


def stroke_width(mask: Mask) -> float:
    """Mean width of the strokes of a mask (H, W), 0 where there is no ink, in pixels: twice the area over the outline."""
    length = outline(mask)
    return 2 * cv2.countNonZero(mask) / length if length else 0.0


def outline(mask: Mask) -> float:
    """Length of the outline of a mask (H, W), 0 where there is no ink, in pixels.

    The count of edges between ink and ground times π/4, Crofton's mean over directions.
    Source: Serra, Image Analysis and Mathematical Morphology (1982), ch. IV.
    """
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    edges = cv2.countNonZero(cv2.absdiff(padded[1:], padded[:-1]))
    edges += cv2.countNonZero(cv2.absdiff(padded[:, 1:], padded[:, :-1]))
    return edges * np.pi / 4
