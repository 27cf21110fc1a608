"""Checks whether OpenVINO gives the service's numbers: ``python -m benchmarks.cost.openvino_agreement``, or `make openvino`.

Both editions of the classifier of every stored version, in batches of 1 and of 64, on 500 of MNIST's test digits and on noise.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray

from app.reading.infer.classifier import DigitClassifier
from app.reading.infer.record import ENERGY, GLYPH, INPUT, LOGITS, NO_DIGIT, PROBABILITIES, Edition
from app.reading.infer.store import find_model, versions
from app.settings import Settings

BATCHES = (1, 64)
NOISE = 500  # glyphs of which every pixel is random
EXCERPT = Path(__file__).parents[2] / "tests" / "mnist_excerpt.npz"
CLASSIFIERS: tuple[Edition, ...] = ("float32", "uint8")
PRECISION = {"INFERENCE_PRECISION_HINT": "f32"}  # OpenVINO takes bfloat16 by itself where the CPU has it

Glyphs = NDArray[np.uint8]
Arrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Agreement:
    """How far OpenVINO is from the service: the largest differences, and how many glyphs it reads as another digit."""

    title: str
    glyphs: str
    batch: int
    logit: float
    probability: float
    energy: float
    other: int


def compare_all(settings: Settings) -> Iterator[Agreement]:
    """Every stored version on every kind of glyphs."""
    with np.load(EXCERPT) as excerpt:
        digits: Glyphs = excerpt["images"]
    kinds = {"MNIST": digits, "noise": np.random.default_rng(0).integers(0, 256, (NOISE, 28, 28), np.uint8)}
    for version in versions(settings.model_store, settings.model_name):
        for kind, glyphs in kinds.items():
            for batch in BATCHES:
                yield compare(settings, version, kind, glyphs, batch)


def compare(settings: Settings, version: str, kind: str, glyphs: Glyphs, batch: int) -> Agreement:
    """One version on glyphs (N, 28, 28)."""
    stored = find_model(settings.model_store, settings.model_name, version)
    served = DigitClassifier.load(stored, "cpu", 1)
    core = openvino.Core()
    float32, uint8 = (core.compile_model(stored.path(edition), "CPU", PRECISION) for edition in CLASSIFIERS)
    tensors = served.preprocess(glyphs)
    logits, none = _run(lambda rows: float32({INPUT: rows}), tensors, batch, (LOGITS, NO_DIGIT))
    probabilities, energy = _run(lambda rows: uint8({GLYPH: rows}), glyphs, batch, (PROBABILITIES, ENERGY))
    wanted = served.run(tensors)
    expected = served.judge(wanted)
    return Agreement(
        title=stored.title,
        glyphs=kind,
        batch=batch,
        logit=max(float(np.abs(logits - wanted.digits).max()), float(np.abs(none[:, 0] - wanted.no_digit).max())),
        probability=float(np.abs(probabilities - expected.probabilities).max()),
        energy=float(np.abs(energy - expected.energy).max()),
        other=int((probabilities.argmax(axis=1) != expected.probabilities.argmax(axis=1)).sum()),
    )


def _run(
    model: Callable[[NDArray[np.generic]], Arrays], rows: NDArray[np.generic], batch: int, names: tuple[str, ...]
) -> list[NDArray[np.float32]]:
    answers = [model(rows[at : at + batch]) for at in range(0, len(rows), batch)]
    return [np.concatenate([np.array(answer[name]) for answer in answers]) for name in names]


def run() -> None:
    """Prints the table; a glyph read as another digit is an error."""
    print(f"OpenVINO {openvino.__version__}\n")  # noqa: T201
    print("| model | glyphs | batch | logit | probability | energy | other digits |\n|---|---|---|---|---|---|---|")  # noqa: T201
    agreements = list(compare_all(Settings()))
    for one in agreements:
        figures = f"{one.logit:.1e} | {one.probability:.1e} | {one.energy:.1e} | {one.other}"
        print(f"| {one.title} | {one.glyphs} | {one.batch} | {figures} |")  # noqa: T201
    if any(one.other for one in agreements):
        raise SystemExit("OpenVINO reads some glyphs as other digits.")


if __name__ == "__main__":
    run()
