"""Access: keys, roles and the local machine, and how OpenAPI and CORS describe them."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient
from pydantic import ValidationError

from app.settings import Settings
from app.web.access.keys import make_key
from app.web.application import create_app
from app.web.endpoints import TABLE, TAIL
from app.web.server import uvicorn_options, warn_of_open_doors
from benchmarks.pictures import canvas, encode
from tests.versions import SHIPPED

DRAWING = encode(canvas(3))
READER, READER_KEPT = make_key("phone", "predict")
ADMIN, ADMIN_KEPT = make_key("web", "admin")
LOCAL: dict[str, Any] = {"client": ("127.0.0.1", 50_000), "base_url": "http://127.0.0.1:8000"}


@pytest.fixture(scope="module")
def locked() -> Iterator[TestClient]:
    """The service with two keys."""
    settings = Settings(model_version=SHIPPED, api_keys=[str(READER_KEPT), str(ADMIN_KEPT)], cors_origins=["https://a.example"])
    with TestClient(create_app(settings), **LOCAL) as client:
        yield client


@pytest.mark.parametrize("headers", [{"X-API-Key": READER}, {"Authorization": f"Bearer {READER}"}, {"Authorization": f"bearer  {READER} "}, {"X-API-Key": ADMIN}])  # fmt: skip
def test_a_known_key_is_admitted(locked: TestClient, headers: dict[str, str]) -> None:
    answer = locked.post("/predict", content=DRAWING, headers=headers)

    assert answer.json()["digit"] == 3


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": "x"},
        {"X-API-Key": READER_KEPT.sha256},
        {"X-API-Key": "ü".encode("latin-1")},
        {"Authorization": READER},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {READER}"},
        {"X-API-Key": "x", "Authorization": f"Bearer {READER}"},
    ],
    ids=["none", "empty", "unknown", "its digest", "no ASCII", "no scheme", "no credentials", "another scheme", "a wrong one before a right"],
)  # fmt: skip
def test_without_a_known_key_the_answer_is_401(locked: TestClient, headers: dict[str, Any]) -> None:
    answer = locked.post("/predict", content=DRAWING, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == 'Bearer realm="numeral"'
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/model", "/models", "/admin/models/rollback", "/nothing-here", "//health/live", "/metrics"])
def test_every_path_that_is_not_declared_open_requires_a_key(locked: TestClient, path: str) -> None:
    assert locked.get(f"http://127.0.0.1:8000{path}").status_code == 401


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/docs", "/openapi.json", "/"])
def test_health_and_the_page_are_open(locked: TestClient, path: str) -> None:
    assert locked.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_files_that_the_pages_load_are_open_too(locked: TestClient, path: str) -> None:
    loaded = re.findall(r'(?:src|href)="([^":#]+)"', locked.get(path).text)

    assert len(loaded) >= 3
    assert {name: locked.get(f"/{name}").status_code for name in loaded} == dict.fromkeys(loaded, 200)


def test_a_path_that_only_looks_open_is_not() -> None:
    paths = ("/healthy", "/health", "/static", "/docs/x", "/x/health/live")
    assert "open" not in [TABLE.find(path).access for path in paths]


def test_a_reader_may_not_change_the_model(locked: TestClient) -> None:
    answer = locked.post("/admin/models/1/activate", headers={"X-API-Key": READER})

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert "role predict" in answer.json()["detail"]


def test_an_admin_may_change_the_model_from_anywhere(locked: TestClient) -> None:
    headers = {"X-API-Key": ADMIN, "Host": "numeral.example", "X-Forwarded-For": "203.0.113.9"}

    answer = locked.post(f"/admin/models/{SHIPPED}/activate", headers=headers)

    assert answer.json()["active"] == SHIPPED


def test_a_refusal_comes_before_the_body_is_read(locked: TestClient) -> None:
    def never() -> Iterator[bytes]:
        yield b"x"
        raise AssertionError("the body was read")

    assert locked.post("/predict", content=never()).status_code == 401


def test_a_key_is_never_logged(locked: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        locked.post("/predict", content=DRAWING, headers={"X-API-Key": READER + "x"})
        locked.post("/predict", content=DRAWING, headers={"X-API-Key": READER})

    assert READER not in caplog.text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_without_keys_the_machine_itself_may_change_the_model(host: str) -> None:
    with TestClient(create_app(Settings(host=host, model_version=SHIPPED)), **LOCAL) as client:
        assert client.post(f"/admin/models/{SHIPPED}/activate").status_code == 200


REMOTE: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "from another address": ({"client": ("203.0.113.9", 1)}, {}),
    "from no address": ({"client": ("testclient", 1)}, {}),
    "through a proxy": ({}, {"X-Forwarded-For": "203.0.113.9"}),
    "through another proxy": ({}, {"Via": "1.1 proxy"}),
    "from another site's page": ({}, {"Origin": "https://evil.example"}),
    "from a page of no site": ({}, {"Origin": "null"}),
    "by a name that somebody pointed here": ({"base_url": "http://evil.example:8000"}, {"Origin": "http://evil.example:8000"}),
    "by a broken name": ({}, {"Host": "[x"}),
}


@pytest.mark.parametrize(("client", "headers"), REMOTE.values(), ids=REMOTE.keys())
def test_without_keys_other_machines_may_not_change_the_model(client: dict[str, Any], headers: dict[str, str]) -> None:
    with TestClient(create_app(Settings(model_version=SHIPPED)), **{**LOCAL, **client}) as caller:
        answer = caller.post(f"/admin/models/{SHIPPED}/activate", headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_a_prefix_that_a_server_puts_before_the_path_opens_nothing_and_closes_nothing() -> None:
    remote: dict[str, Any] = {**LOCAL, "client": ("203.0.113.9", 1), "root_path": "/numeral"}
    with TestClient(create_app(Settings(model_version=SHIPPED)), **remote) as caller:
        assert caller.post("/admin/models/rollback").status_code == 403
        assert caller.get("/v2/models/none").json().keys() == {"error"}
    with TestClient(create_app(Settings(model_version=SHIPPED, api_keys=[str(READER_KEPT)])), **remote) as caller:
        assert caller.get("/health/live").status_code == 200
        assert caller.get("/model").status_code == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "numeral.example"])
def test_without_keys_a_public_service_lets_no_client_change_the_model(host: str) -> None:
    with TestClient(create_app(Settings(host=host, model_version=SHIPPED)), **LOCAL) as client:
        assert client.post(f"/admin/models/{SHIPPED}/activate").status_code == 403


def test_openapi_requires_a_key_where_the_service_does(locked: TestClient, client: TestClient) -> None:
    told, untold = locked.get("/openapi.json").json(), client.get("/openapi.json").json()

    assert set(told["components"]["securitySchemes"]) == {"key", "bearer"}
    assert told["paths"]["/predict"]["post"]["security"] == [{"key": []}, {"bearer": []}]
    assert {"401", "429"} <= set(told["paths"]["/predict"]["post"]["responses"])
    assert "403" not in told["paths"]["/predict"]["post"]["responses"]
    assert "403" in told["paths"]["/admin/models/rollback"]["post"]["responses"]
    assert "security" not in told["paths"]["/health/live"]["get"]
    assert untold["paths"]["/predict"]["post"]["security"] == [{}, {"key": []}, {"bearer": []}]


def test_any_origin_together_with_credentials_is_refused() -> None:
    with pytest.raises(ValidationError, match="cors_credentials cannot be combined with"):
        Settings(cors_origins=["*"], cors_credentials=True)


def test_a_page_of_a_known_origin_may_send_its_key(locked: TestClient) -> None:
    asked = {
        "Origin": "https://a.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-api-key",
    }

    granted = locked.options("/predict", headers=asked)
    refused = locked.post("/predict", content=DRAWING, headers={"Origin": "https://a.example"})

    assert granted.status_code == 200
    assert "access-control-allow-credentials" not in granted.headers
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://a.example")


def test_credentials_are_allowed_if_the_settings_say_so() -> None:
    settings = Settings(cors_origins=["https://a.example"], cors_credentials=True)
    with TestClient(create_app(settings)) as client:
        answer = client.get("/health/live", headers={"Origin": "https://a.example"})

    assert answer.headers["access-control-allow-credentials"] == "true"


def test_the_docs_name_the_open_paths() -> None:
    text = (Path(__file__).parents[4] / "docs" / "access.md").read_text(encoding="utf-8")
    (named,) = re.findall(r"^\| nothing \| (.*) \|$", text, re.MULTILINE)

    are_open = {row.path for row in TABLE if row.access == "open"}
    below = {path.partition("{")[0] for path in are_open if path.endswith(TAIL)}
    assert sorted(re.findall(r"`(.*?)…?`", named)) == sorted(
        [*below, *(path for path in are_open if not path.startswith(tuple(below)))]
    )


@pytest.mark.parametrize(
    ("proxies", "sender", "forwarded", "seen"),
    [
        ([], "127.0.0.1", "203.0.113.9", "127.0.0.1"),
        (["127.0.0.0/8"], "127.0.0.1", "203.0.113.9", "203.0.113.9"),
        (["127.0.0.1"], "127.0.0.1", "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        (["127.0.0.1", "203.0.113.0/24"], "127.0.0.1", "198.51.100.1, 203.0.113.9", "198.51.100.1"),
        (["10.0.0.0/8"], "127.0.0.1", "203.0.113.9", "127.0.0.1"),
    ],
    ids=["no proxy", "a trusted proxy", "a client that lies to it", "two trusted proxies", "an untrusted one"],
)
def test_only_trusted_proxies_name_the_client(proxies: list[str], sender: str, forwarded: str, seen: str) -> None:
    settings = Settings(trusted_proxies=proxies)
    clients: list[str] = []

    async def application(scope: Any, _receive: Any, _send: Any) -> None:
        clients.append(scope["client"][0])

    config = uvicorn.Config(application, **uvicorn_options(settings))
    config.load()
    scope = {"type": "http", "client": (sender, 1), "headers": [(b"x-forwarded-for", forwarded.encode())]}
    with contextlib.suppress(StopIteration):
        config.loaded_app(scope, None, None).send(None)

    assert clients == [seen]


@pytest.mark.parametrize(("settings", "warned"), [({"host": "0.0.0.0"}, True), ({"host": "localhost"}, False), ({"host": "0.0.0.0", "api_keys": [str(ADMIN_KEPT)]}, False)])  # fmt: skip
def test_a_public_service_without_keys_logs_a_warning(
    settings: dict[str, Any], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    warn_of_open_doors(Settings(**settings))

    assert ("no API keys" in caplog.text) is warned


def test_other_protocols_are_passed_on() -> None:
    seen: list[str] = []

    async def application(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["type"])

    app = create_app(Settings())
    (entrance,) = app.user_middleware
    door: Any = entrance.cls(application, *entrance.args, **entrance.kwargs)
    with pytest.raises(StopIteration):
        door({"type": "lifespan", "app": app}, None, None).send(None)

    assert seen == ["lifespan"]
