"""A model in half precision, made from the published one when it is loaded."""

from importlib import import_module

from app.errors import StartupError


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
