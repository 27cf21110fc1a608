"""OpenTelemetry by the standard variables: spans of a request and its stages reach a collector, and none leave without."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests import plain_http
from tests.servers import DRAWING, free_port, wait_for
from tests.versions import SHIPPED

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


@contextmanager
def collector() -> Iterator[tuple[int, list[tuple[str, bytes]]]]:
    """A collector of OTLP over HTTP: its port, and the path and body of what it got."""
    got: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port, got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def serve_and_post(tmp_path: Path, path: str, **environment: str) -> tuple[int, str]:
    """The answer's status, and the log, of a service with these variables that was asked once and then ended."""
    port = free_port()
    command = [sys.executable, "-m", "app", "serve", "--port", str(port), "--model-version", SHIPPED]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, env={**kept, "NUMERAL_DRAIN_SECONDS": "0", **environment}, stderr=log)
        try:
            wait_for(f"http://127.0.0.1:{port}/health/ready", 200)
            headers = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01", "X-Request-ID": "find-me"}
            status = plain_http.post(f"http://127.0.0.1:{port}{path}", content=DRAWING, headers=headers, timeout=30).status_code
        finally:
            server.terminate()
            server.wait(60)
    return status, (tmp_path / "log").read_text()


def test_a_request_and_its_stages_are_traced(tmp_path: Path) -> None:
    with collector() as (port, got):
        endpoint = f"http://127.0.0.1:{port}"
        status, log = serve_and_post(
            tmp_path,
            "/predict?token=hidden",
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
            OTEL_SERVICE_NAME="digits-test",
            OTEL_METRICS_EXPORTER="none",
        )

    assert status == 200
    assert {path for path, _ in got} == {"/v1/traces"}
    resources = [each for _, body in got for each in ExportTraceServiceRequest.FromString(body).resource_spans]
    spans = {span.name: span for each in resources for scope in each.scope_spans for span in scope.spans}
    attributes = {item.key: item.value.string_value for item in resources[0].resource.attributes}
    assert attributes["service.name"] == "digits-test"
    assert set(spans) == {"POST /predict", "queue", "decode", "find", "infer"}  # and none of the probes
    request = spans.pop("POST /predict")
    for span in (request, *spans.values()):
        assert span.trace_id.hex() == TRACE_ID
    for stage in spans.values():
        assert stage.parent_span_id == request.span_id
        assert request.start_time_unix_nano <= stage.start_time_unix_nano <= stage.end_time_unix_nano
        assert stage.end_time_unix_nano <= request.end_time_unix_nano
    assert spans["queue"].start_time_unix_nano <= spans["decode"].start_time_unix_nano < spans["infer"].start_time_unix_nano
    assert b"hidden" not in b"".join(body for _, body in got)
    assert b"find-me" in b"".join(body for _, body in got)
    assert TRACE_ID in log


def test_without_the_variables_nothing_is_traced(tmp_path: Path) -> None:
    status, log = serve_and_post(tmp_path, "/predict")

    assert status == 200
    assert "trace_id" not in log


def test_a_missing_collector_does_not_affect_requests(tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"

    status, _ = serve_and_post(
        tmp_path, "/predict", OTEL_EXPORTER_OTLP_ENDPOINT=nowhere, OTEL_METRICS_EXPORTER="none", OTEL_EXPORTER_OTLP_TIMEOUT="1"
    )

    assert status == 200
