"""The shipped model on CUDA, skipped without a GPU. `NUMERAL_PROVIDER=cuda` runs the other tests on it."""

from pathlib import Path
from typing import get_args

import numpy as np
import onnxruntime
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from app.errors import StartupError
from app.reading.infer.classifier import CUDA_TOLERANCE
from app.reading.infer.store import find_model
from app.reading.model import DigitModel
from app.reading.onnx_session import CUDA, CudaOptions, CudaPrecision, cuda_provider_options
from app.reading.reader import Reader
from app.runtime.loading import load_reader
from app.settings import Settings
from app.web.application import create_app
from benchmarks.pictures import canvas, encode, photo
from tests.versions import SHIPPED
from training.data.mnist import load_digits

PRECISIONS: tuple[CudaPrecision, ...] = get_args(CudaPrecision)


@pytest.fixture(scope="module")
def reader() -> Reader:
    """On the CPU, where another would take CUDA if there is any."""
    return load_reader(Settings(model_version=SHIPPED, provider="cpu"))


def on_cuda(precision: CudaPrecision, batch_sizes: tuple[int, ...] = (1, 4, 8, 16)) -> DigitModel:
    """Proven on its golden glyphs and pictures there."""
    model = find_model(Settings().model_store, "digits", SHIPPED)
    try:
        return DigitModel.load(model, "cuda", 1, CudaOptions(batch_sizes, precision))
    except StartupError as error:
        if CUDA not in onnxruntime.get_available_providers() or "failed to load" in str(error):
            pytest.skip("CUDA is not available")
        raise


@pytest.mark.parametrize("precision", PRECISIONS)
def test_cuda_answers_as_the_cpu_does(
    precision: CudaPrecision, reader: Reader, excerpt: tuple[NDArray[np.uint8], object]
) -> None:
    classifier = on_cuda(precision).classifier

    for count in (1, 3, 16, 500):
        logits = classifier.infer(excerpt[0][:count]).digits

        exact = reader.classifier.infer(excerpt[0][:count]).digits
        assert np.abs(logits - exact).max() <= CUDA_TOLERANCE[precision]
        assert (logits.argmax(axis=1) == exact.argmax(axis=1)).mean() >= 0.995


@pytest.mark.parametrize("precision", PRECISIONS)
def test_all_test_digits_are_read_as_well_on_cuda(precision: CudaPrecision, full_data_dir: Path) -> None:
    classifier, test = on_cuda(precision).classifier, load_digits(full_data_dir).test

    wrong = int((classifier.infer(test.images.numpy()).digits.argmax(axis=1) != test.labels.numpy()).sum())

    assert abs(wrong - classifier.record.metrics["mnist_test_errors"]) <= 2


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_finder_sees_on_cuda_what_it_sees_on_the_cpu(precision: CudaPrecision, reader: Reader) -> None:
    on_gpu = Reader(on_cuda(precision))
    pictures = [make(digit) for digit in range(10) for make in (canvas, photo)]

    for picture in pictures:
        found, expected = on_gpu.read(picture), reader.read(picture)

        assert found.digit == expected.digit
        assert abs(found.box.x - expected.box.x) <= 0.05 * expected.box.height


def test_the_service_says_that_it_is_on_cuda() -> None:
    on_cuda("float32")

    with TestClient(create_app(Settings(provider="cuda", model_version=SHIPPED))) as client:
        assert client.get("/health/ready").json()["provider"] == "cuda"
        assert client.post("/predict", content=encode(canvas(3))).json()["digit"] == 3


@pytest.mark.parametrize(("precision", "tf32"), [("float32", "0"), ("tf32", "1"), ("float16", "0")])
def test_tf32_is_used_only_on_request(precision: CudaPrecision, tf32: str) -> None:
    assert cuda_provider_options(precision) == {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": tf32}
