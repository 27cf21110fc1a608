"""The ways to start the service that people know from other projects."""

import os
import socket
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests import plain_http
from tests.servers import DRAWING, free_port, wait_for

ROOT = Path(__file__).parents[2]
WAYS = {
    "uvicorn": ["-m", "uvicorn", "app.main:app", "--port", "{port}"],
    "uvicorn's factory": ["-m", "uvicorn", "--factory", "app.main:create_app", "--port", "{port}"],
    "fastapi run": ["-m", "fastapi", "run", "app/main.py", "--host", "127.0.0.1", "--port", "{port}"],
    "python -m app": ["-m", "app"],
    "numeral serve": ["-m", "app", "serve", "--port", "{port}"],
}
OFTEN = {"uvicorn", "numeral serve"}  # the others are tried by the long tests


def each_way(*ways: str) -> list[Any]:
    """Ways as parameters of a test."""
    return [way if way in OFTEN else pytest.param(way, marks=pytest.mark.long) for way in ways]


@pytest.mark.parametrize("way", each_way(*WAYS))
def test_each_way_serves_and_logs_each_request_once(way: str) -> None:
    if way == "fastapi run" and find_spec("fastapi_cli") is None:
        pytest.skip("fastapi-cli is not installed; `make test` installs it")
    port = free_port()
    command = [sys.executable, *(part.format(port=port) for part in WAYS[way])]
    settings = {"PORT": str(port), "LOG_LEVEL": "INFO", "LOG_FORMAT": "json", "DRAIN_SECONDS": "0"}
    environment = os.environ | {f"NUMERAL_{name}": value for name, value in settings.items()}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            wait_for(f"http://127.0.0.1:{port}/health/ready", 200)
            answer = plain_http.post(f"http://127.0.0.1:{port}/predict", content=DRAWING).json()
        finally:
            process.terminate()
        log, _ = process.communicate(timeout=180)

    lines = [line for line in log.splitlines() if "/predict" in line]
    assert answer["digit"] == 3
    assert len(lines) == 1, log
    assert '"route": "/predict"' in lines[0]


@pytest.fixture
def without_onnxruntime(tmp_path: Path) -> Path:
    """A folder with every installed package but onnxruntime, for an interpreter that looks nowhere else."""
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith("onnxruntime"):
            (tmp_path / path.name).symlink_to(path)
    return tmp_path


@pytest.mark.parametrize("way", each_way("uvicorn", "uvicorn's factory", "numeral serve"))
def test_without_onnxruntime_one_line_says_what_to_install(way: str, without_onnxruntime: Path) -> None:
    port = free_port()
    command = [sys.executable, "-S", *(part.format(port=port) for part in WAYS[way])]

    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(without_onnxruntime)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode > 0
    assert "Traceback" not in done.stderr
    told = [line for line in done.stderr.splitlines() if "onnxruntime" in line]
    assert len(told) == 1
    assert "cannot start: onnxruntime is not installed. Install it by pip install 'onnxruntime" in told[0]


def told_at_once(way: str, variable: str, value: str) -> str:
    """What a service that cannot start says on standard error."""
    command = [sys.executable, *(part.format(port=free_port()) for part in WAYS[way])]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {f"NUMERAL_{variable}": value}, capture_output=True, text=True, check=False
    )
    assert done.returncode > 0
    return done.stderr.rstrip("\n")


WRONG = {
    "an unknown provider": ("PROVIDER", "abacus", "setting provider: Input should be 'auto', 'cpu' or 'cuda'"),
    "an unknown level, before there is a log": ("LOG_LEVEL", "loud", "setting log_level: Input should be 'debug', 'info', "),
    "settings at odds": ("KEEP", "glyphs", "NUMERAL_KEEP=glyphs needs NUMERAL_DATA_DIR"),
    "a key that is not one": ("API_KEYS", "secret", "cannot start: API key 1 is not NAME:ROLE:SHA256"),
    "a file of keys that is not there": (
        "API_KEYS_FILE",
        "nowhere",
        "cannot start: The file of API keys, nowhere, cannot be read",
    ),
}


@pytest.mark.parametrize(("variable", "value", "message"), WRONG.values(), ids=WRONG)
def test_uvicorn_says_in_one_line_which_setting_is_wrong(variable: str, value: str, message: str) -> None:
    (line,) = told_at_once("uvicorn", variable, value).splitlines()

    assert line.startswith(f"numeral: {message}")


@pytest.mark.parametrize("way", each_way(*(way for way in WAYS if way not in ("uvicorn", "fastapi run"))))
def test_other_ways_say_the_same_of_a_wrong_setting(way: str) -> None:
    assert told_at_once(way, "BATCH_SIZE", "0") == "numeral: setting batch_size: Input should be greater than or equal to 1"


def refused(*flags: str) -> tuple[int, str]:
    """The exit status of ``numeral serve`` with an address that cannot be had, and what it says."""
    command = [sys.executable, "-m", "app", "serve", *flags]
    environment = os.environ | {"NUMERAL_LOG_LEVEL": "INFO"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)], ids=["IPv4", "IPv6"])
def test_a_port_in_use_is_told_in_one_line_before_the_model_is_loaded(
    host: str, family: socket.AddressFamily, workers: str
) -> None:
    with socket.socket(family) as other:
        try:
            other.bind((host, 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        other.listen()
        port = other.getsockname()[1]

        told = refused("--host", host, "--port", str(port), "--workers", workers)

    assert told == (
        1,
        f"numeral: cannot start: Port {port} of {host} is in use. End the process that listens there, or give another port: "
        "--port or NUMERAL_PORT.\n",
    )


NO_ADDRESSES = {
    "no name": ("nonsense.invalid", "The host nonsense.invalid has no address that can be found"),
    "not even like one": ("a..b", "The host a..b has no address that can be found"),
    "another machine's": ("192.0.2.1", "192.0.2.1 is not an address of this machine"),  # RFC 5737, for documentation
}


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(("host", "message"), NO_ADDRESSES.values(), ids=NO_ADDRESSES)
def test_a_host_that_is_not_this_machine_is_told_in_one_line(host: str, message: str, workers: str) -> None:
    status, told = refused("--host", host, "--port", "0", "--workers", workers)

    assert status == 1
    assert told.startswith(f"numeral: cannot start: {message}. Give the name or an address of this machine, ")
    assert len(told.splitlines()) == 1


@pytest.mark.skipif(find_spec("fastapi_cli") is None, reason="fastapi-cli is not installed; `make test` installs it")
def test_fastapis_command_says_the_same_after_its_own_lines() -> None:
    told = told_at_once("fastapi run", "BATCH_SIZE", "0")

    assert told == "numeral: setting batch_size: Input should be greater than or equal to 1"
