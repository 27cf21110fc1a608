"""The series that there are before anything was counted."""

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from app import errors
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.web.application import create_app
from tests.versions import SHIPPED

CODES = re.findall(r" \d{3} ([a-z0-9-]+)", errors.__doc__ or "")


def refusals(text: str) -> dict[str, float]:
    """How often each code was counted, of what /metrics shows."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {sample.labels["code"]: sample.value for sample in samples if sample.name == "numeral_refusals_total"}


def test_a_fresh_service_shows_every_code_at_0() -> None:
    with TestClient(create_app(Settings(model_version=SHIPPED))) as client:
        assert refusals(client.get("/metrics").text) == dict.fromkeys(CODES, 0)


def test_workers_show_every_code_at_0_and_a_replacement_goes_on_counting(tmp_path: Path) -> None:
    pytest.importorskip("fcntl", reason="workers share metrics only where there is fcntl")

    def work() -> dict[str, float]:
        """What a worker shows that takes the place of the last one, and counts one fault before it ends."""
        metrics = Metrics(tmp_path)
        try:
            seen = refusals(metrics.expose("")[0].decode())
            metrics.count_refusal("internal-error")
        finally:
            metrics.close()
        return seen

    none = dict.fromkeys(CODES, 0)

    assert work() == none
    assert work() == none | {"internal-error": 1}
