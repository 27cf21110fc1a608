"""The installed command that serves."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests import plain_http
from tests.servers import free_port, wait_for


def test_serve_answers_and_ends_on_sigterm() -> None:
    port = free_port()
    command = [str(Path(sys.executable).with_name("numeral")), "serve", "--port", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "NUMERAL_LOG_LEVEL": "info"})
    try:
        wait_for(f"http://127.0.0.1:{port}/health/ready", 200)
        answer = plain_http.get(f"http://127.0.0.1:{port}/health/ready").json()
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=180)

    assert answer == {"status": "ready", "provider": "cpu"}
    assert "ready on cpu" in log
    assert process.returncode in (0, -signal.SIGTERM)
