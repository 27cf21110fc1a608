"""The cost of metrics and logs: each part is measured, and the service runs without them."""

from fastapi.testclient import TestClient

from benchmarks.pictures import canvas, encode
from benchmarks.serving.contenders.unobserved import create
from benchmarks.serving.observing import parts


def test_every_part_is_measured() -> None:
    costs = parts(repeats=1)

    assert len(costs) == 3
    assert all(microseconds > 0 for microseconds in costs.values())


def test_the_service_without_metrics_answers_and_counts_nothing() -> None:
    with TestClient(create()) as client:
        answer = client.post("/predict", content=encode(canvas(3))).json()
        shown = client.get("/metrics").text

    assert answer["digit"] == 3
    assert 'numeral_predictions_total{digit="3"} 0.0' in shown
    assert "numeral_requests_total{" not in shown
