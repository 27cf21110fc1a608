"""OpenAPI's description: committed, true, and with an example for each error."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app import errors
from app.errors import RequestError
from app.settings import Settings
from app.web.access.keys import make_key
from app.web.application import create_app
from app.web.endpoints import TABLE
from app.web.openapi import EXAMPLES, TAGS, example_of
from app.web.schemas import Problem
from benchmarks.pictures import canvas, encode
from tests.app.reading.decode.test_picture import lying_png
from tests.app.web.test_problems import BAD
from tests.versions import SHIPPED

PROBLEM = "application/problem+json"
FILE = Path(__file__).parents[3] / "docs" / "openapi.json"
DESCRIBED: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, operations in DESCRIBED["paths"].items()
    for method, operation in operations.items()
}


def described_codes(operation: dict[str, Any], status: int) -> set[str]:
    """The codes of the examples of an operation's problems."""
    response = operation["responses"].get(str(status), {})
    return set(response.get("content", {}).get(PROBLEM, {}).get("examples", ()))


def test_the_file_is_what_the_service_answers(client: TestClient) -> None:
    assert create_app(Settings()).openapi() == DESCRIBED, "make openapi writes it anew"
    assert client.get("/openapi.json").json() == DESCRIBED


def every_error(kind: type[RequestError] = RequestError) -> set[type[RequestError]]:
    below = set(kind.__subclasses__())
    return below.union(*map(every_error, below))


def test_each_error_that_is_answered_over_http_has_an_example() -> None:
    answered = {kind for kind in every_error() if kind.__module__ == errors.__name__} - {errors.UnreadableFile}

    assert set(EXAMPLES) == answered
    assert set(DESCRIBED["components"]["examples"]) == {kind.code for kind in answered}


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.code)
def test_an_example_is_a_problem_of_its_code_and_stands_at_its_status(kind: type[RequestError]) -> None:
    example = DESCRIBED["components"]["examples"][kind.code]["value"]
    there = [
        described["value"]
        for operation in OPERATIONS.values()
        for status, response in operation["responses"].items()
        for code, described in response.get("content", {}).get(PROBLEM, {}).get("examples", {}).items()
        if code == kind.code and int(status) == kind.status
    ]

    assert Problem.model_validate(example).code == kind.code
    assert (example["status"], example["title"]) == (kind.status, kind.status.phrase)
    assert all(each == example == example_of(kind) for each in there)
    assert there or kind in (errors.MethodNotAllowed, errors.InvalidTensor)  # of paths and of the protocol's form


@pytest.fixture(scope="module")
def own() -> Iterator[TestClient]:
    """The service as a program of its own machine sees it."""
    local: dict[str, Any] = {"client": ("127.0.0.1", 50_000), "base_url": "http://127.0.0.1:8000"}
    with TestClient(create_app(Settings(model_version=SHIPPED)), **local) as client:
        yield client


DRAWING = encode(canvas(3))
AS_SHOWN: dict[type[RequestError], tuple[str, str, dict[str, Any]]] = {
    errors.InvalidBase64: ("POST", "/predict/canvas", {"json": {"image": "!"}}),
    errors.NotFound: ("GET", "/nothing", {}),
    errors.MethodNotAllowed: ("DELETE", "/model", {}),
    errors.UnsupportedEncoding: ("POST", "/predict", {"content": b"x", "headers": {"Content-Encoding": "gzip"}}),
    errors.UnreadableImage: ("POST", "/predict", {"content": DRAWING[:300]}),
    errors.NoDigitFound: ("POST", "/predict", {"content": encode(canvas(3, ink=(255, 255, 255)))}),
    errors.InvalidRequest: ("POST", "/predict", {"files": {"image": DRAWING}}),
    errors.ModelRejected: ("POST", "/admin/models/rollback", {}),
    errors.ImageTooLarge: ("POST", "/predict", {"content": lying_png(9_000, 7_000)}),
}


@pytest.mark.parametrize("kind", AS_SHOWN, ids=lambda kind: kind.code)
def test_the_service_says_what_the_example_shows(own: TestClient, kind: type[RequestError]) -> None:
    method, path, request = AS_SHOWN[kind]

    problem = own.request(method, path, **request).json()

    assert problem | {"request_id": ""} == example_of(kind) | {"request_id": ""}


@pytest.mark.parametrize(("path", "status", "code"), sorted({(path, status, code) for path, _, status, code in BAD.values()}))
def test_what_bad_input_is_answered_is_described(path: str, status: int, code: str) -> None:
    operation = OPERATIONS.get(f"POST {path.partition('?')[0]}")
    if operation is None:
        assert status in (404, 405)  # of a path or a method that is not described either
    else:
        assert code in described_codes(operation, status)


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_has_a_tag_that_is_described_and_says_who_may_call(name: str) -> None:
    operation, row = OPERATIONS[name], TABLE.find(name.partition(" ")[2])
    statuses = set(operation["responses"])

    assert operation["tags"]
    assert set(operation["tags"]) <= {tag["name"] for tag in TAGS}
    if row.access == "open":
        assert "security" not in operation
        assert not statuses & {"401", "403", "429"}
    else:
        assert operation["security"] == [{}, {"key": []}, {"bearer": []}]
        assert {"401", "429"} <= statuses
        assert ("403" in statuses) == (row.access == "admin")


def test_tags_servers_and_keys_are_described() -> None:
    used = {tag for operation in OPERATIONS.values() for tag in operation["tags"]}

    assert used == {tag["name"] for tag in DESCRIBED["tags"]}
    assert [server["url"] for server in DESCRIBED["servers"]] == ["/", "http://127.0.0.1:8000"]
    assert DESCRIBED["components"]["securitySchemes"] == {
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "bearer": {"type": "http", "scheme": "bearer"},
    }


def test_where_there_are_keys_a_call_needs_one() -> None:
    _, kept = make_key("phone", "predict")
    described = create_app(Settings(api_keys=[str(kept)])).openapi()

    assert described["paths"]["/predict"]["post"]["security"] == [{"key": []}, {"bearer": []}]


def test_a_server_behind_a_path_is_named() -> None:
    client = TestClient(create_app(Settings()), root_path="/digits")

    assert client.get("/digits/openapi.json").json()["servers"][0]["url"] == "/digits"


def test_errors_that_pass_say_when_to_try_again() -> None:
    responses = OPERATIONS["POST /predict"]["responses"]

    assert [status for status, response in responses.items() if "Retry-After" in response.get("headers", {})] == ["503", "429"]


def test_every_tag_is_described_where_answers_are_kept(tmp_path: Path) -> None:
    described = create_app(Settings(keep="glyphs", data_dir=tmp_path)).openapi()

    used = {tag for methods in described["paths"].values() for operation in methods.values() for tag in operation["tags"]}
    assert used == {tag["name"] for tag in described["tags"]}
