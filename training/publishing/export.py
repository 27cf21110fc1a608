"""Checkpoint -> ONNX: one file, free batch axis, its metadata inside, and proven against torch before it is kept."""

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from app.reading.infer import preprocess
from app.reading.infer.record import INPUT, LOGITS, NO_DIGIT, ModelMetadata
from app.reading.onnx_session import load_runtime
from training.data.mnist import CLASSES, MEAN, STD
from training.errors import ExportError
from training.files import write_with
from training.learning.evaluate import infer, normalize, to_unit
from training.publishing.calibrate import Calibration

OPSET = 20  # read by onnxruntime since 1.17 and by onnxruntime-web
TOLERANCE = 1e-4  # of a logit; rounding in float32 stays a hundred times below
BATCHES = (1, 64)


class _Apart(nn.Module):
    """A network whose logit of what is not a digit is an output of its own; 0 where it has none."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits: Tensor = self.network(x)
        return logits[:, :CLASSES], logits[:, CLASSES:].sum(dim=1, keepdim=True)


def metadata(calibration: Calibration) -> ModelMetadata:
    """What the file will say of itself."""
    return ModelMetadata(
        labels=[str(digit) for digit in range(CLASSES)],
        mean=MEAN,
        std=STD,
        temperature=calibration.temperature,
        threshold=calibration.threshold,
        least_energy=calibration.least_energy,
        input_layout=preprocess.LAYOUT,
        preprocessing=preprocess.VERSION,
    )


def export(model: nn.Module, about: ModelMetadata, images: Tensor, path: Path) -> float:
    """Writes model.onnx and returns the largest difference of a logit from torch's on images (N, 28, 28) uint8.

    Raises:
        ExportError: onnxruntime gives another digit for one of them, or a logit that differs by TOLERANCE or more.
    """
    difference = 0.0

    def write_and_prove(partial: Path) -> None:
        nonlocal difference
        _write(model, about, partial)
        difference = prove(partial, images, infer(model, images))

    write_with(path, write_and_prove)
    return difference


def prove(path: Path, images: Tensor, expected: Tensor) -> float:
    """The largest difference of an ONNX file's logits from the expected (N, 10 or 11), over batches of 1 and of 64.

    Raises:
        ExportError: as export's.
    """
    session = load_runtime().InferenceSession(path, providers=["CPUExecutionProvider"])
    tensors = normalize(to_unit(images))
    wanted = torch.cat((expected[:, :CLASSES], expected[:, CLASSES:].sum(dim=1, keepdim=True)), dim=1).numpy()
    worst = 0.0
    for size in BATCHES:
        batches = tensors.split(size)
        answers = [np.concatenate(session.run(None, {INPUT: batch.numpy()}), axis=1) for batch in batches]
        logits = np.concatenate(answers)
        apart = float(np.abs(logits - wanted).max())
        other = int((logits[:, :CLASSES].argmax(axis=1) != wanted[:, :CLASSES].argmax(axis=1)).sum())
        if other or not apart < TOLERANCE:  # what is not a number is not smaller either
            raise ExportError(
                f"onnxruntime disagrees with torch in batches of {size}: {other} other digits of {len(images)}, "
                f"logits up to {apart:.2g} apart."
            )
        worst = max(worst, apart)
    return worst


def _write(model: nn.Module, about: ModelMetadata, path: Path) -> None:
    example = torch.zeros(2, 1, 28, 28)
    served = _Apart(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch copies a class of its own that it has deprecated
        torch.onnx.export(
            served.eval().to(memory_format=torch.contiguous_format),  # type: ignore[call-overload]
            (example,),
            str(path),
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[LOGITS, NO_DIGIT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    exported = onnx.load(path)
    strip_sources(exported)
    onnx.helper.set_model_props(exported, about.to_properties())
    onnx.checker.check_model(exported, full_check=True)
    onnx.save(exported, path)


def strip_sources(model: onnx.ModelProto) -> None:
    """Removes what the exporter notes of the machine that it ran on: stack traces with paths."""
    for part in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
