"""A loaded classifier: glyphs in, probabilities of the ten digits out, and the odds of a digit at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from app.errors import StartupError
from app.reading.infer import preprocess
from app.reading.infer.record import LOGITS, NO_DIGIT, Edition, ModelMetadata, ModelRecord, Reference
from app.reading.infer.store import StoredModel
from app.reading.onnx_session import EXACT, CudaOptions, CudaPrecision, Network, Provider, open_session, output_names

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

LABELS = list("0123456789")
CPU_TOLERANCE = 1e-3  # of a golden logit: other kernels sum in another order
CUDA_TOLERANCE: dict[CudaPrecision, float] = {"float32": 1e-2, "tf32": 0.1, "float16": 0.1}  # and CUDA may shorten the factors


class Logits(NamedTuple):
    """What the network answers. digits: (N, 10); no_digit: (N,)."""

    digits: NDArray[np.float32]
    no_digit: NDArray[np.float32]


@dataclass(frozen=True)
class Scores:
    """probabilities: (N, 10), calibrated, each row summing to 1; energy: (N,), the log odds of a digit against none."""

    probabilities: NDArray[np.float64]
    energy: NDArray[np.float64]


class DigitClassifier:
    """Glyphs in, probabilities out. Safe to call from several threads: onnxruntime's run is."""

    def __init__(
        self,
        session: "InferenceSession",
        record: ModelRecord,
        metadata: ModelMetadata,
        batch_sizes: Sequence[int] = (),
    ) -> None:
        """batch_sizes: sizes that batches are padded to on CUDA; empty for any size."""
        self._network = Network(session, (LOGITS, NO_DIGIT), np.zeros((1, 28, 28), np.float32), batch_sizes)
        self.record = record
        self.metadata = metadata
        self.editions: Mapping[Edition, bytes] = {}  # the published ONNX files, checked, for download
        self.reference: Reference | None = None  # recent pictures are compared with it
        self.provider = self._network.provider

    @classmethod
    def load(cls, model: StoredModel, provider: Provider, threads: int, cuda: CudaOptions = EXACT) -> "DigitClassifier":
        """Opens the classifier and checks it against its golden glyphs.

        Raises:
            StartupError: onnxruntime is not usable, CUDA is required but not available, or the model is damaged, was made
                for another preprocessing, or does not compute what it did when it was published.
        """
        editions = model.read_editions()
        session = open_session(editions["float32"], model.title, provider, threads, cuda.precision)
        metadata = _read_metadata(model, session)
        classifier = cls(session, model.record, metadata, cuda.batch_sizes)
        classifier.editions, classifier.reference = editions, model.read_reference()
        classifier._prove(model, CUDA_TOLERANCE[cuda.precision] if classifier.provider == "cuda" else CPU_TOLERANCE)
        return classifier

    def infer(self, glyphs: NDArray[np.uint8]) -> Logits:
        """The logits of glyphs (N, 28, 28)."""
        return self.run(self.preprocess(glyphs))

    def preprocess(self, glyphs: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Tensors (N, 1, 28, 28) of glyphs (N, 28, 28), normalised for this model."""
        return preprocess.preprocess(glyphs, self.metadata.mean, self.metadata.std)

    def run(self, tensors: NDArray[np.float32]) -> Logits:
        """The logits of tensors (N, 1, 28, 28)."""
        digits, no_digit = self._network.run(tensors)
        return Logits(digits, no_digit[:, 0])

    def predict(self, glyphs: NDArray[np.uint8]) -> Scores:
        """Scores of glyphs (N, 28, 28)."""
        return self.judge(self.infer(glyphs))

    def judge(self, logits: Logits) -> Scores:
        """Scores of logits of this model."""
        return Scores(softmax(logits.digits / self.metadata.temperature), energy(logits))

    def _prove(self, model: StoredModel, tolerance: float) -> None:
        golden = model.read_golden()
        logits = self.infer(golden.glyphs)
        apart = max(float(np.abs(logits.digits - golden.logits).max()), float(np.abs(logits.no_digit - golden.no_digit).max()))
        if not apart <= tolerance:
            raise StartupError(
                f"Model {model.title} on {self.provider}: logits differ by {apart:.2g} from its golden vectors; "
                f"rounding explains at most {tolerance:.2g}."
            )


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities along the last axis, in float64, shifted by the maximum so that nothing overflows."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    result: NDArray[np.float64] = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


def energy(logits: Logits) -> NDArray[np.float64]:
    """The log odds of a digit against none, (N,): the log-sum-exp of the digits' logits less the logit of no digit.

    Source: Liu et al. 2020, Energy-based Out-of-distribution Detection, arXiv:2010.03759; there without a class of its own.
    """
    highest = logits.digits.max(axis=-1, keepdims=True).astype(np.float64)
    score: NDArray[np.float64] = highest[..., 0] + np.log(np.exp(logits.digits - highest).sum(axis=-1)) - logits.no_digit
    return score


def _read_metadata(model: StoredModel, session: "InferenceSession") -> ModelMetadata:
    if missing := {LOGITS, NO_DIGIT} - output_names(session):
        raise StartupError(f"Model {model.title}: its classifier does not have the outputs {', '.join(sorted(missing))}.")
    try:
        metadata = ModelMetadata.from_properties(session.get_modelmeta().custom_metadata_map)
    except (ValidationError, ValueError) as error:
        raise StartupError(f"Model {model.title}: its ONNX metadata is incomplete: {error}") from error
    if metadata.preprocessing != preprocess.VERSION:
        raise StartupError(
            f"Model {model.title} was made for preprocessing {metadata.preprocessing!r}; "
            f"this service uses {preprocess.VERSION!r}."
        )
    if metadata.labels != LABELS or metadata.input_layout != preprocess.LAYOUT:
        raise StartupError(
            f"Model {model.title} has the labels {metadata.labels} and the layout {metadata.input_layout}; "
            f"this service reads the digits 0 to 9 from {preprocess.LAYOUT}."
        )
    return metadata
