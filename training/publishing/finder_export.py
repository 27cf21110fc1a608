"""A finder's checkpoint -> ONNX: one file, free batch, height and width, and proven against torch before it is kept."""

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from app.reading.onnx_session import load_runtime
from training.errors import ExportError
from training.files import write_with
from training.learning.finder import STEP, Look, Looking
from training.publishing.export import OPSET, strip_sources

PIXELS = "pixels"  # uint8 (N, 3, H, W), RGB, sides multiples of STEP
MAPS = Look._fields  # the outputs, float32
TOLERANCE = 1e-3  # of a probability, and of a box in pixels; rounding in float32 stays well below
MOST_STEPS = 256  # of a side: 4,096 pixels


def export_finder(finder: nn.Module, pictures: Tensor, path: Path) -> float:
    """Writes the finder's model.onnx and returns the largest difference from torch on pictures (N, 3, H, W) uint8.

    Raises:
        ExportError: onnxruntime's answers are TOLERANCE or more away from torch's.
    """
    looking = Looking(finder).eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    difference = 0.0

    def write_and_prove(partial: Path) -> None:
        nonlocal difference
        _write(looking, partial)
        difference = prove_finder(partial, looking, pictures)

    write_with(path, write_and_prove)
    return difference


@torch.inference_mode()
def prove_finder(path: Path, looking: nn.Module, pictures: Tensor) -> float:
    """The largest difference of an ONNX file's answers from torch's, one picture at a time and all together.

    Raises:
        ExportError: as export_finder's.
    """
    session = load_runtime().InferenceSession(path, providers=["CPUExecutionProvider"])
    worst = 0.0
    for batch in (pictures[:1], pictures):
        answers, expected = session.run(list(MAPS), {PIXELS: batch.numpy()}), looking(batch)
        for name, answer, wanted in zip(MAPS, answers, expected, strict=True):
            apart = float(np.abs(answer - wanted.numpy()).max())
            if not apart < TOLERANCE:
                raise ExportError(f"onnxruntime disagrees with torch on the finder's {name}: up to {apart:.2g} apart.")
            worst = max(worst, apart)
    return worst


def _write(looking: nn.Module, path: Path) -> None:
    dim = torch.export.Dim
    height, width = (STEP * dim(name, min=1, max=MOST_STEPS) for name in ("high", "wide"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch copies a class of its own that it has deprecated
        torch.onnx.export(
            looking,
            (torch.zeros(2, 3, 96, 128, dtype=torch.uint8),),
            str(path),
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            input_names=[PIXELS],
            output_names=list(MAPS),
            dynamic_shapes=({0: dim("batch"), 2: height, 3: width},),
            verbose=False,
        )
    exported = onnx.load(path)
    strip_sources(exported)
    onnx.checker.check_model(exported, full_check=True)
    onnx.save(exported, path)
