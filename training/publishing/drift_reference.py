"""What pictures are like that a model was made for, and what it answers to them: the reference that drift is told by.

validation digits -> made photos and drawings -> what the service finds and answers -> shares, means and deviations
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from app.errors import RequestError
from app.reading.answer import Prediction
from app.reading.decode import opencv
from app.reading.find.measure import Measurements
from app.reading.infer.record import MEASURES, Reference
from app.reading.infer.store import REFERENCE, StoredModel
from app.reading.model import DigitModel
from app.reading.reader import Reader
from app.reading.trace import Trace
from training.data.made_photos import Scene, draw_chance, from_mnist, take
from training.data.mnist import CLASSES, Split
from training.files import write_text

PICTURES = 1_000
SEED = 0
DECIMALS = 3
CANVAS_SHARE = 0.4  # of the pictures; the others are photos
LINED = 0.3  # share of photos on ruled paper
PENS = (0.03, 0.22)  # width of the thinnest and the thickest pen, over the digit's longer side


def write_reference(model: StoredModel, validation: Split) -> None:
    """Writes reference.json into a version's folder; none where it finds no digit in any of the pictures."""
    reference = measure_reference(model, validation)
    if reference:
        write_text(model.folder / REFERENCE, reference.model_dump_json(indent=2) + "\n")


def measure_reference(model: StoredModel, validation: Split) -> Reference | None:
    """The same pictures for every model, as this one reads them; those in which it finds no digit do not count."""
    reader = Reader(DigitModel.load(model, "cpu", 1))
    results = list(_read(reader, take_pictures(validation)))
    if not results:
        return None
    values = {name: [getattr(measured, name) for _, measured in results] for name in MEASURES}
    digits = np.bincount([prediction.digit for prediction, _ in results], minlength=CLASSES) / len(results)
    return Reference(
        pictures=len(results),
        digits=digits.round(DECIMALS).tolist(),
        rejected=round(sum(not prediction.accepted for prediction, _ in results) / len(results), DECIMALS),
        means={name: round(float(np.mean(each)), DECIMALS) for name, each in values.items()},
        deviations={name: round(float(np.std(each)), DECIMALS) for name, each in values.items()},
    )


def _read(reader: Reader, pictures: Iterator[bytes]) -> Iterator[tuple[Prediction, Measurements]]:
    for data in pictures:
        trace = Trace()
        try:
            prediction = reader.read(data, trace=trace)
        except RequestError:
            continue
        if trace.steps:
            yield prediction, trace.steps.glyph.measurements


def take_pictures(validation: Split) -> Iterator[bytes]:
    """Photos and drawings of the first validation digits, at most PICTURES of them: always the same."""
    opencv.tune()  # with IPP, OpenCV's last bits differ
    rng = np.random.default_rng(SEED)
    for image, label in zip(validation.images[:PICTURES].numpy(), validation.labels[:PICTURES].tolist(), strict=True):
        scene = draw_scene(rng)
        yield take(from_mnist(image, label), scene, draw_chance(rng))


def draw_scene(rng: np.random.Generator) -> Scene:
    """An ordinary photo or drawing: as training's, without what is hard to read."""
    written = Scene(side=rng.uniform(0.3, 0.9), tilt=rng.uniform(0, 10), off_centre=rng.uniform(0, 0.6))
    if rng.random() < CANVAS_SHARE:
        return replace(written, pen=float(np.exp(rng.uniform(*np.log(PENS)))), canvas=True)
    return replace(
        written,
        opacity=rng.uniform(0.6, 1),
        rules=rng.uniform(0.08, 0.3) if rng.random() < LINED else None,
        rule_opacity=rng.uniform(0.1, 0.5),
        light_lost=rng.uniform(0, 0.5),
        blur=rng.uniform(0.3, 1.2),
        noise=float(np.exp(rng.uniform(0, 2))),
        quality=int(rng.integers(50, 96)),
    )
