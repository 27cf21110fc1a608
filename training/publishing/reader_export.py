"""Finder, classifier and calibration -> one ONNX graph from a picture to its digits, of standard operators only."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from app.reading.onnx_session import load_runtime
from training.errors import ExportError
from training.files import write_with
from training.learning.reader_module import MOST, Reader
from training.publishing.calibrate import Calibration
from training.publishing.export import OPSET, strip_sources

PICTURE = "picture"  # uint8 (H, W, 3), RGB, upright
SIDES = (4, 4096)  # pixels; the least and the most of a side
TOLERANCE = 0.02  # of a probability; windows are sampled in float32 on both sides, levels rounded
PIXELS = 0.5  # of a box; the same


class Read(NamedTuple):
    """What the graph answers, best first, in as many places as there may be.

    boxes: (K, 4), centre in x and y, width and height, in pixels of the picture; scores: (K,) in 0..1, 0 where there is no
    digit; probabilities: (K, 10), calibrated; accepted: (K,) bool.
    """

    boxes: Tensor
    scores: Tensor
    probabilities: Tensor
    accepted: Tensor


class Portable(nn.Module):
    """A reader with its calibration."""

    def __init__(self, finder: nn.Module, classifier: nn.Module, calibration: Calibration, most: int = MOST) -> None:
        super().__init__()
        self.reader = Reader(finder, classifier, most)
        self.calibration = calibration

    def forward(self, picture: Tensor) -> Read:
        """One picture (H, W, 3) uint8 -> what it reads."""
        answer = self.reader(picture)
        probabilities = (answer.logits / self.calibration.temperature).softmax(dim=1)
        energy = answer.logits.logsumexp(dim=1) - answer.none
        sure = (probabilities.amax(dim=1) >= self.calibration.threshold) & (energy >= self.calibration.least_energy)
        return Read(answer.boxes, answer.scores, probabilities, sure & (answer.scores > 0))


def export_reader(portable: Portable, pictures: Sequence[Tensor], path: Path) -> float:
    """Writes the graph, and returns the largest difference of a probability from torch's on pictures (H, W, 3) uint8.

    Raises:
        ExportError: onnxruntime finds or reads otherwise than torch.
    """
    portable = portable.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    difference = 0.0

    def write_and_prove(beside: Path) -> None:
        nonlocal difference
        _write(portable, pictures[0], beside)
        difference = prove_reader(beside, portable, pictures)

    write_with(path, write_and_prove)
    return difference


@torch.inference_mode()
def prove_reader(path: Path, portable: nn.Module, pictures: Sequence[Tensor]) -> float:
    """The largest difference of a probability.

    Raises:
        ExportError: as export_reader's.
    """
    session = load_runtime().InferenceSession(path, providers=["CPUExecutionProvider"])
    worst = 0.0
    for picture in pictures:
        answer, expected = Read(*session.run(list(Read._fields), {PICTURE: picture.numpy()})), portable(picture)
        there = expected.scores.numpy() > 0
        if not np.array_equal(np.asarray(answer.scores) > 0, there):
            raise ExportError("onnxruntime finds other digits than torch does.")
        boxes = np.abs(np.asarray(answer.boxes) - expected.boxes.numpy())[there].max(initial=0)
        apart = np.abs(np.asarray(answer.probabilities) - expected.probabilities.numpy())[there].max(initial=0)
        if not (boxes < PIXELS and apart < TOLERANCE):
            raise ExportError(f"onnxruntime disagrees with torch: probabilities {apart:.2g} apart, boxes {boxes:.2g} pixels.")
        worst = max(worst, float(apart))
    return worst


def _write(portable: nn.Module, example: Tensor, path: Path) -> None:
    height, width = (torch.export.Dim(name, min=SIDES[0], max=SIDES[1]) for name in ("height", "width"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch copies a class of its own that it has deprecated
        torch.onnx.export(
            portable,
            (example,),
            str(path),
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            input_names=[PICTURE],
            output_names=list(Read._fields),
            dynamic_shapes=({0: height, 1: width},),
            verbose=False,
        )
    exported = onnx.load(path)
    strip_sources(exported)
    onnx.checker.check_model(exported, full_check=True)
    if any(node.domain not in ("", "ai.onnx") for node in exported.graph.node):
        raise ExportError("The graph has operators that are not ONNX's own.")
    onnx.save(exported, path)
