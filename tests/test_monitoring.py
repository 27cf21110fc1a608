"""The files in deploy/ for Prometheus and Grafana: queries use existing series, rules hold, a real Prometheus scrapes."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from fastapi.testclient import TestClient
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from app.settings import Settings
from app.web.application import create_app
from app.web.endpoints import TABLE
from benchmarks.pictures import canvas, encode
from tests import plain_http
from tests.servers import free_port, serving
from tests.versions import SHIPPED

DEPLOY = Path(__file__).parent.parent / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "numeral.json").read_text(encoding="utf-8"))
RULES = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
ALERTS_TESTS = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text(encoding="utf-8"))["tests"]
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
NAME = re.compile(r"\bnumeral_\w+")
LABEL = re.compile(r'(\w+)="([^"]*)"')
MADE_UP = {"instance", "route", "method", "status", "version"}  # labels that a test of an alert chooses


@pytest.fixture(scope="module")
def families() -> list[Metric]:
    """What the service exposes after an answer, a refusal and a warning."""
    with TestClient(create_app(Settings(model_version=SHIPPED))) as client:
        client.post("/predict", content=encode(canvas(3).crop((0, 0, 280, 140))))
        client.post("/predict", content=b"text")
        return list(text_string_to_metric_families(client.get("/metrics").text))


@pytest.fixture(scope="module")
def series(families: list[Metric]) -> set[str]:
    """The names of what can be asked for."""
    return {family.name + suffix for family in families for suffix in SUFFIXES[family.type]}


def promtool(*arguments: str | Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run(["promtool", *map(str, arguments)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("query", [*QUERIES, *(rule["expr"] for rule in RULES)])
def test_every_query_uses_existing_series(query: str, series: set[str]) -> None:
    assert set(NAME.findall(query)) <= series


def test_the_dashboard_shows_every_series(series: set[str]) -> None:
    shown = {name for query in QUERIES for name in NAME.findall(query)}
    bases = {re.sub("_(bucket|sum|count)$", "", name) for name in shown}

    assert {re.sub("_(bucket|sum|count)$", "", name) for name in series} == bases


def test_the_dashboard_names_its_instances_by_a_series_that_exists(series: set[str]) -> None:
    (instances,) = [each for each in DASHBOARD["templating"]["list"] if each["name"] == "instance"]

    assert set(NAME.findall(instances["definition"])) <= series
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_every_query_of_the_dashboard_can_be_parsed(tmp_path: Path) -> None:
    rules = [
        {"record": f"query:{number}", "expr": query.replace("$__rate_interval", "1m").replace("$instance", ".*")}
        for number, query in enumerate(QUERIES)
    ]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))

    promtool("check", "rules", path)


def test_the_configuration_and_the_rules_are_sound() -> None:
    promtool("check", "config", PROMETHEUS / "prometheus.yml")


def test_each_alert_fires_when_it_should_and_only_then() -> None:
    promtool("test", "rules", PROMETHEUS / "alerts_test.yml")


def test_the_alerts_are_tested_with_series_that_the_service_exposes(families: list[Metric]) -> None:
    samples = [(sample.name, sample.labels.items()) for family in families for sample in family.samples]
    tested = {each["series"] for test in ALERTS_TESTS for each in test["input_series"]}

    def is_exposed(tested: str) -> bool:
        asked = {label: value for label, value in LABEL.findall(tested) if label not in MADE_UP}
        return any(name == tested.partition("{")[0] and asked.items() <= labels for name, labels in samples)

    assert {each for each in tested if not each.startswith("up{") and not is_exposed(each)} == set()


@pytest.mark.parametrize("name", ["NumeralOverloaded", "NumeralSlow", "Time of a request with a picture or a tensor"])
def test_every_request_that_waits_for_a_place_is_watched(name: str) -> None:
    waiting = {row.path for row in TABLE if row.works and row.methods}
    batches = {"/predict/batch", "/read/batch"}  # may take longer than a second
    queries = [rule["expr"] for rule in RULES if rule["alert"] == name]
    queries += [target["expr"] for panel in DASHBOARD["panels"] if panel["title"] == name for target in panel["targets"]]
    (pattern,) = {pattern for query in queries for pattern in re.findall(r'route=~"([^"]*)"', query)}

    watched = {row.path for row in TABLE if row.methods and re.fullmatch(pattern, row.path)}

    assert watched == (waiting if name == "NumeralOverloaded" else waiting - batches)


def test_each_alert_is_tested_both_ways_and_explained() -> None:
    tests = {test["name"] for test in ALERTS_TESTS}
    names = {rule["alert"] for rule in RULES}
    manual = (DEPLOY.parent / "docs" / "operations.md").read_text(encoding="utf-8")

    assert tests == {f"{name} {what}" for name in names for what in ("fires", "is quiet")}
    assert set(re.findall(r"^\| `(Numeral\w+)` \|", manual, re.MULTILINE)) == names


def test_the_docs_list_every_metric_with_its_labels(families: list[Metric]) -> None:
    manual = (DEPLOY.parent / "docs" / "operations.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `(numeral_\w+)` \|([^|]*)\|", manual, re.MULTILINE))
    labels = {
        family.name + ("_total" if family.type == "counter" else ""): set(family.samples[0].labels) - {"le"}
        for family in families
    }
    assert {name: set(re.findall(r"\w+", text)) for name, text in documented.items()} == labels


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A real Prometheus with our configuration, but for the target and the pace: its address, and the service's port."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed")
    with serving(Settings(model_version=SHIPPED)) as port:
        config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(PROMETHEUS / "alerts.yml")]
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{port}"]
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        address = f"127.0.0.1:{free_port()}"
        command = ["prometheus", f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'data'}"]
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log)
            try:
                yield address, port
            finally:
                process.terminate()
                process.wait(20)


def ask(address: str, query: str) -> list[dict[str, Any]]:
    answer = plain_http.get(f"http://{address}/api/v1/query", params={"query": query}).json()
    assert answer["status"] == "success", answer
    result: list[dict[str, Any]] = answer["data"]["result"]
    return result


def ask_until(address: str, query: str, value: float) -> None:
    until, result = time.monotonic() + 60, None
    while time.monotonic() < until:
        try:
            result = ask(address, query)
            if result and float(result[0]["value"][1]) == value:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"{query} is {result}, not {value}")


@pytest.mark.prometheus
def test_a_real_prometheus_scrapes_the_service_and_answers_every_query(prometheus: tuple[str, int]) -> None:
    address, port = prometheus
    for _ in range(7):
        plain_http.post(f"http://127.0.0.1:{port}/predict", content=encode(canvas(3)))

    ask_until(address, 'up{job="numeral"}', 1)
    ask_until(address, 'numeral_requests_total{route="/predict",status="200"}', 7)
    ask_until(address, 'sum(numeral_predictions_total{digit="3"})', 7)
    ask_until(address, "count(numeral_drift)", 5)
    for query in QUERIES:
        ask(address, query.replace("$__rate_interval", "10s").replace("$instance", ".*"))
    rules = plain_http.get(f"http://{address}/api/v1/rules").json()["data"]["groups"][0]["rules"]
    assert {rule["name"] for rule in rules} == {rule["alert"] for rule in RULES}
    assert all(rule["health"] == "ok" for rule in rules)
