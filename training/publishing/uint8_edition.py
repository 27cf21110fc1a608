"""model.onnx -> model.uint8.onnx: the edition that takes glyphs as they are and answers in probabilities.

    glyph ─► Cast, Unsqueeze ─► Div 255 ─► Sub mean ─► Div std ─► the network ─► Div temperature ─► Softmax ─► probabilities
                                                                      └────────► ReduceLogSumExp ─► Sub no_digit ─► energy

For web pages, phones and other servers, which then need no arithmetic of ours. Standard operators only.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from app.reading.infer.classifier import Logits, energy, softmax
from app.reading.infer.preprocess import preprocess
from app.reading.infer.record import EDITIONS, ENERGY, GLYPH, INPUT, LOGITS, NO_DIGIT, PROBABILITIES, ModelMetadata
from app.reading.onnx_session import load_runtime
from training.data.mnist import CLASSES
from training.errors import ExportError
from training.files import write_with

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

BATCH = "batch"  # the free axis
TOLERANCE = 1e-5  # of a probability, and of the energy relative to its size: float32 against float64


def write_uint8(path: Path, glyphs: NDArray[np.uint8]) -> Path:
    """Writes model.uint8.onnx next to the model.onnx at path, the same bytes each time, and returns where.

    Raises:
        ExportError: for one of the glyphs (N, 28, 28) it answers something else than the service would with model.onnx.
    """
    target = path.with_name(EDITIONS["uint8"])
    model = to_uint8(onnx.load(path))

    def write_and_prove(partial: Path) -> None:
        onnx.save(model, partial)
        prove_uint8(partial, path, glyphs)

    write_with(target, write_and_prove)
    return target


def to_uint8(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with preprocessing and calibration, as its metadata tell them, in its graph.

    Its input is glyph, uint8 (N, 28, 28); its outputs are probabilities, float32 (N, 10), and energy, float32 (N,).
    """
    about = read_metadata(model)
    edition = onnx.ModelProto()
    edition.CopyFrom(model)
    graph = edition.graph
    nodes = [*_before(), *graph.node, *_after()]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.initializer.extend(_constants(about))
    graph.input.append(helper.make_tensor_value_info(GLYPH, TensorProto.UINT8, [BATCH, 28, 28]))
    graph.output.append(helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, [BATCH, CLASSES]))
    graph.output.append(helper.make_tensor_value_info(ENERGY, TensorProto.FLOAT, [BATCH]))
    onnx.checker.check_model(edition, full_check=True)
    return edition


def read_metadata(model: onnx.ModelProto) -> ModelMetadata:
    """What a classifier's ONNX file says of itself."""
    return ModelMetadata.from_properties({entry.key: entry.value for entry in model.metadata_props})


def _constants(about: ModelMetadata) -> list[onnx.TensorProto]:
    scalars = {"white": 255.0, "mean": about.mean, "std": about.std, "temperature": about.temperature}
    tensors = {**{name: np.float32(value) for name, value in scalars.items()}, "axis": np.array([1], np.int64)}
    return [numpy_helper.from_array(np.asarray(tensor), f"edition.{name}") for name, tensor in tensors.items()]


def _before() -> list[onnx.NodeProto]:
    """ToTensor and Normalize, in the order in which app.reading.infer.preprocess computes them: the same bits."""
    return [
        helper.make_node("Cast", [GLYPH], ["edition.levels"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["edition.levels", "edition.axis"], ["edition.picture"]),
        helper.make_node("Div", ["edition.picture", "edition.white"], ["edition.unit"]),
        helper.make_node("Sub", ["edition.unit", "edition.mean"], ["edition.centred"]),
        helper.make_node("Div", ["edition.centred", "edition.std"], [INPUT]),
    ]


def _after() -> list[onnx.NodeProto]:
    """Calibration; the energy is the log odds of a digit against none."""
    return [
        helper.make_node("Div", [LOGITS, "edition.temperature"], ["edition.calibrated"]),
        helper.make_node("Softmax", ["edition.calibrated"], [PROBABILITIES], axis=1),
        helper.make_node("ReduceLogSumExp", [LOGITS, "edition.axis"], ["edition.digit"], keepdims=1),
        helper.make_node("Sub", ["edition.digit", NO_DIGIT], ["edition.odds"]),
        helper.make_node("Squeeze", ["edition.odds", "edition.axis"], [ENERGY]),
    ]


def prove_uint8(edition: Path, path: Path, glyphs: NDArray[np.uint8]) -> None:
    """Compares an edition with the model.onnx at path.

    Raises:
        ExportError: for one of the glyphs (N, 28, 28) it answers something else than the service would with model.onnx.
    """
    about = read_metadata(onnx.load(path))
    logits, none = _open(path).run([LOGITS, NO_DIGIT], {INPUT: preprocess(glyphs, about.mean, about.std)})
    probabilities, energies = _open(edition).run([PROBABILITIES, ENERGY], {GLYPH: glyphs})
    expected = energy(Logits(logits, none[:, 0]))
    differences = (
        np.abs(probabilities - softmax(logits / np.float32(about.temperature))).max(),
        (np.abs(energies - expected) / np.maximum(np.abs(expected), 1)).max(),
    )
    apart = float(np.max(differences))  # not a number if one of them is not, unlike Python's max
    if not apart <= TOLERANCE:
        raise ExportError(f"The uint8 edition of {path} answers otherwise than the model: up to {apart:.2g} apart.")


def _open(path: Path) -> "InferenceSession":
    return load_runtime().InferenceSession(path, providers=["CPUExecutionProvider"])
