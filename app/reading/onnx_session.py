"""Opens networks in onnxruntime, on the provider that is available, and runs batches on them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from app.errors import StartupError
from app.reading.cuda import FixedBatches, to_float16

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Provider = Literal["auto", "cpu", "cuda"]
CudaPrecision = Literal["float32", "tf32", "float16"]

ONNXRUNTIME = "onnxruntime>=1.24,<1.32"  # the extra cpu in pyproject.toml

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


@dataclass(frozen=True)
class CudaOptions:
    """How to run on CUDA. batch_sizes: sizes that batches are padded to, empty for any size; precision: of the products."""

    batch_sizes: tuple[int, ...] = ()
    precision: CudaPrecision = "float32"


EXACT = CudaOptions()


class Network:
    """A session with one input and the outputs that are asked of it. Safe to call from several threads."""

    def __init__(
        self, session: "InferenceSession", outputs: Sequence[str], row: NDArray[Any], batch_sizes: Sequence[int] = ()
    ) -> None:
        """row: zeros in the shape and type of one input; batch_sizes: that batches are padded to on CUDA; none: any size."""
        self._session = session
        self._input = session.get_inputs()[0].name
        self._outputs = list(outputs)
        self.provider: Literal["cpu", "cuda"] = "cuda" if session.get_providers()[0] == CUDA else "cpu"
        pads = batch_sizes and self.provider == "cuda"
        self._row = row.shape
        self._fixed = FixedBatches(session, "cuda", self._outputs, row, batch_sizes) if pads else None

    def run(self, batch: NDArray[Any]) -> list[NDArray[np.float32]]:
        """The outputs (N, …) for inputs (N, …). Python's lock is released meanwhile."""
        if self._fixed and batch.shape[1:] == self._row:
            return self._fixed.run(batch)
        answers: list[NDArray[np.float32]] = self._session.run(self._outputs, {self._input: batch})
        return answers


def open_session(
    onnx: bytes, title: str, provider: Provider, threads: int, precision: CudaPrecision = "float32"
) -> "InferenceSession":
    """Opens an ONNX file. title: of the model, for messages; threads: of one run; precision: of products on CUDA.

    Raises:
        StartupError: onnxruntime is not usable or cannot open the file, or CUDA is required but not available.
    """
    ort = load_runtime()
    compiled_in = CUDA in ort.get_available_providers()
    if provider != "cpu" and compiled_in:
        ort.preload_dlls()
        wanted = [(CUDA, cuda_provider_options(precision)), CPU]
        session = _try_to_open(title, to_float16(onnx) if precision == "float16" else onnx, threads, wanted)
        if session.get_providers()[0] == CUDA:
            return session
    if provider == "cuda":
        raise StartupError(
            "CUDA is required but not available: "
            + ("its libraries or the driver failed to load." if compiled_in else "this onnxruntime is built for the CPU.")
            + " Install Numeral with its extra gpu on a host with an NVIDIA driver, or set the provider to auto or cpu."
        )
    return _try_to_open(title, onnx, threads, [CPU])


def output_names(session: "InferenceSession") -> set[str]:
    """The names of the outputs."""
    return {each.name for each in session.get_outputs()}


def cuda_provider_options(precision: CudaPrecision) -> dict[str, str]:
    """Options of onnxruntime's CUDA provider. cuDNN chooses kernels by its heuristics, without trying them."""
    return {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": str(int(precision == "tf32"))}


def load_runtime() -> ModuleType:
    """Imports onnxruntime. Importing it only now turns its absence into a clear message instead of a traceback.

    Turns off its telemetry first, which would write a device id into the home directory at import.

    Raises:
        StartupError: onnxruntime is missing, or two builds are installed, which share one import name and break each other.
    """
    installed = [name for name in ("onnxruntime", "onnxruntime-gpu") if _is_installed(name)]
    if not installed:
        raise StartupError(
            f"onnxruntime is not installed. Install it by pip install '{ONNXRUNTIME}', which is all that Numeral's extra cpu "
            "adds, or install Numeral with its extra gpu for CUDA."
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


def _try_to_open(title: str, onnx: bytes, threads: int, providers: Sequence[object]) -> "InferenceSession":
    ort = load_runtime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3  # onnxruntime would only warn that CUDA is missing; the log names the provider
    try:
        session: InferenceSession = ort.InferenceSession(onnx, options, providers=providers)
    except Exception as error:  # onnxruntime's errors share no base class
        raise StartupError(f"Model {title}: onnxruntime cannot open it: {error}") from error
    return session
