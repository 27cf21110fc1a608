"""compose.yaml, as Compose itself reads it."""

import json
import shutil
import subprocess
from functools import cache
from typing import Any

import pytest

from app.settings import Settings
from tests.deploy.engines import ROOT

COMMANDS = (["docker", "compose"], ["docker-compose"])


def find_compose() -> list[str] | None:
    """Compose 2, as Docker's plugin or by itself."""
    for command in COMMANDS:
        if shutil.which(command[0]):
            asked = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, check=False)
            if asked.returncode == 0 and int(asked.stdout.lstrip("v").split(".")[0]) >= 2:
                return command
    return None


@cache
def services(profile: str) -> dict[str, Any]:
    """What a profile starts."""
    command = find_compose()
    if command is None:
        pytest.skip("Docker Compose 2 is not installed")
    options = ["--file", str(ROOT / "deploy/compose.yaml"), "--profile", profile]
    done = subprocess.run([*command, *options, "config", "--format", "json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


@pytest.mark.parametrize(
    ("profile", "started"), [("cpu", {"cpu"}), ("gpu", {"gpu"}), ("monitoring", {"prometheus", "grafana"})]
)
def test_a_profile_starts_its_services(profile: str, started: set[str]) -> None:
    assert set(services(profile)) == started


@pytest.mark.parametrize("profile", ["cpu", "gpu", "monitoring"])
def test_every_service_is_confined(profile: str) -> None:
    for service in services(profile).values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert set(service["deploy"]["resources"]["limits"]) >= {"cpus", "memory"}
        assert all(port["host_ip"] == "127.0.0.1" for port in service["ports"])


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_the_service_has_enough_time_to_shut_down(profile: str) -> None:
    (service,), defaults = services(profile).values(), Settings()

    assert service["stop_grace_period"] == "30s"
    assert defaults.drain_seconds + 2 * defaults.deadline_seconds + 5 <= 30
    assert service["build"]["args"] == {"VARIANT": profile}


def test_the_gpu_is_reserved_and_required() -> None:
    gpu = services("gpu")["gpu"]
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]

    assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", 1, ["gpu"])
    assert gpu["environment"]["NUMERAL_PROVIDER"] == "cuda"


def test_mounted_files_exist() -> None:
    for service in services("monitoring").values():
        for volume in service["volumes"]:
            assert volume["type"] == "volume" or (ROOT / volume["source"]).is_dir()
