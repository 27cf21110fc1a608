"""Fits how strings of digits are weighed, and what their confidence means, on made scenes by validation's hands.

scenes ─► candidates of a version's reader ─► weights of the evidence ─► strings of other scenes ─► confidence, acceptance
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import exp, log

import numpy as np
from numpy.typing import NDArray

from app.reading.decode.picture import Picture
from app.reading.infer.record import StringWeights
from app.reading.infer.store import RECORD, StoredModel
from app.reading.model import DigitModel
from app.reading.numbers.candidates import Candidates, find_candidates, look_at_pages
from app.reading.numbers.evidence import describe, weigh
from app.reading.numbers.read import MOST, SURE, confidence
from app.reading.numbers.reading_order import group
from app.reading.numbers.strings import combine, find_stretches, read_stretch
from training.data.compose import Scene, make_scene
from training.data.hands import Hands
from training.data.unipen import SPLITS
from training.files import write_text
from training.publishing.card import card
from training.publishing.publish import CARD

Reals = NDArray[np.float64]

KINDS = {"row": 0.55, "page": 0.2, "grid": 0.1, "photo": 0.08, "canvas": 0.07}  # shares of the scenes that are fitted to
SIDES = (240, 1000)  # pixels of a scene's longer side, spread evenly in their logarithm
EASY = 0.85  # share of them with few disturbances: a confidence speaks of pictures that people take, most of which are good
FIRST = 500_000  # number of the first scene, far from those that are trained on and judged by
SAME, OTHER = 0.5, 0.3  # intersection over union with a true digit from which on a candidate is one, and below which it is not
RIDGE = 1e-3  # weight of the squared weights
STEPS = 50  # of Newton's method; it needs about ten
SHARES = (0.2, 0.35, 0.5, 0.7, 0.85, 1.0, 1.2, 1.4, 1.7)  # weights of the two opinions on a label that are tried
RISK = 0.15  # share of the accepted strings of made scenes that may be wrong; people send easier ones, of which far fewer are


@dataclass(frozen=True)
class Sample:
    """A scene as it was seen: candidates, and the true digits in reading order, with their boxes (T, 4), as Area."""

    candidates: Candidates
    labels: tuple[int, ...]
    boxes: NDArray[np.float32]


def make_scenes(hands: Hands, count: int, split: str = "validation") -> Iterator[Scene]:
    """Upright scenes with rows, pages and single digits of many sizes."""
    for number in range(FIRST, FIRST + count):
        seed = number * len(SPLITS) + SPLITS.index(split)
        rng = np.random.default_rng((seed, 3))
        kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
        side = round(exp(rng.uniform(log(SIDES[0]), log(SIDES[1]))))
        scene = make_scene(seed, hands, frozenset((kind,)), side=side, easy=EASY)
        if not scene.turn:
            yield scene


def see(model: DigitModel, scene: Scene) -> Sample:
    """A scene as the reader sees it."""
    height, width = scene.pixels.shape[:2]
    pages = look_at_pages(model.finder, scene.pixels, _no_pause)
    candidates = find_candidates(model, Picture(scene.pixels, width, height), pages, MOST, _no_pause)
    return Sample(candidates, *in_order(scene))


def in_order(scene: Scene) -> tuple[tuple[int, ...], NDArray[np.float32]]:
    """The labels of a scene's digits in reading order, and their boxes (T, 4), as Area."""
    boxes = np.array([(x + w / 2, y + h / 2, w, h) for x, y, w, h in (each.box for each in scene.digits)], np.float32)
    order = [index for line in group(boxes.reshape(-1, 4)) for index in line]
    return tuple(scene.digits[index].label for index in order), boxes.reshape(-1, 4)[order]


def _no_pause() -> None:
    """Nobody waits."""


def fit(samples: Sequence[Sample]) -> StringWeights:
    """The weights of the evidence by every other sample, and the confidence of strings by the rest."""
    weights = _fit_evidence(samples[::2])
    return _fit_confidence(samples[1::2], weights)


def _fit_evidence(samples: Sequence[Sample]) -> StringWeights:
    features, there, own, finders, labels = [], [], [], [], []
    for sample in samples:
        described = describe(sample.candidates)
        overlap = _overlap(sample.candidates.areas, sample.boxes)
        best = overlap.max(axis=1, initial=0)
        kept = (best >= SAME) | (best < OTHER)
        features.append(described[kept])
        there.append(best[kept] >= SAME)
        for index in np.flatnonzero(best >= SAME):
            labels.append(sample.labels[int(overlap[index].argmax())])
            own.append(np.log(np.maximum(sample.candidates.scores.probabilities[index], 1e-6)))
            finders.append(np.log(np.maximum(sample.candidates.labels[index], 1e-3)))
    fitted = _logistic(np.concatenate(features), np.concatenate(there).astype(np.float64))
    own_share, finder_share = _fit_labels(np.array(own), np.array(finders), np.array(labels))
    return StringWeights(features=tuple(fitted.round(4).tolist()), classifier=own_share, finder=finder_share)


def _fit_labels(own: Reals, finders: Reals, labels: NDArray[np.int64]) -> tuple[float, float]:
    """The weights of least cross-entropy."""

    def loss(shares: tuple[float, float]) -> float:
        scores = shares[0] * own + shares[1] * finders
        scores -= scores.max(axis=1, keepdims=True)
        return float((np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(len(labels)), labels]).mean())

    return min(((one, other) for one in SHARES for other in SHARES), key=loss)


def _fit_confidence(samples: Sequence[Sample], weights: StringWeights) -> StringWeights:
    read = [each for each in (_read(sample, weights) for sample in samples) if each]
    raw = np.clip([exp(chance) for chance, _, _ in read], SURE, 1 - SURE)
    lengths = np.array([length for _, length, _ in read])
    right = np.array([right for _, _, right in read])
    fitted = _logistic(np.stack([np.log(raw / (1 - raw)), np.log(lengths)], axis=1), right.astype(np.float64))
    slope, length, constant = fitted.round(4).tolist()
    told = weights.model_copy(update={"string": (slope, length, constant)})
    sure = np.array([confidence(chance, length, told) for chance, length, _ in read])
    return told.model_copy(update={"accepted": round(_threshold(sure), 4)})


def _threshold(sure: Reals) -> float:
    """The least confidence from which on RISK of the strings at most are wrong, as the confidences say; 1 without one.

    Few scenes have long strings, and a single wrong one would move a count much; the confidences have three weights for all.
    """
    highest_first = -np.sort(-sure)
    risk = np.cumsum(1 - highest_first) / np.arange(1, len(sure) + 1)
    accepted = np.flatnonzero(risk <= RISK)
    return float(highest_first[accepted[-1]]) if len(accepted) else 1.0


def _read(sample: Sample, weights: StringWeights) -> tuple[float, int, bool] | None:
    """The log of the chance of the likeliest string, its length, and whether it is right; None without a digit."""
    evidence = weigh(sample.candidates, weights)
    areas = sample.candidates.areas
    guesses = combine([read_stretch(each, areas, evidence) for each in find_stretches(areas, evidence.chances)])
    if not guesses or not guesses[0].digits:
        return None
    digits = dict(guesses[0].digits)
    chosen = list(digits)
    text = tuple(digits[chosen[place]] for line in group(areas[chosen]) for place in line)
    return guesses[0].chance, len(text), text == sample.labels


def _overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> Reals:
    """Intersection over union of boxes (N, 4) and (M, 4): (N, M)."""
    low = np.maximum((one[:, :2] - one[:, 2:] / 2)[:, np.newaxis], other[:, :2] - other[:, 2:] / 2)
    high = np.minimum((one[:, :2] + one[:, 2:] / 2)[:, np.newaxis], other[:, :2] + other[:, 2:] / 2)
    both = (high - low).clip(min=0).prod(axis=2)
    shares: Reals = both / (one[:, 2:].prod(axis=1)[:, np.newaxis] + other[:, 2:].prod(axis=1) - both)
    return shares


def _logistic(features: Reals, there: Reals) -> Reals:
    """Weights, and a constant, of least cross-entropy with a small ridge, by Newton's method."""
    rows = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    weights = np.zeros(rows.shape[1])
    for _ in range(STEPS):
        chances = 1 / (1 + np.exp(-(rows @ weights)))
        slope = rows.T @ (chances - there) / len(rows) + RIDGE * weights
        bend = (rows * (chances * (1 - chances))[:, np.newaxis]).T @ rows / len(rows) + RIDGE * np.eye(len(weights))
        weights -= np.linalg.solve(bend, slope)
    return weights


def write(stored: StoredModel, weights: StringWeights) -> None:
    """Notes the weights in a version's record, and in its card."""
    record = stored.record.model_copy(update={"strings": weights})
    write_text(stored.folder / RECORD, record.model_dump_json(indent=2) + "\n")
    write_text(stored.folder / CARD, card(record))


def fit_version(
    stored: StoredModel, hands: Hands, count: int, report: Callable[[int, int], None] = lambda _done, _total: None
) -> StringWeights:
    """Fits a version of the store by so many scenes, and notes the weights in its record. report: scenes so far, and all."""
    model = DigitModel.load(stored, "cpu", 1)
    samples = []
    for number, scene in enumerate(make_scenes(hands, count), start=1):
        samples.append(see(model, scene))
        report(number, count)
    weights = fit(samples)
    write(stored, weights)
    return weights
