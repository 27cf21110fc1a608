"""The finder: a network that sees in a window where digits are, and which pixels are their ink."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from app.errors import StartupError
from app.reading.find.window import SIDE, Window
from app.reading.onnx_session import EXACT, CudaOptions, Network, Provider, open_session, output_names

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Floats = NDArray[np.float32]

OUTPUTS = ("ink", "digits", "marks", "boxes")  # of the network, as training.learning.finder.Look has them
CELL = 4  # pixels of a window; the side of a cell of the maps of scores and boxes
MARKS = ("point", "comma", "minus", "other")  # what it tells from digits
INK = 2  # pixels of a window; the side of a pixel of the map of ink
SURE = 1e-4  # scores are kept so far from 1, so that no two cells are equally sure


@dataclass(frozen=True)
class Look:
    """What the finder sees in one window of H × W pixels.

    ink: (H/2, W/2) in 0..1; scores: (h, w) in 0..1, of cells, high where a digit has its centre in the cell; boxes: (4, h, w),
    of a digit with its centre in the cell: centre in x and y, width and height, in pixels of the window; labels: (10, h, w)
    in 0..1, high where a digit of that label has its centre; marks: the same, (4, h, w), of MARKS.
    """

    ink: Floats
    scores: Floats
    boxes: Floats
    labels: Floats
    marks: Floats


class Finder:
    """Windows in, looks out. Safe to call from several threads."""

    def __init__(self, session: "InferenceSession", batch_sizes: Sequence[int] = ()) -> None:
        """batch_sizes: sizes that batches are padded to on CUDA; empty for any size."""
        self._network = Network(session, OUTPUTS, np.zeros((3, SIDE, SIDE), np.uint8), batch_sizes)

    @classmethod
    def load(cls, onnx: bytes, title: str, provider: Provider, threads: int, cuda: CudaOptions = EXACT) -> "Finder":
        """Opens a finder's ONNX file. title: of the model, for messages.

        Raises:
            StartupError: it cannot be opened on the provider, or is not a finder.
        """
        session = open_session(onnx, f"{title}, finder", provider, threads, cuda.precision)
        if missing := set(OUTPUTS) - output_names(session):
            raise StartupError(f"Model {title}: its finder does not have the outputs {', '.join(sorted(missing))}.")
        try:
            return cls(session, cuda.batch_sizes)
        except Exception as error:  # onnxruntime's errors share no base class
            raise StartupError(f"Model {title}: its finder does not run: {error}") from error

    @property
    def provider(self) -> str:
        """What it runs on: cpu or cuda."""
        return self._network.provider

    def look(self, windows: Sequence[Window]) -> list[Look]:
        """What it sees in each window, in one run for all of them; they have one size."""
        if not windows:
            return []
        ((height, width, channels),) = {window.pixels.shape for window in windows}
        planes = np.empty((len(windows), channels, height, width), np.uint8)
        for window, each in zip(windows, planes, strict=True):
            cv2.split(window.pixels, list(each))  # in half the time of NumPy's transpose
        ink, digits, marks, boxes = self._network.run(planes)
        return [Look(*each) for each in zip(ink, score_cells(digits), boxes, digits, marks, strict=True)]


def score_cells(digits: Floats) -> Floats:
    """How surely a digit has its centre in each cell, (N, h, w) in 0..1: that it has some label's, of scores (N, 10, h, w)."""
    score: Floats = 1 - np.multiply.reduce(np.maximum(1 - digits, np.float32(SURE)), axis=1)
    return score
