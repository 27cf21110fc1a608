"""What can be tried here of Windows and macOS: neither fork nor memfd, no priorities, no httptools."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import plain_http
from tests.servers import DRAWING, free_port, wait_for

ROOT = Path(__file__).parents[2]
ELSEWHERE = [sys.executable, "-m", "tests.service.elsewhere"]
SYSTEMS = ["darwin", "win32"]


@pytest.mark.parametrize("system", SYSTEMS)
def test_pictures_are_read_without_what_linux_alone_has(system: str) -> None:
    done = subprocess.run(
        [*ELSEWHERE, system, "predict", "docs/examples/seven.jpg", "docs/examples/*.png"],
        cwd=ROOT, check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip

    assert "Traceback" not in done.stderr
    assert "decoded in the service's own process" in done.stderr
    assert [json.loads(line)["digit"] for line in done.stdout.splitlines()] == [7, 5, 3]
    assert done.returncode == 0


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_service_answers_without_what_linux_alone_has(system: str) -> None:
    port = free_port()
    command = [*ELSEWHERE, system, "serve", "--port", str(port)]
    environment = {**os.environ, "NUMERAL_DRAIN_SECONDS": "0"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_for(f"http://127.0.0.1:{port}/health/ready", 200)
            answer = plain_http.post(f"http://127.0.0.1:{port}/predict", content=DRAWING).json()
            refusal = plain_http.post(f"http://127.0.0.1:{port}/predict", content=b"text").json()
        finally:
            process.terminate()
        _, log = process.communicate(timeout=180)

    assert answer["digit"] == 3
    assert refusal["code"] == "unsupported-image"
    assert "Traceback" not in log
