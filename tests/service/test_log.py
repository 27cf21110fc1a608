"""A service whose log takes no lines still answers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import plain_http
from tests.servers import DRAWING, free_port, wait_for


@pytest.mark.parametrize("stream", ["closed", "closed from the start", "full", "broken pipe"])
def test_a_log_that_takes_no_lines_does_not_affect_requests(stream: str) -> None:
    port = free_port()
    command = [sys.executable, "-m", "app", "serve", "--port", str(port)]
    if stream == "closed from the start":
        command = ["/bin/sh", "-c", f"exec {' '.join(command)} 2>&-"]
    if stream == "closed":
        code = f"import os, app.cli.app; os.close(2); app.cli.app.cli(['serve', '--port', '{port}'])"
        command = [sys.executable, "-c", code]
    reading, writing = os.pipe()
    os.close(reading)
    errors = Path("/dev/full").open("wb") if stream == "full" else writing  # noqa: SIM115  closed below
    environment = {**os.environ, "NUMERAL_DRAIN_SECONDS": "0"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=errors) as server:
        url = f"http://127.0.0.1:{port}"
        try:
            wait_for(f"{url}/health/ready", 200)
            answers = [plain_http.post(f"{url}/predict", content=DRAWING).json()["digit"] for _ in range(3)]
            problem = plain_http.post(f"{url}/predict", content=b"text").json()["code"]
            lost = [
                line for line in plain_http.get(f"{url}/metrics").text.splitlines() if line.startswith("numeral_log_lines_lost")
            ]
        finally:
            server.terminate()
    os.close(writing)
    if stream == "full":
        errors.close()  # type: ignore[union-attr]

    assert answers == [3, 3, 3]
    assert problem == "unsupported-image"
    assert float(lost[0].split()[1]) >= 4
