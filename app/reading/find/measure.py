"""Measures a digit: stroke width, edge width and slant."""

from dataclasses import dataclass
from math import atan2, degrees

import cv2
import numpy as np
from numpy.typing import NDArray

Levels = NDArray[np.uint8]  # (h, w) grey levels of ink, 255 for full ink
Mask = NDArray[np.uint8]  # (H, W) of 0 and 1

HALF, NEARLY_FULL = 128, 204  # of 255; between them is the inner part of an edge, which lies within the stroke


@dataclass(frozen=True)
class Measurements:
    """Measurements of a digit, for warnings and for detecting drift.

    contrast: of its edges, 0 to 1; stroke_width, edge_width: over its longer side, edge_width from ground to full ink;
    strokes: the number of separate parts; slant: degrees from upright, positive to the right.
    """

    contrast: float
    stroke_width: float
    edge_width: float
    strokes: int
    slant: float


def edge_width(levels: Levels) -> float:
    """Mean number of pixels between ground and full ink: the area of the inner part of the edges over their length.

    Source: Marziliano et al. measure blur by edge width (A no-reference perceptual blur metric, ICIP 2002).
    """
    inner = at_least(HALF, levels)
    length = outline(inner)
    between = cv2.countNonZero(inner) - cv2.countNonZero(at_least(NEARLY_FULL, levels))
    return between / length * 255 / (NEARLY_FULL - HALF) if length else 0.0


def slant(levels: Levels) -> float:
    """The lean of a digit (h, w) to the right, in degrees: the shear that makes its second moment μ11 vanish.

    Source: deslanting as in LeCun, Bottou, Bengio, Haffner, Gradient-based learning applied to document recognition (1998).
    """
    moments = cv2.moments(levels)
    return degrees(atan2(-moments["mu11"], moments["mu02"]))


def at_least(level: int, levels: Levels) -> Levels:
    """A mask (h, w): 255 where levels are at least this high, 0 elsewhere."""
    _, mask = cv2.threshold(levels, level - 1, 255, cv2.THRESH_BINARY)
    return np.asarray(mask, np.uint8)


def stroke_width(mask: Mask) -> float:
    """Mean stroke width of a mask (H, W), in pixels: twice the area over the outline; 0 without ink."""
    length = outline(mask)
    return 2 * cv2.countNonZero(mask) / length if length else 0.0


def outline(mask: Mask) -> float:
    """Length of the outline of a mask (H, W), in pixels; 0 without ink.

    The count of edges between ink and ground times π/4, Crofton's mean over directions.
    Source: Serra, Image Analysis and Mathematical Morphology (1982), ch. IV.
    """
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    edges = cv2.countNonZero(cv2.absdiff(padded[1:], padded[:-1]))
    edges += cv2.countNonZero(cv2.absdiff(padded[:, 1:], padded[:, :-1]))
    return edges * np.pi / 4
