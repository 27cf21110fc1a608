"""A loaded model: one onnxruntime session, on the provider that it actually got."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from app.errors import StartupError
from app.reading.infer import preprocess
from app.reading.infer.cuda import FixedBatches, to_float16
from app.reading.infer.store import Edition, ModelMetadata, ModelRecord, Reference, StoredModel

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

logger = logging.getLogger(__name__)

Provider = Literal["auto", "cpu", "cuda"]
CudaPrecision = Literal["float32", "tf32", "float16"]

LABELS = list("0123456789")
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
CPU_TOLERANCE = 1e-3  # of a golden logit: other kernels sum in another order
CUDA_TOLERANCE: dict[CudaPrecision, float] = {"float32": 1e-2, "tf32": 0.1, "float16": 0.1}  # and CUDA may shorten the factors


@dataclass(frozen=True)
class CudaOptions:
    """How to infer on CUDA. batch_sizes: sizes that batches are padded to, empty for any size; precision: of the products."""

    batch_sizes: tuple[int, ...] = ()
    precision: CudaPrecision = "float32"


@dataclass(frozen=True)
class Scores:
    """probabilities: (N, 10), calibrated, each row summing to 1; energy: (N,), low where a glyph is unlike any digit."""

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
        self._session = session
        self._input = session.get_inputs()[0].name
        self.record = record
        self.metadata = metadata
        self.editions: Mapping[Edition, bytes] = {}  # the published ONNX files, checked, for download
        self.reference: Reference | None = None  # recent pictures are compared with it
        self.provider = "cuda" if session.get_providers()[0] == CUDA else "cpu"
        self._fixed = FixedBatches(session, "cuda", batch_sizes) if batch_sizes and self.provider == "cuda" else None

    @classmethod
    def load(cls, model: StoredModel, provider: Provider, threads: int, cuda: CudaOptions = CudaOptions()) -> "DigitClassifier":
        """Opens the model and checks it against its golden vectors.

        Raises:
            StartupError: onnxruntime is not usable, CUDA is required but not available, or the model is damaged, was made
                for another preprocessing, or does not compute what it did when it was published.
        """
        session = _open_session(model, provider, threads, cuda.precision)
        metadata = _read_metadata(model, session)
        classifier = cls(session, model.record, metadata, cuda.batch_sizes)
        classifier.editions, classifier.reference = model.read_editions(), model.read_reference()
        classifier._prove(model, CUDA_TOLERANCE[cuda.precision] if classifier.provider == "cuda" else CPU_TOLERANCE)
        logger.info("model %s ready on %s", model.title, classifier.provider)
        return classifier

    def infer(self, glyphs: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits (N, 10) of glyphs (N, 28, 28)."""
        return self.run(self.preprocess(glyphs))

    def preprocess(self, glyphs: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Tensors (N, 1, 28, 28) of glyphs (N, 28, 28), normalised for this model."""
        return preprocess.preprocess(glyphs, self.metadata.mean, self.metadata.std)

    def run(self, tensors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (N, 10) of tensors (N, 1, 28, 28)."""
        if self._fixed:
            return self._fixed.run(tensors)
        logits: NDArray[np.float32] = self._session.run(None, {self._input: tensors})[0]
        return logits

    def predict(self, glyphs: NDArray[np.uint8]) -> Scores:
        """Scores of glyphs (N, 28, 28)."""
        return self.judge(self.infer(glyphs))

    def judge(self, logits: NDArray[np.float32]) -> Scores:
        """Scores of logits (N, 10) of this model."""
        return Scores(softmax(logits / self.metadata.temperature), energy(logits))

    def _prove(self, model: StoredModel, tolerance: float) -> None:
        glyphs, expected = model.read_golden()
        if len(glyphs) == 0 or glyphs.shape[1:] != (28, 28) or expected.shape != (len(glyphs), len(LABELS)):
            raise StartupError(
                f"Model {model.title}: its golden vectors have the shapes {glyphs.shape} and {expected.shape}; "
                f"expected (N, 28, 28) and (N, {len(LABELS)})."
            )
        difference = float(np.abs(self.infer(glyphs) - expected).max())
        if not difference <= tolerance:
            raise StartupError(
                f"Model {model.title} on {self.provider}: logits differ by {difference:.2g} from its golden vectors; "
                f"rounding explains at most {tolerance:.2g}."
            )


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities along the last axis, in float64, shifted by the maximum so that nothing overflows."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    result: NDArray[np.float64] = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


def energy(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """The energy score, log-sum-exp of the logits along the last axis: high for what looks like the training data.

    Source: Liu et al. 2020, Energy-based Out-of-distribution Detection, arXiv:2010.03759; there with the sign changed.
    """
    highest = logits.max(axis=-1, keepdims=True).astype(np.float64)
    score: NDArray[np.float64] = highest[..., 0] + np.log(np.exp(logits - highest).sum(axis=-1))
    return score


def load_runtime() -> ModuleType:
    """Imports onnxruntime. Importing it only now turns its absence into a clear message instead of a traceback.

    Turns off its telemetry first, which would write a device id into the home directory at import.

    Raises:
        StartupError: onnxruntime is missing, or two builds are installed, which share one import name and break each other.
    """
    installed = [name for name in ("onnxruntime", "onnxruntime-gpu") if _is_installed(name)]
    if not installed:
        raise StartupError(
            "onnxruntime is not installed. Install Numeral with its extra cpu, in the clone by pip install '.[cpu]', "
            "or with its extra gpu for CUDA."
        )
    if len(installed) > 1:
        raise StartupError(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other. "
            "Uninstall both, then install Numeral with its extra cpu or gpu."
        )
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return import_module("onnxruntime")


def _is_installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def cuda_provider_options(precision: CudaPrecision) -> dict[str, str]:
    """Options of onnxruntime's CUDA provider. cuDNN chooses kernels by its heuristics, without trying them."""
    return {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": str(int(precision == "tf32"))}


def _open_session(model: StoredModel, provider: Provider, threads: int, precision: CudaPrecision) -> "InferenceSession":
    ort, onnx = load_runtime(), model.read_onnx()
    compiled_in = CUDA in ort.get_available_providers()
    if provider != "cpu" and compiled_in:
        ort.preload_dlls()
        wanted = [(CUDA, cuda_provider_options(precision)), CPU]
        session = _try_to_open(model, to_float16(onnx) if precision == "float16" else onnx, threads, wanted)
        if session.get_providers()[0] == CUDA:
            return session
    if provider == "cuda":
        raise StartupError(
            "CUDA is required but not available: "
            + ("its libraries or the driver failed to load." if compiled_in else "this onnxruntime is built for the CPU.")
            + " Install Numeral with its extra gpu on a host with an NVIDIA driver, or set the provider to auto or cpu."
        )
    return _try_to_open(model, onnx, threads, [CPU])


def _try_to_open(model: StoredModel, onnx: bytes, threads: int, providers: Sequence[object]) -> "InferenceSession":
    ort = load_runtime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3  # onnxruntime would only warn that CUDA is missing; the log names the provider
    try:
        session: InferenceSession = ort.InferenceSession(onnx, options, providers=providers)
    except Exception as error:  # onnxruntime's errors share no base class
        raise StartupError(f"Model {model.title}: onnxruntime cannot open it: {error}") from error
    return session


def _read_metadata(model: StoredModel, session: "InferenceSession") -> ModelMetadata:
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
