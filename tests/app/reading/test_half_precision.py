"""float16: the same answers, metadata and signature, and a clear message if it cannot be made."""

import sys

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from app.errors import StartupError
from app.reading.cuda import to_float16
from app.reading.find.finder import Finder
from app.reading.infer.classifier import CUDA_TOLERANCE
from app.reading.infer.preprocess import preprocess
from app.reading.infer.store import StoredModel, find_model
from app.reading.model import DigitModel
from app.reading.reader import Reader
from app.settings import Settings
from benchmarks.pictures import canvas, photo
from tests.versions import SHIPPED


def test_half_precision_gives_the_same_digits_and_nearly_the_same_logits(
    reader: Reader, excerpt: tuple[NDArray[np.uint8], object]
) -> None:
    half = onnxruntime.InferenceSession(to_float16(published()), providers=["CPUExecutionProvider"])
    metadata, exact = reader.classifier.metadata, reader.classifier.infer(excerpt[0]).digits

    (logits,) = half.run(["logits"], {"input": preprocess(excerpt[0], metadata.mean, metadata.std)})

    assert logits.dtype == np.float32
    assert (logits.argmax(axis=1) == exact.argmax(axis=1)).all()
    assert np.abs(logits - exact).max() < CUDA_TOLERANCE["float16"]
    assert half.get_modelmeta().custom_metadata_map["temperature"] == metadata.to_properties()["temperature"]
    assert len(to_float16(published())) < 0.6 * len(published())


def test_the_finder_in_half_precision_finds_the_same_digits(reader: Reader) -> None:
    finder = Finder(
        onnxruntime.InferenceSession(to_float16(shipped().read_edition("finder")), providers=["CPUExecutionProvider"])
    )
    half = Reader(DigitModel(finder, reader.model.classifier))

    for digit in range(10):
        for picture in (canvas(digit), photo(digit)):
            found, expected = half.read(picture), reader.read(picture)

            assert found.digit == expected.digit
            assert abs(found.box.x - expected.box.x) <= 0.05 * expected.box.height


def test_without_onnx_float16_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)

    with pytest.raises(StartupError, match="float16 needs the package onnx, which the extra gpu brings"):
        to_float16(b"")


def published() -> bytes:
    return shipped().read_edition("float32")


def shipped() -> StoredModel:
    return find_model(Settings().model_store, "digits", SHIPPED)
