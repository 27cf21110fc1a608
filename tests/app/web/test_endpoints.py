"""One row of the table is all that a new endpoint needs: it is guarded, limited, admitted, counted and shed by it."""

import ast
import base64
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.testclient import TestClient
from pydantic import BaseModel

from app.errors import StartupError
from app.settings import Settings
from app.telemetry import tracing
from app.web.access.keys import make_key
from app.web.application import create_app
from app.web.endpoints import TABLE, TAIL, AccessLevel, Endpoint, ErrorForm, Table, operation_path
from app.web.overload import SHEDDER
from benchmarks.pictures import canvas, encode
from tests.versions import SHIPPED

ROOT = Path(__file__).parents[3]
MOST = 1_000  # bytes
READER, READER_KEPT = make_key("phone", "predict")
ADMIN, ADMIN_KEPT = make_key("web", "admin")
DRAWING = encode(canvas(3))
PATHS = {"exact": ("/weigh", "/weigh"), "with a gap": ("/weigh/{what}", "/weigh/paper")}


class Parcel(BaseModel):
    """A body that FastAPI reads."""

    weight: int


async def weigh(request: Request) -> Response:
    """An endpoint that takes the request alone."""
    return Response(str(len(await request.body())), media_type="text/plain")


async def weigh_in_gap(request: Request, what: str) -> Response:
    """The same, with what stands in the path."""
    return Response(f"{what}: {len(await request.body())}", media_type="text/plain")


async def weigh_parcel(parcel: Parcel) -> int:
    """An endpoint that FastAPI calls."""
    return parcel.weight


Row = Callable[..., Endpoint]


def row(path: str, access: AccessLevel = "key", errors: ErrorForm = "problem", works: bool = True) -> Endpoint:
    return Endpoint("weigh", ("POST",), path, access, lambda _: MOST, works, errors)


def make(endpoint: Endpoint, handler: Callable[..., Awaitable[Any]] = weigh, **settings: Any) -> FastAPI:
    """The service with one endpoint more."""
    app = create_app(Settings(model_version=SHIPPED, **settings), table=Table([*TABLE, endpoint]))
    app.add_api_route(endpoint.path, handler, methods=["POST"])
    return app


@pytest.fixture(params=[*PATHS.values()], ids=[*PATHS])
def place(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A template and a path that it fits."""
    template, path = request.param
    return template, path


def handler_of(template: str) -> Callable[..., Awaitable[Any]]:
    return weigh_in_gap if "{" in template else weigh


def test_a_new_endpoint_answers(place: tuple[str, str]) -> None:
    template, path = place
    with TestClient(make(row(template), handler_of(template))) as client:
        answer = client.post(path, content=b"abc")

    assert (answer.status_code, answer.text[-1]) == (200, "3")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert len(answer.headers["x-request-id"]) == 32


def test_an_endpoint_is_guarded_as_its_row_says(place: tuple[str, str]) -> None:
    template, path = place
    keys = [str(READER_KEPT), str(ADMIN_KEPT)]
    with TestClient(make(row(template), handler_of(template), api_keys=keys)) as client:
        statuses = [client.post(path, headers=each).status_code for each in ({}, {"X-API-Key": READER})]
        described = client.get("/openapi.json").json()["paths"][template]["post"]
    with TestClient(make(row(template, "admin"), handler_of(template), api_keys=keys)) as client:
        statuses += [client.post(path, headers={"X-API-Key": key}).status_code for key in (READER, ADMIN)]
    with TestClient(make(row(template, "open"), handler_of(template), api_keys=keys)) as client:
        statuses += [client.post(path).status_code]

    assert statuses == [401, 200, 403, 200, 200]
    assert described["security"] == [{"key": []}, {"bearer": []}]


@pytest.mark.usefixtures("patient_limits")
def test_its_clients_are_limited(place: tuple[str, str]) -> None:
    template, path = place
    with TestClient(make(row(template), handler_of(template), rate_limit="2/hour")) as client:
        assert [client.post(path).status_code for _ in range(4)] == [200, 200, 429, 429]


def chunks(length: int) -> Iterator[bytes]:
    yield from (b"x" for _ in range(length))


@pytest.mark.parametrize("body", [bytes(MOST + 1), chunks(MOST + 1)], ids=["length declared", "chunked"])
def test_its_body_is_limited(body: bytes | Iterator[bytes]) -> None:
    with TestClient(make(row("/weigh"))) as client:
        fits, refused = client.post("/weigh", content=bytes(MOST)), client.post("/weigh", content=body)

    assert (fits.status_code, fits.text) == (200, str(MOST))
    assert (refused.status_code, refused.json()["code"]) == (413, "upload-too-large")
    assert f"{MOST:,} bytes" in refused.json()["detail"]


def test_a_body_that_fastapi_reads_is_limited_too() -> None:
    with TestClient(make(row("/weigh"), weigh_parcel)) as client:
        fits = client.post("/weigh", json={"weight": 7})
        refused = client.post("/weigh", json={"weight": 7, "wrapping": "x" * MOST})

    assert (fits.status_code, fits.json()) == (200, 7)
    assert (refused.status_code, refused.json()["code"]) == (413, "upload-too-large")


def test_a_body_that_is_declared_too_long_is_not_asked_for() -> None:
    def never() -> Iterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    with TestClient(make(row("/weigh"))) as client:
        answer = client.post("/weigh", content=never(), headers={"Content-Length": str(MOST + 1)})

    assert answer.status_code == 413


def test_an_endpoint_that_brings_work_takes_a_place(place: tuple[str, str]) -> None:
    template, path = place
    app = make(row(template), handler_of(template), max_waiting=1)
    with TestClient(app) as client, app.state.batcher.admit(1):
        refused = client.post(path)
    app = make(row(template, works=False), handler_of(template), max_waiting=1)
    with TestClient(app) as client, app.state.batcher.admit(1):
        answered = client.post(path)

    assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
    assert answered.status_code == 200


def test_an_endpoint_is_counted_by_its_template(place: tuple[str, str]) -> None:
    template, path = place
    with TestClient(make(row(template), handler_of(template))) as client:
        client.post(path)
        client.get(path)
        counted = client.get("/metrics").text

    for method, status in (("POST", 200), ("GET", 405)):
        assert f'numeral_requests_total{{method="{method}",route="{template}",status="{status}"}} 1.0' in counted


@pytest.mark.parametrize(("errors", "found"), [("problem", b'"code":"overloaded"'), ("protocol", b'{"error": ')])
def test_an_endpoint_that_brings_work_is_shed_on_the_connection(
    place: tuple[str, str], errors: ErrorForm, found: bytes
) -> None:
    template, path = place
    app = make(row(template, errors=errors), handler_of(template), max_waiting=1)
    with TestClient(app) as client:
        shedder, headers = client.app_state[SHEDDER], [(b"content-length", b"1")]
        free = shedder.refuse(path.encode(), headers)
        with app.state.batcher.admit(1):
            refusal = shedder.refuse(path.encode(), headers)
            applications = client.post(path)

    assert free is None
    assert found in refusal
    assert len(applications.content) == len(refusal.partition(b"\r\n\r\n")[2])
    assert applications.status_code == 503


def test_errors_have_the_form_that_its_row_names() -> None:
    with TestClient(make(row("/weigh", errors="protocol"))) as client:
        assert client.post("/weigh", content=bytes(MOST + 1)).json().keys() == {"error"}
        assert client.get("/weigh").json().keys() == {"error"}


@pytest.mark.parametrize("path", ["/weigh", "/model"], ids=["another path", "another method"])
def test_a_route_without_a_row_stops_the_start(path: str) -> None:
    app = create_app(Settings(model_version=SHIPPED))
    app.add_api_route(path, weigh, methods=["POST"])

    with pytest.raises(StartupError, match=f"no row for POST {path}"), TestClient(app):
        pass


@pytest.mark.parametrize("path", ["/admin/models/rollback", "/admin/models/1/activate", "/admin/nothing"])
def test_a_line_feed_behind_a_path_opens_nothing(path: str) -> None:
    with TestClient(create_app(Settings(model_version=SHIPPED)), client=("203.0.113.9", 1)) as client:
        assert client.post(f"{path}%0A").status_code == 403


def test_nor_does_it_pass_by_the_queue() -> None:
    app = create_app(Settings(model_version=SHIPPED, max_waiting=1))
    with TestClient(app) as client, app.state.batcher.admit(1):
        assert client.post("/predict%0A", content=b"x").status_code == 503


BEHIND_TLS = {"Host": "digits.example", "X-Forwarded-Proto": "https"}


@pytest.mark.parametrize("traced", [False, True], ids=["direct", "by FastAPI"])
def test_a_slash_behind_the_path_of_a_picture_makes_no_difference(traced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if traced:
        monkeypatch.setattr(tracing, "is_on", lambda: True)
    with TestClient(create_app(Settings(model_version=SHIPPED)), follow_redirects=False) as client:
        answers = [
            client.post("/predict/", content=DRAWING, headers=BEHIND_TLS),
            client.post("/predict/canvas/", json={"image": base64.b64encode(DRAWING).decode()}, headers=BEHIND_TLS),
            client.post("/predict/batch/?include=glyph", files=[("files", DRAWING)], headers=BEHIND_TLS),
        ]
        counted = client.get("/metrics").text

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [answer.json().get("digit") for answer in answers[:2]] == [3, 3]
    assert answers[2].json()["results"][0]["glyph"]
    assert 'numeral_requests_total{method="POST",route="/predict",status="200"} 1.0' in counted


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/docs/", "../docs"),
        ("/health/live/", "../live"),
        ("/model/file/?edition=uint8&x=%0d%0aY:1", "../file?edition=uint8&x=%0d%0aY:1"),
        ("/v2/models/dig%0d%0aits/", "../dig%0D%0Aits"),
        ("/v2/models/http:evil.example/", "../http%3Aevil.example"),
    ],
)
def test_a_reader_is_led_to_the_path_without_a_slash_whatever_the_host(path: str, place: str) -> None:
    with TestClient(create_app(Settings(model_version=SHIPPED)), follow_redirects=False) as client:
        led = client.get(path, headers=BEHIND_TLS)

    assert (led.status_code, led.headers["location"]) == (307, place)


def test_what_is_led_elsewhere_is_guarded_as_there() -> None:
    app = create_app(Settings(model_version=SHIPPED, api_keys=[str(READER_KEPT)]))
    with TestClient(app, follow_redirects=False) as client:
        statuses = [client.get(path).status_code for path in ("/model/", "/metrics/", "/docs/")]
        statuses += [client.post(path).status_code for path in ("/predict/", "/admin/models/rollback/")]
        admin = client.post("/admin/models/rollback/", headers={"X-API-Key": READER})

    assert statuses == [401, 401, 307, 401, 401]
    assert admin.status_code == 403


def test_an_administrators_path_is_served_with_a_slash_too() -> None:
    local: dict[str, Any] = {"client": ("127.0.0.1", 50_000), "base_url": "http://127.0.0.1:8000"}
    with TestClient(create_app(Settings(model_version=SHIPPED)), follow_redirects=False, **local) as client:
        bare, slashed = client.post("/admin/models/rollback"), client.post("/admin/models/rollback/")

    assert (bare.status_code, bare.json()["detail"]) == (slashed.status_code, slashed.json()["detail"])


@pytest.mark.parametrize("path", ["/predict//", "/nothing/", "/predict/nothing/", "/page/x", "/static-offline-docs"])
def test_other_paths_with_slashes_are_not_found_and_lead_nowhere(path: str) -> None:
    with TestClient(create_app(Settings(model_version=SHIPPED)), follow_redirects=False) as client:
        assert client.get(path).status_code == 404


def test_a_path_with_a_slash_is_shed_on_the_connection() -> None:
    app = create_app(Settings(model_version=SHIPPED, max_waiting=1))
    with TestClient(app) as client, app.state.batcher.admit(1):
        assert client.app_state[SHEDDER].refuse(b"/predict/", [(b"content-length", b"1")]) is not None


def test_two_rows_of_one_path_are_refused() -> None:
    with pytest.raises(ValueError, match="one path"):
        Table([*TABLE, row("/predict")])


def test_each_row_is_served_with_its_methods(tmp_path: Path) -> None:
    app = create_app(Settings(model_version=SHIPPED, keep="glyphs", data_dir=tmp_path))
    routes = {
        (method, context.path)
        for context in iter_route_contexts(app.routes)
        if isinstance(context.original_route, APIRoute)
        for method in context.original_route.methods or ()
    }
    named = {operation_path(each) for each in ("page", "docs", "reviewPage", "openapi", "pageFiles", "docsFiles")}

    rows = {(method, each.path.removesuffix(f"/{TAIL}")) for each in TABLE for method in each.methods}

    assert {each for each in rows if each[1] not in named} == routes


def test_no_other_module_of_the_application_knows_a_path() -> None:
    paths = {re.split(r"[{]", each.path)[0].rstrip("/") for each in TABLE} - {""}
    knowing = {
        file.relative_to(ROOT).as_posix(): text
        for file in (ROOT / "app").rglob("*.py")
        for text in strings(file)
        if any(text == path or text.startswith((f"{path}/", f"{path}{{")) for path in paths)
    }

    assert set(knowing) == {"app/web/endpoints.py"}, knowing


def strings(file: Path) -> Iterator[str]:
    """The literals of a module, docstrings excepted."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.value
