"""What operators see of requests: series for Prometheus, and one log line each."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from app.reading import batch
from app.runtime.loading import load_model
from app.settings import Settings
from app.web.application import create_app
from benchmarks.pictures import canvas, encode
from tests.conftest import STUB_METADATA, MakeStore
from tests.versions import SHIPPED

DRAWING = encode(canvas(3))
TWO = encode(canvas(7))


@pytest.fixture
def fresh() -> Iterator[TestClient]:
    """A service of its own, which has counted nothing yet; what it raises becomes its answer."""
    settings = Settings(model_version=SHIPPED, max_upload_bytes=20_000, log_format="json")
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def families(client: TestClient) -> dict[str, Metric]:
    text = client.get("/metrics").text
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(client: TestClient, name: str, /, **labels: str) -> float | None:
    """Of one sample of what /metrics shows, or None where it is not there."""
    samples = [sample for family in families(client).values() for sample in family.samples]
    found = [sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items()]
    assert len(found) <= 1
    return found[0] if found else None


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    every = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    return [line for line in every if line["event"] == "request"]


def test_metrics_are_prometheus_text_or_openmetrics_if_accepted(fresh: TestClient) -> None:
    fresh.post("/predict", content=DRAWING)

    plain = fresh.get("/metrics")
    modern = fresh.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})

    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert modern.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert {family.name for family in parse_openmetrics(modern.text)} >= {"numeral_requests", "numeral_confidence"}


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("POST", "/predict?key=secret", "/predict", "200"),
        ("GET", "/predict", "/predict", "405"),
        ("GET", "/health/live", "/health/live", "200"),
        ("GET", "/openapi.json", "/openapi.json", "200"),
        ("GET", "/static-offline-docs/swagger-ui.css", "/static-offline-docs/*", "200"),
        ("GET", "/invented/by/somebody", "unmatched", "404"),
    ],
)
def test_requests_are_counted_by_the_routes_template(
    fresh: TestClient, method: str, path: str, route: str, status: str
) -> None:
    fresh.request(method, path, content=DRAWING if method == "POST" else None)

    assert value(fresh, "numeral_requests_total", method=method, route=route, status=status) == 1
    assert value(fresh, "numeral_request_duration_seconds_count", route=route) == 1


def test_every_route_is_counted_under_its_own_template(fresh: TestClient) -> None:
    paths = fresh.get("/openapi.json").json()["paths"]
    for path in paths:
        fresh.get(path)

    counted = {sample.labels["route"] for sample in families(fresh)["numeral_requests"].samples}
    assert set(paths) - {"/metrics"} <= counted


def test_clients_cannot_invent_series(fresh: TestClient) -> None:
    for number in range(20):
        fresh.request(f"BREW{number}", f"/{number}", headers={"X-Request-ID": str(number)})

    samples = families(fresh)["numeral_requests"].samples
    assert [(sample.labels, sample.value) for sample in samples] == [
        ({"route": "unmatched", "method": "OTHER", "status": "404"}, 20)
    ]


def test_paths_of_page_files_do_not_create_series(fresh: TestClient) -> None:
    for number in range(20):
        fresh.get(f"/page/{number}/x")

    samples = families(fresh)["numeral_requests"].samples
    assert [(sample.labels["route"], sample.value) for sample in samples] == [("/page/{tag}/*", 20)]


def test_an_early_refusal_is_counted_under_its_route() -> None:
    with TestClient(create_app(Settings(model_version=SHIPPED, max_waiting=1))) as client:
        with client.app.state.batcher.admit(1):  # type: ignore[attr-defined]
            client.post("/predict", content=DRAWING)

        assert value(client, "numeral_requests_total", route="/predict", status="503") == 1
        assert value(client, "numeral_refusals_total", code="overloaded") == 1


def test_stages_batches_and_confidence_are_measured(fresh: TestClient) -> None:
    fresh.post("/predict/batch", files=[("files", DRAWING)] * 3)

    for stage in ("queue", "decode", "find", "infer"):
        assert value(fresh, "numeral_stage_duration_seconds_count", stage=stage) == 3
    assert value(fresh, "numeral_batch_size_sum") == 3
    assert value(fresh, "numeral_confidence_count") == 3
    assert value(fresh, "numeral_queue_depth") == 0
    assert value(fresh, "numeral_requests_in_progress") == 0


def test_admitted_requests_are_in_progress(fresh: TestClient) -> None:
    with fresh.app.state.batcher.admit(1):  # type: ignore[attr-defined]
        assert value(fresh, "numeral_requests_in_progress") == 1


def test_answered_digits_are_counted(fresh: TestClient) -> None:
    fresh.post("/predict", content=DRAWING)
    fresh.post("/predict", content=DRAWING)
    fresh.post("/predict", content=TWO)

    counts = [value(fresh, "numeral_predictions_total", digit=str(digit)) for digit in range(10)]
    assert counts == [0, 0, 0, 2, 0, 0, 0, 1, 0, 0]


def test_refusals_are_counted_by_code_in_batches_too(fresh: TestClient) -> None:
    fresh.post("/predict", content=b"text")
    fresh.post("/predict/batch", files=[("files", b"text"), ("files", DRAWING), ("files", bytes(20_001))])

    assert value(fresh, "numeral_refusals_total", code="unsupported-image") == 2
    assert value(fresh, "numeral_refusals_total", code="upload-too-large") == 1


def test_answers_that_are_not_accepted_are_counted_by_reason(make_store: MakeStore) -> None:
    store = make_store(STUB_METADATA.model_copy(update={"least_energy": 10.0}))
    with TestClient(create_app(Settings(model_store=store))) as client:
        client.post("/predict", content=DRAWING)

        assert value(client, "numeral_rejections_total", reason="unlike-a-digit") == 1
        assert value(client, "numeral_rejections_total", reason="low-confidence") == 0


def test_warnings_that_do_not_reject_are_counted(fresh: TestClient) -> None:
    fresh.post("/predict", content=encode(canvas(3).crop((0, 0, 280, 140))))

    assert value(fresh, "numeral_warnings_total", code="touches-border") == 1


def test_metrics_name_the_model_and_where_it_runs(fresh: TestClient) -> None:
    model = fresh.get("/model").json()
    named = {name: model[name] for name in ("name", "version", "sha256", "provider")}

    assert value(fresh, "numeral_model_info", **named) == 1
    assert len(families(fresh)["numeral_model_info"].samples) == 1


def test_metrics_are_served_before_the_model_is_loaded() -> None:
    client = TestClient(create_app(Settings()))  # its lifespan does not run

    assert client.get("/metrics").status_code == 200


def test_a_request_is_one_line_of_json(fresh: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    fresh.post("/predict?key=hidden", content=DRAWING, headers={"X-Request-ID": "find-me", "Authorization": "hidden"})

    (line,) = lines(capsys)
    assert list(line)[:3] == ["time", "level", "event"]
    assert {name: line[name] for name in ("request_id", "method", "route", "status", "model")} == {
        "request_id": "find-me",
        "method": "POST",
        "route": "/predict",
        "status": 200,
        "model": f"digits/{SHIPPED}",
    }
    assert line["received"] == len(DRAWING)
    assert line["sent"] > 100
    assert 0 < line["ms"] < 60_000
    assert "hidden" not in json.dumps(line)


def test_a_problems_line_has_its_code_and_detail(fresh: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    problem = fresh.post("/predict", content=b"text").json()

    (line,) = lines(capsys)
    assert (line["code"], line["detail"]) == (problem["code"], problem["detail"])
    assert line["request_id"] == problem["request_id"]


def test_no_input_of_a_client_breaks_a_log_line(fresh: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    fresh.get('/nope%0a{"event":"request"}', headers={"X-Request-ID": "a\tb", "User-Agent": "x\ty"})

    assert len(lines(capsys)) == 1


def test_a_fault_is_one_line_and_one_count(
    fresh: TestClient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(batch, "read_png_header", fail)
    fresh.post("/predict", content=DRAWING)

    (line,) = lines(capsys)
    assert (line["status"], line["code"]) == (500, "internal-error")
    assert value(fresh, "numeral_requests_total", route="/predict", status="500") == 1


def test_refusals_under_overload_write_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    app = create_app(Settings(max_waiting=1, log_format="json"))
    with TestClient(app) as client, app.state.batcher.admit(1):
        client.post("/predict", content=DRAWING)

    assert lines(capsys) == []


def test_drift_is_measured_against_the_models_reference(fresh: TestClient) -> None:
    fresh.post("/predict", content=DRAWING)

    shown = families(fresh)
    assert value(fresh, "numeral_drift", measure="digits") == pytest.approx(0.9, abs=0.02)
    assert {sample.labels["measure"] for sample in shown["numeral_drift"].samples} == {
        *("digits", "rejected", "stroke_width", "slant", "contrast")
    }
    assert "numeral_recent_sum" not in shown


def test_another_model_starts_new_statistics_and_is_the_one_shown(fresh: TestClient, make_store: MakeStore) -> None:
    fresh.post("/predict", content=DRAWING)
    other = load_model(Settings(model_store=make_store()))

    fresh.app.state.metrics.serve(other)  # type: ignore[attr-defined]

    (sample,) = families(fresh)["numeral_model_info"].samples
    assert (sample.labels["version"], sample.value) == ("1", 1)
    assert value(fresh, "numeral_recent_pictures") == 0
    assert value(fresh, "numeral_predictions_total", digit="3") == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "closes"),
    [
        ("GET", "/health/live", b"", True),
        ("GET", "/nowhere", b"", True),
        ("POST", "/predict", DRAWING, True),
        ("POST", "/predict", b"no picture", True),
        ("POST", "/predict", bytes(20_001), False),  # refused by its header: its bytes are still on their way
        ("POST", "/nowhere", DRAWING, False),
    ],
)
def test_while_the_service_drains_an_answer_ends_its_connection_once_all_of_the_request_is_read(
    method: str, path: str, body: bytes, closes: bool, fresh: TestClient
) -> None:
    before = fresh.request(method, path, content=body)

    fresh.app.state.draining = True  # type: ignore[attr-defined]
    after = fresh.request(method, path, content=body)

    assert "connection" not in before.headers
    assert after.status_code == before.status_code
    assert after.headers.get("connection") == ("close" if closes else None)
