"""The application as a whole: start, health, model, cross-origin calls, OpenAPI."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.errors import StartupError
from app.reading import batch
from app.reading.infer.store import find_model
from app.settings import Settings
from app.web.application import create_app
from benchmarks.pictures import canvas, encode
from tests.conftest import STUB_METADATA, MakeStore
from tests.versions import SHIPPED, change_record

ORIGIN = "https://draw.example"


def test_importing_and_serving_needs_no_torch() -> None:
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'torchvision', 'training', 'onnx')));"
        "from fastapi.testclient import TestClient; import app.cli.app; from app.main import create_app\n"
        "with TestClient(create_app()) as client: print(client.get('/health/ready').json()['status'])"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "ready"


def test_nothing_happens_at_import() -> None:
    program = (
        "import logging, sys; import app.main, app.cli.app, app.web.server;"
        "assert 'onnxruntime' not in sys.modules; assert not logging.getLogger().handlers"
    )

    subprocess.run([sys.executable, "-c", program], check=True, env={"NUMERAL_PORT": "not a port"})


def test_health_reports_the_provider_that_the_model_actually_got(client: TestClient) -> None:
    assert client.get("/health/live").json() == {"status": "live", "provider": None}
    assert client.get("/health/ready").json() == {"status": "ready", "provider": "cpu"}


def test_the_provider_is_logged_at_start(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "app"), TestClient(create_app()):
        assert any("ready on cpu" in line for line in caplog.messages)


def test_the_model_is_described(client: TestClient) -> None:
    record = find_model(Settings().model_store, "digits", SHIPPED).record

    body = client.get("/model").json()

    assert body["name"] == "digits"
    assert body["version"] == record.version
    assert body["chosen_by"] == "setting"
    assert body["sha256"] == record.editions["float32"]
    assert body["editions"] == record.editions
    assert set(body["editions"]) == {"float32", "uint8", "finder", "reader"}
    assert body["provider"] == "cpu"
    assert body["accuracy"]["mnist_test"] == record.metrics["mnist_test_accuracy"]
    assert (body["metadata"]["mean"], body["metadata"]["std"]) == (0.1307, 0.3081)
    assert body["metadata"]["labels"] == list("0123456789")


def test_mean_and_deviation_come_from_the_model(make_store: MakeStore) -> None:
    settings = Settings(model_store=make_store(STUB_METADATA.model_copy(update={"mean": 0.5, "threshold": 0.9})))

    with TestClient(create_app(settings)) as client:
        assert client.get("/model").json()["metadata"]["mean"] == 0.5
        assert client.post("/predict", content=encode(canvas(3))).json()["accepted"] is True


def test_the_served_version_and_who_chose_it_are_logged_and_told(
    make_store: MakeStore, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.INFO, "app"),
        TestClient(create_app(Settings(model_store=make_store()))) as client,
    ):
        told = client.get("/model").json()["chosen_by"]

    assert told == "pointer"
    assert "version 1 answers: the store's pointer names it; shadow none" in caplog.messages


def test_a_model_that_cannot_be_served_stops_the_start(tmp_path: Path) -> None:
    settings = Settings(model_store=tmp_path)
    with pytest.raises(StartupError, match="nothing says which version is served"), TestClient(create_app(settings)):
        pass


def test_a_version_that_was_made_for_the_reader_before_stops_the_start(make_store: MakeStore) -> None:
    store = make_store()
    change_record(store / "digits" / "1", reader=1)
    with (
        pytest.raises(StartupError, match="digits/1: it was made for reader 1"),
        TestClient(create_app(Settings(model_store=store))),
    ):
        pass


def preflight(client: TestClient, origin: str) -> dict[str, str]:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    return dict(client.options("/predict/canvas", headers=headers).headers)


def test_an_origin_in_the_settings_may_call() -> None:
    with TestClient(create_app(Settings(cors_origins=[ORIGIN]))) as client:
        granted = preflight(client, ORIGIN)
        response = client.post("/predict", content=encode(canvas(3)), headers={"Origin": ORIGIN})
        problem = client.post("/predict", content=b"text", headers={"Origin": ORIGIN})

    assert granted["access-control-allow-origin"] == ORIGIN
    assert "POST" in granted["access-control-allow-methods"]
    assert "content-type" in granted["access-control-allow-headers"].lower()
    for answer in (response, problem):
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert answer.headers["access-control-expose-headers"] == "X-Request-ID, Retry-After, Server-Timing"
    assert response.headers["server-timing"]


def test_what_a_page_is_to_wait_for_can_be_read_by_it() -> None:
    app = create_app(Settings(cors_origins=[ORIGIN], max_waiting=1))
    with TestClient(app) as client, app.state.batcher.admit(1):
        refused = client.post("/predict", content=encode(canvas(3)), headers={"Origin": ORIGIN})

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert "Retry-After" in refused.headers["access-control-expose-headers"]
    assert refused.headers["access-control-allow-origin"] == ORIGIN


FRONT_ENDS = (
    "cache-control",
    "pragma",
    "x-requested-with",
    "traceparent",
    "tracestate",
    "baggage",
    "sentry-trace",
    "x-api-key",
    "authorization",
    "content-type",
    "x-request-id",
    "idempotency-key",
    "x-datadog-trace-id",
    "b3",
    "if-none-match",
)


@pytest.mark.parametrize("headers", [*FRONT_ENDS, ",".join(FRONT_ENDS)])
@pytest.mark.parametrize("origins", [[ORIGIN], ["*"]], ids=["named", "any"])
def test_the_headers_that_front_ends_send_pass_the_preflight(headers: str, origins: list[str]) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": headers}
    client = TestClient(create_app(Settings(cors_origins=origins)))  # a preflight needs no model

    granted = client.options("/predict", headers=asked)

    assert granted.status_code == 200
    assert granted.headers["access-control-allow-headers"] == headers
    assert granted.headers["access-control-allow-origin"] == origins[0]


def test_a_private_network_is_entered_where_the_settings_say_so() -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Private-Network": "true"}
    answers = [
        TestClient(create_app(Settings(cors_origins=[ORIGIN], cors_private_network=allowed))).options("/predict", headers=asked)
        for allowed in (False, True)
    ]

    assert [answer.status_code for answer in answers] == [400, 200]
    assert [answer.headers.get("access-control-allow-private-network") for answer in answers] == [None, "true"]


def test_other_origins_may_not() -> None:
    with TestClient(create_app(Settings(cors_origins=[ORIGIN]))) as client:
        assert "access-control-allow-origin" not in preflight(client, "https://other.example")


def test_by_default_no_origin_may(client: TestClient) -> None:
    response = client.options("/predict", headers={"Origin": ORIGIN, "Access-Control-Request-Method": "POST"})

    assert "access-control-allow-origin" not in response.headers
    assert (response.status_code, response.json()["code"]) == (405, "method-not-allowed")
    assert response.json()["detail"] == "This path is served for POST, not for this method."


def test_a_web_page_can_read_a_fault_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(batch, "read_png_header", fail)
    with TestClient(create_app(Settings(cors_origins=[ORIGIN]))) as client:
        response = client.post("/predict", content=b"x", headers={"Origin": ORIGIN})

    assert (response.status_code, response.json()["code"]) == (500, "internal-error")
    assert response.headers["access-control-allow-origin"] == ORIGIN


def test_openapi_names_its_operations_and_shows_both_kinds_of_body(client: TestClient) -> None:
    openapi = client.get("/openapi.json").json()
    operations = {method["operationId"] for path in openapi["paths"].values() for method in path.values()}
    service = {"predict", "predictCanvas", "predictStrokes", "predictBatch", "getModel", "getModelFile", "getLive", "getReady"}
    service |= {"read", "readCanvas", "readBatch"}
    protocol = {f"get{what}" for what in ("ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "VersionReady")}
    protocol |= {"getModelMetadata", "getVersionMetadata", "infer", "inferVersion"}
    bodies = openapi["paths"]["/predict"]["post"]["requestBody"]["content"]

    models = {"getModels", "activateModel", "rollBackModel", "castShadow", "endShadow"}
    assert operations == service | protocol | models | {"getMetrics"}
    assert {"multipart/form-data", "image/jpeg", "application/octet-stream"} <= set(bodies)
    assert openapi["components"]["schemas"]["Prediction"]["examples"][0]["digit"] == 7


def test_openapi_describes_problems_as_problem_json(client: TestClient) -> None:
    responses = client.get("/openapi.json").json()["paths"]["/predict"]["post"]["responses"]

    assert set(responses) == {"200", "401", "408", "413", "415", "422", "429", "500", "503", "504"}
    assert list(responses["422"]["content"]) == ["application/problem+json"]


def test_every_reference_in_openapi_resolves(client: TestClient) -> None:
    openapi = client.get("/openapi.json")
    schemas = openapi.json()["components"]["schemas"]

    for reference in openapi.text.split('"$ref":"')[1:]:
        path = reference.partition('"')[0]
        assert path.removeprefix("#/components/schemas/") in schemas
