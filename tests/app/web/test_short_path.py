"""The short path to an endpoint and FastAPI's own give the same answers."""

import json
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.settings import Settings
from app.web.application import create_app
from app.web.middleware import direct_endpoints
from benchmarks.pictures import canvas, encode
from tests.versions import SHIPPED

DRAWING = encode(canvas(3))
GLYPH = {"name": "glyph", "datatype": "UINT8", "shape": [1, 28, 28], "data": [0] * 784}
TENSOR = json.dumps({"inputs": [GLYPH]}).encode()
REQUESTS = {
    "a picture": ("POST", "/predict", DRAWING),
    "a picture with its glyph": ("POST", "/predict?include=glyph", DRAWING),
    "another include": ("POST", "/predict?include=all", DRAWING),
    "the last include counts": ("POST", "/predict?include=all&include=glyph", DRAWING),
    "no picture": ("POST", "/predict", b"seven"),
    "nothing": ("POST", "/predict", b""),
    "a canvas": ("POST", "/predict/canvas", b"{}"),
    "strokes": ("POST", "/predict/strokes", b"{}"),
    "a batch that is none": ("POST", "/predict/batch", DRAWING),
    "another method": ("GET", "/predict", b""),
    "HEAD": ("HEAD", "/health/live", b""),
    "alive": ("GET", "/health/live", b""),
    "ready": ("GET", "/health/ready", b""),
    "a slash behind": ("GET", "/health/live/", b""),
    "the model": ("GET", "/model", b""),
    "nothing there": ("GET", "/nope", b""),
    "a tensor": ("POST", "/v2/models/digits_uint8/infer", TENSOR),
    "a tensor for a version": ("POST", f"/v2/models/digits_uint8/versions/{SHIPPED}/infer", TENSOR),
    "a tensor for a version in the query": ("POST", f"/v2/models/digits_uint8/infer?version={SHIPPED}", TENSOR),
    "a tensor for another version in the query": ("POST", "/v2/models/digits_uint8/infer?version=99", TENSOR),
    "a tensor for two versions": ("POST", f"/v2/models/digits_uint8/versions/{SHIPPED}/infer?version=99", TENSOR),
    "a tensor for nothing": ("POST", "/v2/models/none/infer", TENSOR),
    "no tensor": ("POST", "/v2/models/digits_uint8/infer", b"{}"),
    "another method for a tensor": ("GET", "/v2/models/digits_uint8/infer", b""),
    "nothing there in the protocol": ("GET", "/v2/nope", b""),
    "a model of the protocol": ("GET", "/v2/models/digits", b""),
}


@pytest.fixture(scope="module")
def long_way() -> Iterator[TestClient]:
    """A service that traces, whose requests FastAPI routes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_SDK_DISABLED", "true")
        app = create_app(Settings(model_version=SHIPPED))
    assert app.user_middleware[0].kwargs["traced"]
    with TestClient(app) as client:
        yield client


@pytest.mark.parametrize(("method", "path", "content"), REQUESTS.values(), ids=REQUESTS.keys())
def test_direct_calls_and_fastapi_routing_give_the_same_answers(
    client: TestClient, long_way: TestClient, method: str, path: str, content: bytes
) -> None:
    headers = {"X-Request-ID": "same"}

    short, long = (each.request(method, path, content=content, headers=headers) for each in (client, long_way))

    assert (short.status_code, short.text) == (long.status_code, long.text)
    assert {**short.headers, "server-timing": ""} == {**long.headers, "server-timing": ""}


def test_endpoints_that_take_the_request_alone_are_called_without_a_search_for_their_route(client: TestClient) -> None:
    app = client.app
    assert isinstance(app, FastAPI)

    direct = {operation for operation, _ in direct_endpoints(app)}

    assert direct == {
        ("POST", "/predict"),
        ("POST", "/predict/canvas"),
        ("POST", "/predict/strokes"),
        ("POST", "/predict/batch"),
        ("POST", "/read"),
        ("POST", "/read/canvas"),
        ("POST", "/read/batch"),
        ("GET", "/health/live"),
        ("GET", "/health/ready"),
        ("POST", "/v2/models/{name}/infer"),
        ("POST", "/v2/models/{name}/versions/{version}/infer"),
    }


def test_the_short_path_is_found_wherever_the_application_is_mounted(client: TestClient) -> None:
    outer = FastAPI()
    outer.mount("/numeral", client.app)

    with TestClient(outer) as mounted:
        assert mounted.get("/numeral/health/live").json() == client.get("/health/live").json()
        assert mounted.get("/health/live").status_code == 404
