"""Runs a model on CUDA, in batches of a few fixed sizes over buffers that stay on the device, and in half precision.

For each new input shape, CUDA's libraries choose kernels and allocate memory again, which takes longer than many inferences.
Each batch is therefore padded to one of a few sizes, and each size is run once before the first request.
"""

from collections.abc import Sequence
from importlib import import_module
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.errors import StartupError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, OrtValue

Tensor = NDArray[np.float32]


class FixedBatches:
    """A session that runs only at these batch sizes. Safe to call from several threads; the device runs one batch at a time."""

    def __init__(self, session: "InferenceSession", device: str, sizes: Sequence[int]) -> None:
        """Allocates the buffers on the device, ``cpu`` or ``cuda``, and runs each size once."""
        self._lock = Lock()
        self._batches = [_Batch(session, device, size) for size in sorted(set(sizes))]

    def run(self, tensor: Tensor) -> Tensor:
        """Outputs (N, …) for inputs (N, …). N may be any number; above the largest size, the inputs are run in pieces."""
        largest = self._batches[-1]
        outputs = np.empty((len(tensor), *largest.output_shape), np.float32)
        for start in range(0, len(tensor), largest.size):
            piece = tensor[start : start + largest.size]
            batch = next(batch for batch in self._batches if batch.size >= len(piece))
            with self._lock:
                outputs[start : start + len(piece)] = batch.run(piece)
        return outputs


class _Batch:
    """One batch size: its padded input, and the buffers on the device for input and output."""

    def __init__(self, session: "InferenceSession", device: str, size: int) -> None:
        (given,), (result,) = session.get_inputs(), session.get_outputs()
        self.size = size
        self.output_shape = tuple(result.shape[1:])
        self._session = session
        self._padded = np.zeros((size, *given.shape[1:]), np.float32)
        self._input = _buffer(self._padded, device)
        self._output = _buffer(np.zeros((size, *self.output_shape), np.float32), device)
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input(given.name, self._input)
        self._binding.bind_ortvalue_output(result.name, self._output)
        session.run_with_iobinding(self._binding)

    def run(self, tensor: Tensor) -> Tensor:
        """Runs the tensor. The padding holds old values; its outputs are cut off."""
        self._padded[: len(tensor)] = tensor
        self._input.update_inplace(self._padded)
        self._session.run_with_iobinding(self._binding)
        outputs: Tensor = self._output.numpy()[: len(tensor)]
        return outputs


def _buffer(content: Tensor, device: str) -> "OrtValue":
    from onnxruntime import OrtValue  # noqa: PLC0415  onnxruntime is imported only when a session is opened

    return OrtValue.ortvalue_from_numpy(content, device, 0)


def to_float16(model: bytes) -> bytes:
    """Converts an ONNX file to compute in float16. Inputs and outputs stay float32; the metadata stays as well.

    Raises:
        StartupError: the package onnx is not installed.
    """
    try:
        onnx, converter = import_module("onnx"), import_module("onnxruntime.transformers.float16")
    except ImportError as error:
        raise StartupError("The precision float16 needs the package onnx, which the extra gpu brings.") from error
    converted: bytes = converter.convert_float_to_float16(onnx.load_from_string(model), keep_io_types=True).SerializeToString()
    return converted
