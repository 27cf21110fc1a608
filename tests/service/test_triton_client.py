"""The Open Inference Protocol, asked by Triton's own client; and what it answers under overload."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.reading.reader import Reader
from app.reading.requests import TensorOutcome, TensorRequest
from app.settings import Settings
from tests import plain_http
from tests.servers import serving
from tests.versions import SHIPPED

triton = pytest.importorskip("tritonclient.http", reason="tritonclient[http] is not installed")

Excerpt = tuple[NDArray[np.uint8], NDArray[np.uint8]]
CALL = {"inputs": [{"name": "glyph", "shape": [1, 28, 28], "datatype": "UINT8", "data": [0] * 784}]}
GLYPHS = "/v2/models/digits_uint8"
MANY = Settings().max_batch_files


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(Settings(model_version=SHIPPED)) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def triton_client(address: str) -> Iterator[Any]:
    client = triton.InferenceServerClient(address)
    yield client
    client.close()


def tensor(name: str, array: NDArray[Any], *, binary: bool) -> Any:
    sent = triton.InferInput(name, array.shape, {"uint8": "UINT8", "float32": "FP32"}[array.dtype.name])
    sent.set_data_from_numpy(array, binary_data=binary)
    return sent


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "JSON"])
def test_tritons_client_gets_the_probabilities_of_glyphs(
    triton_client: Any, reader: Reader, excerpt: Excerpt, binary: bool
) -> None:
    glyphs = excerpt[0][:MANY]
    expected = reader.classifier.predict(glyphs)
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("energy", "probabilities")]

    answer = triton_client.infer("digits_uint8", [tensor("glyph", glyphs, binary=binary)], outputs=outputs, request_id="42")

    np.testing.assert_allclose(answer.as_numpy("probabilities"), expected.probabilities, atol=1e-6)
    np.testing.assert_allclose(answer.as_numpy("energy"), expected.energy, rtol=1e-5)
    assert answer.get_response()["id"] == "42"
    assert answer.get_response()["model_version"] == SHIPPED


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "JSON"])
def test_tritons_client_gets_the_logits_of_tensors(triton_client: Any, reader: Reader, excerpt: Excerpt, binary: bool) -> None:
    tensors = reader.classifier.preprocess(excerpt[0][:5])

    answer = triton_client.infer("digits", [tensor("input", tensors, binary=binary)], model_version=SHIPPED)

    expected = reader.classifier.run(tensors)
    np.testing.assert_allclose(answer.as_numpy("logits"), expected.digits, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(answer.as_numpy("no_digit"), expected.no_digit[:, np.newaxis], rtol=1e-4, atol=1e-4)


def test_tritons_client_learns_what_there_is(triton_client: Any) -> None:
    assert triton_client.is_server_live()
    assert triton_client.is_server_ready()
    assert triton_client.is_model_ready("digits", SHIPPED)
    assert triton_client.is_model_ready("digits_uint8")
    assert not triton_client.is_model_ready("digits", "999")
    assert triton_client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    assert triton_client.get_model_metadata("digits_uint8", SHIPPED) == {
        "name": "digits_uint8",
        "versions": [SHIPPED],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "glyph", "datatype": "UINT8", "shape": [-1, 28, 28]}],
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]},
            {"name": "energy", "datatype": "FP32", "shape": [-1]},
        ],
    }


def test_tritons_client_is_told_what_is_wrong(triton_client: Any) -> None:
    with pytest.raises(triton.InferenceServerException, match=r"\[404\] This model is not served; digits and digits_uint8 are"):
        triton_client.infer("letters", [tensor("glyph", np.zeros((1, 28, 28), np.uint8), binary=True)])


def test_many_clients_at_once_get_their_own_answers(address: str, reader: Reader, excerpt: Excerpt) -> None:
    parts = np.split(excerpt[0][:60], [1, 4, 24, 25, 41])
    expected = [reader.classifier.predict(part).probabilities for part in parts]

    def ask(glyphs: NDArray[np.uint8]) -> NDArray[np.float32]:
        client = triton.InferenceServerClient(address)
        probabilities = client.infer("digits_uint8", [tensor("glyph", glyphs, binary=True)]).as_numpy("probabilities")
        client.close()
        return np.asarray(probabilities)

    with ThreadPoolExecutor(len(parts)) as pool:
        for answer, right in zip(pool.map(ask, parts), expected, strict=True):
            np.testing.assert_allclose(answer, right, atol=1e-6)


def test_overload_is_refused_in_the_protocols_form(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on, original = threading.Event(), threading.Event(), Reader.infer_together

    def wait(self: Reader, requests: list[TensorRequest]) -> list[TensorOutcome]:
        begun.set()
        go_on.wait(20)
        return original(self, requests)

    monkeypatch.setattr(Reader, "infer_together", wait)
    with serving(Settings(max_waiting=1, worker_threads=1)) as port, ThreadPoolExecutor(1) as pool:
        url = f"http://127.0.0.1:{port}{GLYPHS}/infer"
        waiting = pool.submit(plain_http.post, url, json=CALL, timeout=30)
        begun.wait(20)
        refused = plain_http.post(url, json=CALL, timeout=20)
        go_on.set()
        answered = waiting.result()

    assert (refused.status_code, list(refused.json())) == (503, ["error"])
    assert refused.headers["retry-after"] == "1"
    assert answered.status_code == 200
