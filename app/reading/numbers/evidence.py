"""How likely each candidate is a digit, and which one, from what was seen there and around it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.reading.find.finder import Floats
from app.reading.infer.record import StringWeights
from app.reading.numbers.candidates import Candidates

Reals = NDArray[np.float64]

SURE = 1e-3  # scores are kept so far from 0 and 1
MOST_ENERGY = 8.0  # a higher energy says no more
MOST_APART = 1.2  # in logarithms of the height: a larger difference says no more
LEVEL = 0.5  # of the higher digit: centres no further apart, across the line, are on one level
ENOUGH = 3.0  # digits: more say no more
REACH = 4.0  # heights: digits so far away count e times less for the usual height

FEATURES = ("first", "second", "energy", "height", "lowness", "level", "others", "mark", "one")


@dataclass(frozen=True)
class Evidence:
    """chances: (K,), the log odds that each candidate is a digit; labels: (K, 10), the log probabilities of its digit."""

    chances: Reals
    labels: Reals


def weigh(candidates: Candidates, weights: StringWeights) -> Evidence:
    """The evidence for each candidate."""
    chances = describe(candidates) @ np.array(weights.features[:-1]) + weights.features[-1]
    own = np.log(np.maximum(candidates.scores.probabilities, 1e-6))
    labels = weights.classifier * own + weights.finder * np.log(np.maximum(candidates.labels, SURE))
    labels -= labels.max(axis=1, keepdims=True)
    labels -= np.log(np.exp(labels).sum(axis=1, keepdims=True))
    return Evidence(chances, labels)


def describe(candidates: Candidates) -> Reals:
    """The features of each candidate, (K, FEATURES)."""
    if not len(candidates):
        return np.zeros((0, len(FEATURES)))
    first, second, mark = (log_odds(each) for each in (candidates.first, candidates.second, candidates.marks.max(axis=1)))
    energy = np.clip(candidates.scores.energy, -MOST_ENERGY, MOST_ENERGY)
    one = candidates.scores.probabilities[:, 1]  # what a stroke of a frame or a letter is read as
    rough = 1 / (1 + np.exp(1 - first - second - energy / 2))
    apart, level, others = _surroundings(candidates.areas.astype(np.float64), rough)
    return np.stack(
        [first, second, energy, np.square(apart), np.square(np.minimum(apart, 0)), level, others, mark, one], axis=1
    )


def _surroundings(areas: Reals, rough: Reals) -> tuple[Reals, Reals, Reals]:
    """How each candidate, (K,), lies among the others.

    How far its height's logarithm is from that of its neighbours; how many others are on its level; how many there are.
    """
    x, y, _, heights = areas.T
    higher = np.maximum(heights[:, np.newaxis], heights)
    across, down = np.abs(x[:, np.newaxis] - x) / higher, np.abs(y[:, np.newaxis] - y) / higher
    others = 1 - np.eye(len(areas))
    near = np.exp(-np.hypot(across, down) / REACH) * rough * heights * others + 1e-6 * np.eye(len(areas))
    usual = near @ np.log(heights) / near.sum(axis=1)
    apart = np.clip(np.log(heights) - usual, -MOST_APART, MOST_APART)
    level = ((down < LEVEL) * others) @ rough
    return apart, np.minimum(level, ENOUGH) / ENOUGH, np.minimum(rough.sum() - rough, ENOUGH) / ENOUGH


def log_odds(scores: Floats) -> Reals:
    """The log odds of scores in 0..1."""
    clipped = np.clip(scores.astype(np.float64), SURE, 1 - SURE)
    odds: Reals = np.log(clipped / (1 - clipped))
    return odds
