"""Runs a model on CUDA, in batches of a few fixed sizes over buffers that stay on the device, and in half precision.

For each new input shape, CUDA's libraries choose kernels and allocate memory again, which takes longer than many inferences.
Each batch is therefore padded to one of a few sizes, and each size is run once before the first request.
"""

from collections.abc import Sequence
from importlib import import_module
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from app.errors import StartupError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, OrtValue

Array = NDArray[Any]


class FixedBatches:
    """A session that runs only at these batch sizes. Safe to call from several threads; the device runs one batch at a time."""

    def __init__(
        self, session: "InferenceSession", device: str, outputs: Sequence[str], row: Array, sizes: Sequence[int]
    ) -> None:
        """Allocates the buffers on the device, ``cpu`` or ``cuda``, and runs each size once. row: zeros, as one input."""
        self._lock = Lock()
        self._batches = [_Batch(session, device, outputs, row, size) for size in sorted(set(sizes))]

    def run(self, inputs: Array) -> list[Array]:
        """Outputs (N, …) for inputs (N, …). N may be any number; above the largest size, the inputs are run in pieces."""
        largest = self._batches[-1]
        answers = [np.empty((len(inputs), *each.shape[1:]), each.dtype) for each in largest.expected]
        for start in range(0, len(inputs), largest.size):
            piece = inputs[start : start + largest.size]
            batch = next(batch for batch in self._batches if batch.size >= len(piece))
            with self._lock:
                for answer, part in zip(answers, batch.run(piece), strict=True):
                    answer[start : start + len(piece)] = part
        return answers


class _Batch:
    """One batch size: its padded input, and the buffers on the device for input and outputs. expected: outputs for zeros."""

    def __init__(self, session: "InferenceSession", device: str, outputs: Sequence[str], row: Array, size: int) -> None:
        (given,) = session.get_inputs()
        self.size = size
        self._session = session
        self._padded = np.zeros((size, *row.shape), row.dtype)
        self.expected: list[Array] = session.run(list(outputs), {given.name: self._padded})
        self._input = _buffer(self._padded, device)
        self._outputs = [_buffer(each, device) for each in self.expected]
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input(given.name, self._input)
        for name, buffer in zip(outputs, self._outputs, strict=True):
            self._binding.bind_ortvalue_output(name, buffer)
        session.run_with_iobinding(self._binding)

    def run(self, inputs: Array) -> list[Array]:
        """Runs the inputs. The padding holds old values; its outputs are cut off."""
        self._padded[: len(inputs)] = inputs
        self._input.update_inplace(self._padded)
        self._session.run_with_iobinding(self._binding)
        return [buffer.numpy()[: len(inputs)] for buffer in self._outputs]


def _buffer(content: Array, device: str) -> "OrtValue":
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
    published = onnx.load_from_string(model)
    weights = {each.name for each in published.graph.initializer}
    others = [each for each in published.graph.value_info if each.name not in weights]
    del published.graph.value_info[:]  # with types of weights there, the converter casts a scale of Resize once for each Resize
    published.graph.value_info.extend(others)
    converted: bytes = converter.convert_float_to_float16(published, keep_io_types=True).SerializeToString()
    return converted
