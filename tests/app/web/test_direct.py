"""The short path to an endpoint and FastAPI's own give the same answers."""

import inspect
from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from app.settings import Settings
from app.web.application import create_app
from app.web.middleware import DirectMiddleware
from app.web.routes.predict import direct
from benchmarks.pictures import canvas, encode
from tests.conftest import SHIPPED

DRAWING = encode(canvas(3))
REQUESTS = {
    "a picture": ("POST", "/predict", DRAWING),
    "a picture with its glyph": ("POST", "/predict?include=glyph", DRAWING),
    "another include": ("POST", "/predict?include=all", DRAWING),
    "the last include counts": ("POST", "/predict?include=all&include=glyph", DRAWING),
    "no picture": ("POST", "/predict", b"seven"),
    "nothing": ("POST", "/predict", b""),
    "a canvas": ("POST", "/predict/canvas", b"{}"),
    "a batch that is none": ("POST", "/predict/batch", DRAWING),
    "another method": ("GET", "/predict", b""),
    "HEAD": ("HEAD", "/health/live", b""),
    "alive": ("GET", "/health/live", b""),
    "ready": ("GET", "/health/ready", b""),
    "a slash behind": ("GET", "/health/live/", b""),
    "the model": ("GET", "/model", b""),
    "nothing there": ("GET", "/nope", b""),
}


@pytest.fixture(scope="module")
def long_way() -> Iterator[TestClient]:
    """A service that traces, whose requests FastAPI routes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_SDK_DISABLED", "true")
        app = create_app(Settings(model_version=SHIPPED))
    assert DirectMiddleware.__name__ not in str(app.user_middleware)
    with TestClient(app) as client:
        yield client


@pytest.mark.parametrize(("method", "path", "content"), REQUESTS.values(), ids=REQUESTS.keys())
def test_both_paths_give_the_same_answers(
    client: TestClient, long_way: TestClient, method: str, path: str, content: bytes
) -> None:
    headers = {"X-Request-ID": "same"}

    short, long = (each.request(method, path, content=content, headers=headers) for each in (client, long_way))

    assert (short.status_code, short.text) == (long.status_code, long.text)
    assert {**short.headers, "server-timing": ""} == {**long.headers, "server-timing": ""}


def test_the_endpoints_take_only_the_request() -> None:
    for route in direct.routes:
        assert isinstance(route, APIRoute)
        assert inspect.iscoroutinefunction(route.endpoint)
        assert [each.annotation for each in inspect.signature(route.endpoint).parameters.values()] == [Request]


def test_the_short_path_is_found_wherever_the_application_is_mounted(client: TestClient) -> None:
    outer = FastAPI()
    outer.mount("/numeral", client.app)

    with TestClient(outer) as mounted:
        assert mounted.get("/numeral/health/live").json() == client.get("/health/live").json()
        assert mounted.get("/health/live").status_code == 404
