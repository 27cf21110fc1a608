"""Runs a model on CUDA: in batches of a few fixed sizes over buffers that stay on the device, and in half precision.

Each new input shape makes CUDA's libraries choose kernels and allocate again, which takes longer than many inferences. So a
batch is padded to the next of a few sizes, each tried before the first request comes.
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
    """A session run at these batch sizes alone. Safe to call from several threads; one batch at a time is on the device."""

    def __init__(self, session: "InferenceSession", device: str, sizes: Sequence[int]) -> None:
        """Makes the buffers on the device, ``cpu`` or ``cuda``, and runs each size once."""
        self._lock = Lock()
        self._batches = [_Batch(session, device, size) for size in sorted(set(sizes))]

    def run(self, tensor: Tensor) -> Tensor:
        """Outputs (N, …) for inputs (N, …) of any number; more than the largest size are run in pieces."""
        largest = self._batches[-1]
        outputs = np.empty((len(tensor), *largest.output_shape), np.float32)
        for start in range(0, len(tensor), largest.size):
            piece = tensor[start : start + largest.size]
            batch = next(batch for batch in self._batches if batch.size >= len(piece))
            with self._lock:
                outputs[start : start + len(piece)] = batch.run(piece)
        return outputs


class _Batch:
    """One size: its padded input, and the buffers on the device that input and output are bound to."""

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
        """Rows beyond the tensor's are whatever was there before; theirs are cut off."""
        self._padded[: len(tensor)] = tensor
        self._input.update_inplace(self._padded)
        self._session.run_with_iobinding(self._binding)
        outputs: Tensor = self._output.numpy()[: len(tensor)]
        return outputs


def _buffer(content: Tensor, device: str) -> "OrtValue":
    from onnxruntime import OrtValue  # noqa: PLC0415  nothing of onnxruntime is imported before a session is opened

    return OrtValue.ortvalue_from_numpy(content, device, 0)


def to_float16(model: bytes) -> bytes:
    """The ONNX file that computes the same in float16; what goes in and comes out stays float32, metadata too.

    Raises:
        StartupError: the package onnx is not installed.
    """
    try:
        onnx, converter = import_module("onnx"), import_module("onnxruntime.transformers.float16")
    except ImportError as error:
        raise StartupError("The precision float16 needs the package onnx: install numeral[gpu].") from error
    converted: bytes = converter.convert_float_to_float16(onnx.load_from_string(model), keep_io_types=True).SerializeToString()
    return converted
