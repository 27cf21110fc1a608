"""Batches of a few fixed sizes, over buffers that stay where the model runs: what CUDA wants.

Each new input shape makes CUDA's libraries choose kernels and allocate again, which takes longer than many inferences; so a
batch is padded to the next of a few sizes that have been tried before the first request comes.
"""

from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

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
