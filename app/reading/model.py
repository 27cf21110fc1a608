"""A version of the model: finder and classifier, which are loaded, proven and exchanged as one."""

import logging
from dataclasses import dataclass

import numpy as np

from app.errors import NoDigitFound, StartupError
from app.reading.decode.picture import Picture
from app.reading.find.finder import Finder
from app.reading.find.steps import find_digits
from app.reading.infer.classifier import DigitClassifier
from app.reading.infer.record import ModelMetadata, ModelRecord
from app.reading.infer.store import Golden, StoredModel
from app.reading.onnx_session import EXACT, CudaOptions, CudaPrecision, Provider

logger = logging.getLogger(__name__)

BOX_TOLERANCE = 0.1  # of the longer side of a golden picture's box
CPU_TOLERANCE = 0.3  # of a golden picture's logit: a pixel of the glyph may be rounded otherwise, and logits go from -20 to 20
CUDA_TOLERANCE: dict[CudaPrecision, float] = {"float32": 0.3, "tf32": 1.0, "float16": 1.0}


@dataclass(frozen=True)
class DigitModel:
    """Finds digits in pictures and classifies their glyphs. Safe to call from several threads."""

    finder: Finder
    classifier: DigitClassifier

    @classmethod
    def load(cls, stored: StoredModel, provider: Provider, threads: int, cuda: CudaOptions = EXACT) -> "DigitModel":
        """Opens both networks and checks them against their golden glyphs and pictures.

        Raises:
            StartupError: onnxruntime is not usable, CUDA is required but not available, or the model is damaged, was made
                for another preprocessing, or does not answer what it did when it was published.
        """
        classifier = DigitClassifier.load(stored, provider, threads, cuda)
        model = cls(Finder.load(stored.read_edition("finder"), stored.title, provider, threads, cuda), classifier)
        model._prove(stored.read_golden(), CUDA_TOLERANCE[cuda.precision] if model.provider == "cuda" else CPU_TOLERANCE)
        logger.info("model %s ready on %s", stored.title, model.provider)
        return model

    @property
    def record(self) -> ModelRecord:
        """The record of the version."""
        return self.classifier.record

    @property
    def metadata(self) -> ModelMetadata:
        """How glyphs are fed to the classifier, and how its logits are read."""
        return self.classifier.metadata

    @property
    def provider(self) -> str:
        """What both networks really run on: cpu, or cuda if both do."""
        return "cuda" if {self.finder.provider, self.classifier.provider} == {"cuda"} else "cpu"

    def _prove(self, golden: Golden, tolerance: float) -> None:
        title = f"{self.record.name}/{self.record.version}"
        for number, (pixels, answer) in enumerate(zip(golden.pictures, golden.answers, strict=True)):
            try:
                (steps,) = find_digits(self.finder, Picture(pixels, pixels.shape[1], pixels.shape[0]))
            except NoDigitFound as error:
                raise StartupError(
                    f"Model {title} on {self.provider}: golden picture {number} has no digit any more."
                ) from error
            logits = self.classifier.infer(steps.glyph.pixels[np.newaxis])
            box = steps.glyph.box
            apart = np.abs(np.array([box.x, box.y, box.width, box.height]) - answer[:4]).max() / answer[2:4].max()
            differs = np.abs(np.append(logits.digits[0], logits.no_digit) - answer[4:]).max()
            if not (apart <= BOX_TOLERANCE and differs <= tolerance):
                raise StartupError(
                    f"Model {title} on {self.provider}: golden picture {number} is read otherwise than when it was published: "
                    f"its box is {apart:.1%} of its side apart, its logits {differs:.2g}; {BOX_TOLERANCE:.0%} and "
                    f"{tolerance:.2g} are allowed."
                )
