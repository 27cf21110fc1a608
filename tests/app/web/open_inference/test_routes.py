"""The Open Inference Protocol over HTTP, called by hand; tests/service calls it with Triton's own client."""

import json
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from app.reading.infer.classifier import DigitClassifier
from app.reading.reader import Reader
from app.reading.requests import Inference, Inferred, TensorRequest
from app.settings import Settings
from app.web.application import create_app
from tests.conftest import MakeStore
from tests.versions import SHIPPED

Excerpt = tuple[NDArray[np.uint8], NDArray[np.uint8]]
GLYPHS, TENSORS = "/v2/models/digits_uint8", "/v2/models/digits"
BLANK = [0] * 784
MANY = Settings().max_batch_files


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2", {"name": "numeral", "extensions": ["binary_tensor_data"]}),
        ("/v2/", {"name": "numeral", "extensions": ["binary_tensor_data"]}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        (f"{TENSORS}/ready", {"name": "digits", "ready": True}),
        (f"{GLYPHS}/versions/{SHIPPED}/ready", {"name": "digits_uint8", "ready": True}),
        (f"{TENSORS}/versions/{SHIPPED}", {"name": "digits", "versions": [SHIPPED]}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_protocols_paths_are_served(client: TestClient, path: str, body: dict[str, object]) -> None:
    response = client.get(path, follow_redirects=False)

    assert response.status_code == 200
    assert response.json().items() >= body.items()


def call(**change: Any) -> dict[str, Any]:
    """An inference request in JSON for one blank glyph, with another input."""
    return {"inputs": [{"name": "glyph", "shape": [1, 28, 28], "datatype": "UINT8", "data": BLANK, **change}]}


def test_an_answer_in_json_follows_the_protocol(client: TestClient, reader: Reader) -> None:
    response = client.post(f"{GLYPHS}/infer", json={**call(), "id": "a", "outputs": [{"name": "probabilities"}]})

    body = response.json()
    (output,) = body.pop("outputs")
    assert body == {"model_name": "digits_uint8", "model_version": SHIPPED, "id": "a"}
    assert (output["name"], output["datatype"], output["shape"]) == ("probabilities", "FP32", [1, 10])
    expected = reader.classifier.predict(np.zeros((1, 28, 28), np.uint8)).probabilities[0]
    assert output["data"] == pytest.approx(expected.tolist(), abs=1e-6)
    stages = {stage.partition(";")[0] for stage in response.headers["server-timing"].split(", ")}
    assert stages == {"queue", "parse", "infer"}


def test_data_may_be_nested_like_its_shape(client: TestClient) -> None:
    flat = client.post(f"{GLYPHS}/infer", json=call())
    nested = client.post(f"{GLYPHS}/infer", json=call(data=[[[0] * 28] * 28]))

    assert nested.json() == flat.json()


def test_whole_numbers_are_accepted_for_floats(client: TestClient) -> None:
    response = client.post(
        f"{TENSORS}/infer", json=call(name="input", shape=[1, 1, 28, 28], datatype="FP32", data=[0] * 783 + [0.5])
    )

    assert response.json()["outputs"][0]["shape"] == [1, 10]


def bytes_call(tail: bytes, told: object, length: str = "", **change: Any) -> dict[str, Any]:
    """A request whose tensor's bytes follow the JSON."""
    sent = {"name": "glyph", "shape": [1, 28, 28], "datatype": "UINT8", "parameters": {"binary_data_size": told}, **change}
    head = json.dumps({"inputs": [sent]}).encode()
    return {"content": head + tail, "headers": {"Inference-Header-Content-Length": length or str(len(head))}}


TENSOR: dict[str, Any] = {"name": "input", "shape": [1, 1, 28, 28], "datatype": "FP32"}
BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "no JSON": (GLYPHS, {"content": b"{"}, "Invalid JSON"),
    "no body": (GLYPHS, {"content": b""}, "Invalid JSON"),
    "no UTF-8": (GLYPHS, {"content": b'{"inputs": "\xff"}'}, "Invalid JSON"),
    "JSON of depth": (GLYPHS, {"content": b'{"inputs": ' + b"[" * 10_000}, "has more parts"),
    "JSON that is not an object": (GLYPHS, {"json": [1]}, "body: Input should be an object"),
    "no inputs": (GLYPHS, {"json": {}}, "inputs: Field required"),
    "none of the inputs": (GLYPHS, {"json": {"inputs": []}}, "at least 1 item"),
    "two inputs": (GLYPHS, {"json": {"inputs": call()["inputs"] * 2}}, "at most 1 item"),
    "a number for the id": (GLYPHS, {"json": {**call(), "id": 42}}, "id: Input should be a valid string"),
    "another input": (GLYPHS, {"json": call(name="input")}, "The model takes glyph of UINT8, not 'input' of 'UINT8'"),
    "another datatype": (GLYPHS, {"json": call(datatype="FP32")}, "The model takes glyph of UINT8, not 'glyph' of 'FP32'"),
    "the glyph for the other model": (TENSORS, {"json": call()}, "The model takes input of FP32"),
    "another shape": (GLYPHS, {"json": call(shape=[1, 1, 28, 28])}, "glyph has the shape [N, 28, 28]"),
    "no shape at all": (GLYPHS, {"json": call(shape=[])}, "glyph has the shape [N, 28, 28]"),
    "no rows": (GLYPHS, {"json": call(shape=[0, 28, 28], data=[])}, "where N is 1 to 64; not [0, 28, 28]"),
    "fewer than no rows": (GLYPHS, {"json": call(shape=[-1, 28, 28])}, "where N is 1 to 64"),
    "too many rows": (GLYPHS, {"json": call(shape=[65, 28, 28], data=BLANK * 65)}, "where N is 1 to 64; not [65, 28, 28]"),
    "astronomically many rows": (GLYPHS, {"json": call(shape=[2**62, 28, 28])}, "where N is 1 to 64"),
    "a fraction in the shape": (GLYPHS, {"json": call(shape=[1.5, 28, 28])}, "inputs.0.shape.0"),
    "no data": (GLYPHS, {"json": call(data=None)}, "glyph has no data"),
    "too few numbers": (GLYPHS, {"json": call(data=BLANK[1:])}, "needs 784 numbers, flat or nested like the shape"),
    "nested otherwise": (GLYPHS, {"json": call(data=[BLANK])}, "needs 784 numbers, flat or nested like the shape"),
    "ragged data": (GLYPHS, {"json": call(data=[[0], [0, 0]])}, "flat or nested like the shape"),
    "words": (GLYPHS, {"json": call(data=["0"] * 784)}, "must be whole numbers"),
    "truth": (GLYPHS, {"json": call(data=[True] * 784)}, "must be whole numbers"),
    "nothing in the data": (GLYPHS, {"json": call(data=[None] * 784)}, "must be whole numbers"),
    "an empty list": (GLYPHS, {"json": call(data=[])}, "needs 784 numbers"),
    "fractions for glyphs": (GLYPHS, {"json": call(data=[0.5] * 784)}, "must be whole numbers"),
    "brighter than white": (GLYPHS, {"json": call(data=[256, *BLANK[1:]])}, "must be from 0 to 255"),
    "darker than black": (GLYPHS, {"json": call(data=[-1, *BLANK[1:]])}, "must be from 0 to 255"),
    "huge numbers": (GLYPHS, {"json": call(data=[10**30] * 784)}, "must be from 0 to 255"),
    "numbers beyond any float": (GLYPHS, {"json": call(data=[10**400] * 784)}, "not finite"),
    "numbers that few can read": (GLYPHS, {"content": b'{"inputs": [' + b"9" * 9_000}, "Invalid JSON"),
    "a long word among numbers": (GLYPHS, {"json": call(data=["x" * 10**6, *BLANK[1:]])}, "must be whole numbers"),
    "data of depth": (GLYPHS, {"content": b'{"inputs": [{"name": "glyph", "shape": [1, 28, 28], "datatype": "UINT8", "data": ' + b"[" * 150 + b"]" * 150 + b"}]}"}, "flat or nested like the shape"),
    "a long shape of words": (GLYPHS, {"json": call(shape=["a"] * 100_000)}, "has more parts"),
    "a long shape": (GLYPHS, {"json": call(shape=[1] * 100_000)}, "has more parts"),
    "a huge shape": (GLYPHS, {"json": call(shape=[10**4000, 28, 28])}, "inputs.0.shape.0"),
    "many nameless outputs": (GLYPHS, {"json": {**call(), "outputs": [{}] * 100_000}}, "has more parts"),
    "many outputs": (GLYPHS, {"json": {**call(), "outputs": [{"name": "energy"}] * 100_000}}, "has more parts"),
    "a long name": (GLYPHS, {"json": call(name="x" * 10**6, parameters={"classification": 1})}, "parameter classification"),
    "no number": (TENSORS, {"content": json.dumps(call(**TENSOR, data=[float("nan")] * 784))}, "not finite"),
    "an endless number": (TENSORS, {"content": json.dumps(call(**TENSOR, data=[float("inf")] * 784))}, "not finite"),
    "more than float32 holds": (TENSORS, {"json": call(**TENSOR, data=[1e300] * 784)}, "not finite"),
    "more than can be calculated with": (TENSORS, {"json": call(**TENSOR, data=[3e38] * 784)}, "too large to calculate with"),
    "an output that is not given": (GLYPHS, {"json": {**call(), "outputs": [{"name": "logits"}]}}, "may name probabilities and energy"),
    "an output twice": (GLYPHS, {"json": {**call(), "outputs": [{"name": "energy"}] * 2}}, "each once"),
    "an output without a name": (GLYPHS, {"json": {**call(), "outputs": [{}]}}, "outputs.0.name: Field required"),
    "binary or not": (GLYPHS, {"json": {**call(), "parameters": {"binary_data_output": "yes"}}}, "true or false"),
    "classes": (GLYPHS, {"json": {**call(), "outputs": [{"name": "energy", "parameters": {"classification": 3}}]}}, "parameter classification"),
    "shared memory": (GLYPHS, {"json": call(parameters={"shared_memory_region": "a"})}, "parameter shared_memory_region"),
    "fewer bytes than the shape has": (GLYPHS, bytes_call(bytes(783), 783), "has 784 bytes; 783 follow"),
    "fewer bytes than declared": (GLYPHS, bytes_call(bytes(783), 784), "has 784 bytes; 783 follow"),
    "more bytes than declared": (GLYPHS, bytes_call(bytes(785), 784), "has 784 bytes; 785 follow"),
    "bytes and data": (GLYPHS, bytes_call(bytes(784), 784, data=BLANK), "send one of them"),
    "bytes of a size in words": (GLYPHS, bytes_call(bytes(784), "784 bytes"), "must say how many"),
    "bytes of undeclared size": (GLYPHS, bytes_call(bytes(784), 784, parameters={}, data=BLANK), "give their number as binary_data_size"),
    "bytes that are not numbers": (TENSORS, bytes_call(b"\xff" * 3136, 3136, **TENSOR), "not finite"),
    "a length of the JSON in words": (GLYPHS, bytes_call(bytes(784), 784, "all"), "not a possible number of bytes"),
    "a length of the JSON below nothing": (GLYPHS, bytes_call(bytes(784), 784, "-1"), "not a possible number of bytes"),
    "a length of the JSON beyond reason": (GLYPHS, bytes_call(bytes(784), 784, "9" * 5000), "not a possible number of bytes"),
    "a JSON of no length": (GLYPHS, bytes_call(bytes(784), 784, "0"), "Invalid JSON"),
    "a length of the JSON beyond the body": (GLYPHS, bytes_call(bytes(784), 784, "9999"), "Invalid JSON"),
}  # fmt: skip


@pytest.mark.parametrize(("path", "request_", "message"), BAD.values(), ids=BAD.keys())
def test_unsuitable_inputs_are_refused_in_the_protocols_form(
    client: TestClient, path: str, request_: dict[str, Any], message: str
) -> None:
    response = client.post(f"{path}/infer", **request_)

    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["error"]
    assert message in response.json()["error"]
    assert len(response.content) < 2_000


OTHER: dict[str, tuple[str, str, int]] = {
    "another model": ("POST", "/v2/models/letters/infer", 404),
    "another version": ("POST", f"{GLYPHS}/versions/999/infer", 404),
    "metadata of another model": ("GET", "/v2/models/letters", 404),
    "readiness of another version": ("GET", f"{TENSORS}/versions/999/ready", 404),
    "another path": ("GET", "/v2/repository/index", 404),
    "another method": ("GET", f"{TENSORS}/infer", 405),
}


@pytest.mark.parametrize(("method", "path", "status"), OTHER.values(), ids=OTHER.keys())
def test_unserved_paths_are_reported_in_the_protocols_form(client: TestClient, method: str, path: str, status: int) -> None:
    response = client.request(method, path, json=call() if method == "POST" else None)

    assert response.status_code == status
    assert list(response.json()) == ["error"]
    assert response.headers["x-request-id"]


def test_other_paths_keep_their_own_error_format(client: TestClient) -> None:
    assert client.get("/v20").json()["code"] == "not-found"


def test_a_body_longer_than_rows_can_be_is_refused_unread(client: TestClient) -> None:
    response = client.post(f"{GLYPHS}/infer", content=bytes(4_000_000))

    assert response.status_code == 413
    assert "larger than the limit" in response.json()["error"]


def test_the_most_rows_in_the_longest_json_are_taken(client: TestClient) -> None:
    numbers = np.random.default_rng(0).random(784 * MANY).tolist()  # with all their digits

    response = client.post(f"{TENSORS}/infer", json=call(name="input", shape=[MANY, 1, 28, 28], datatype="FP32", data=numbers))

    assert response.json()["outputs"][0]["shape"] == [MANY, 10]


def test_a_model_that_is_shutting_down_is_not_ready(make_store: MakeStore) -> None:
    app = create_app(Settings(model_store=make_store()))
    with TestClient(app) as client:
        app.state.draining = True
        answers = [client.get(path) for path in ("/v2/health/ready", f"{TENSORS}/ready")]
        live = client.get("/v2/health/live")

    assert [answer.status_code for answer in answers] == [503, 503]
    assert "about to end" in answers[0].json()["error"]
    assert live.json() == {"live": True}


def test_a_server_whose_threads_have_died_is_not_ready(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    app = create_app(Settings(model_store=make_store()))
    with TestClient(app) as client:
        monkeypatch.setattr(app.state.watchdog, "missing", lambda: "threads")
        answers = [client.get(path) for path in ("/health/ready", "/v2/health/ready", f"{TENSORS}/ready")]

    assert [answer.status_code for answer in answers] == [503] * 3
    assert answers[1].json()["error"].startswith("No threads are running")


def test_an_internal_error_is_reported_without_its_text(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(DigitClassifier, "run", fail)
    with TestClient(create_app(Settings(), lambda _: reader), raise_server_exceptions=False) as client:
        response = client.post(f"{GLYPHS}/infer", json=call())

    assert response.status_code == 500
    assert "secret" not in response.text
    assert list(response.json()) == ["error"]


def test_a_failing_request_does_not_affect_the_others_of_its_batch(reader: Reader, excerpt: Excerpt) -> None:
    def fail() -> Inference:
        raise ValueError("no tensor")

    glyphs, tensors = excerpt[0][:3], reader.classifier.preprocess(excerpt[0][3:5])
    requests = [
        TensorRequest(lambda: Inference(glyphs, {})),
        TensorRequest(fail),
        TensorRequest(lambda: Inference(tensors, {})),
    ]

    first, second, third = (reading.result for reading in reader.infer_together(requests))

    assert isinstance(first, Inferred)
    assert isinstance(second, ValueError)
    assert isinstance(third, Inferred)
    for given, expected in ((first, reader.classifier.infer(glyphs)), (third, reader.classifier.run(tensors))):
        np.testing.assert_allclose(given.logits.digits, expected.digits, atol=1e-4)
        np.testing.assert_allclose(given.logits.no_digit, expected.no_digit, atol=1e-4)
