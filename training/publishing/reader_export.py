"""Finder, classifier and calibration -> one ONNX graph from a picture to its digits, of standard operators only.

It reads what it is given. Decoding a file, turning it upright, compositing transparency and reducing it to WORK_SIDE pixels are
the caller's.
"""

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
from onnxscript import ir
from onnxscript.optimizer import fold_constants, optimize, remove_unused_nodes
from torch import Tensor, nn

from app.reading.onnx_session import load_runtime
from training.data.mnist import CLASSES
from training.errors import ExportError
from training.files import write_with
from training.learning.reader_module import MOST, Reader
from training.learning.windows import extent
from training.publishing.calibrate import Calibration
from training.publishing.export import OPSET, strip_sources

PICTURE = "picture"  # uint8 (H, W, 3), RGB, upright
SIDES = (4, 4096)  # pixels; the least and the most of a side
TOLERANCE = 0.02  # of a probability; windows are sampled in float32 on both sides, levels rounded
PIXELS = 0.5  # of a box; the same


ABOUT = {
    PICTURE: "uint8 (height, width, 3): RGB, upright, opaque; the longer side at most 1024 pixels, as the service reduces it",
    "boxes": "float32 (64, 4): left, top, width and height of each digit, in pixels of the picture",
    "scores": "float32 (64,): how surely there is a digit, 0 to 1; 0 in places without one",
    "probabilities": "float32 (64, 10): calibrated, of each label; they sum to 1, or are 0 in places without a digit",
    "energy": "float32 (64,): the log odds of a digit against none",
    "accepted": "bool (64,): probability and energy are at least threshold and least_energy",
    "count": "int32 (1,): how many digits were found; they are in the first places, the most prominent one first",
}  # of inputs and outputs, for the file's metadata


class Read(NamedTuple):
    """What the graph answers: K places, the digits in the first of them, the most prominent one first; zeros in the others.

    boxes: (K, 4), left, top, width and height, in pixels of the picture; scores: (K,) in 0..1, how surely there is a digit;
    probabilities: (K, 10), calibrated; energy: (K,), the log odds of a digit against none; accepted: (K,) bool; count: (1,)
    int32, how many digits there are.
    """

    boxes: Tensor
    scores: Tensor
    probabilities: Tensor
    energy: Tensor
    accepted: Tensor
    count: Tensor  # type: ignore[assignment]  # the graph's name for it, and a method of tuples


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
        columns = (
            answer.scores.unsqueeze(1),
            corners(answer.boxes, picture),
            probabilities,
            energy.unsqueeze(1),
            sure.unsqueeze(1),
        )
        rows = self._places(torch.cat([column.float() for column in columns], dim=1), answer.scores > 0)
        score, boxes, probabilities, energy, accepted = rows.split((1, 4, CLASSES, 1, 1), dim=1)
        count = (answer.scores > 0).sum().to(torch.int32)
        return Read(boxes, score.squeeze(1), probabilities, energy.squeeze(1), accepted.squeeze(1) > 0, count.reshape(1))

    def _places(self, rows: Tensor, there: Tensor) -> Tensor:
        """Rows (N, C), those that are there (N,) first, in as many places as there may be: (K, C), zeros in the others."""
        free = torch.zeros(self.reader.most, rows.shape[1], device=rows.device)
        padded = torch.cat((rows * there.unsqueeze(1), free))[: self.reader.most]
        in_order = torch.arange(self.reader.most, 0, -1, device=rows.device)
        return padded[((padded[:, 0] > 0) * in_order).topk(self.reader.most).indices]


def corners(boxes: Tensor, picture: Tensor) -> Tensor:
    """Boxes (N, 4), centre in x and y, width and height -> left, top, width and height of what is in a picture (H, W, 3)."""
    width, height = extent(picture.permute(2, 0, 1).unsqueeze(0).float())
    size = torch.stack((width, height))
    low = torch.minimum((boxes[:, :2] - boxes[:, 2:] / 2).clamp(min=0), size)
    high = torch.minimum((boxes[:, :2] + boxes[:, 2:] / 2).clamp(min=0), size)
    return torch.cat((low, high - low), dim=1)


def describe(calibration: Calibration) -> dict[str, str]:
    """What the file says of itself: labels, temperature, threshold and least energy, and each input and output."""
    figures = {name: json.dumps(value) for name, value in asdict(calibration).items()}
    return {"labels": json.dumps([str(digit) for digit in range(CLASSES)])} | figures | ABOUT


def export_reader(portable: Portable, pictures: Sequence[Tensor], path: Path) -> float:
    """Writes the graph, and returns the largest difference of a probability from torch's on pictures (H, W, 3) uint8.

    Raises:
        ExportError: onnxruntime finds or reads otherwise than torch.
    """
    portable = portable.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    difference = 0.0

    def write_and_prove(partial: Path) -> None:
        nonlocal difference
        _write(portable, pictures[0], partial)
        difference = prove_reader(partial, portable, pictures)

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


def _write(portable: Portable, example: Tensor, path: Path) -> None:
    height, width = (torch.export.Dim(name, min=SIDES[0], max=SIDES[1]) for name in ("height", "width"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch copies a class of its own that it has deprecated
        torch.onnx.export(
            portable,
            (example,),
            str(path),
            dynamo=True,
            external_data=False,
            optimize=False,
            opset_version=OPSET,
            input_names=[PICTURE],
            output_names=list(Read._fields),
            dynamic_shapes=({0: height, 1: width},),
            verbose=False,
        )
    exported = _optimize(onnx.load(path))
    strip_sources(exported)
    onnx.helper.set_model_props(exported, describe(portable.calibration))
    onnx.checker.check_model(exported, full_check=True)
    if any(node.domain not in ("", "ai.onnx") for node in exported.graph.node):
        raise ExportError("The graph has operators that are not ONNX's own.")
    onnx.save(exported, path)


def _optimize(exported: onnx.ModelProto) -> onnx.ModelProto:
    """As torch's export does, in a sixth of the time: some rules compare all pairs of nodes, so most nodes go first."""
    folded = ir.from_proto(exported)
    fold_constants(folded)
    remove_unused_nodes(folded)
    return ir.to_proto(optimize(folded))
