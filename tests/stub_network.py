"""Writes a network that gives the same answer to every glyph."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from app.reading.infer.record import ModelMetadata


def write_stub_network(path: Path, metadata: ModelMetadata, logits: NDArray[np.float32], no_digit: float) -> None:
    """Writes a classifier whose answer is always the same: logits (10,) and that of no digit."""
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["input"], ["flat"]),
            helper.make_node("Gemm", ["flat", "weight", "bias"], ["logits"]),
            helper.make_node("Gemm", ["flat", "no_weight", "no_bias"], ["no_digit"]),
        ],
        "stub",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 1, 28, 28])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10]),
            helper.make_tensor_value_info("no_digit", TensorProto.FLOAT, ["batch", 1]),
        ],
        [
            numpy_helper.from_array(np.zeros((784, 10), np.float32), "weight"),
            numpy_helper.from_array(logits, "bias"),
            numpy_helper.from_array(np.zeros((784, 1), np.float32), "no_weight"),
            numpy_helper.from_array(np.array([no_digit], np.float32), "no_bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, metadata.to_properties())
    onnx.save(model, path)
