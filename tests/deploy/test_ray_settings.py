"""The settings in deploy/ray, as far as they can be checked without Ray."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings

FOLDER = Path(__file__).parent.parent.parent / "deploy" / "ray"


@pytest.fixture(params=["cpu", "gpu"])
def application(request: pytest.FixtureRequest) -> dict[str, Any]:
    config = yaml.safe_load((FOLDER / f"{request.param}.yaml").read_text(encoding="utf-8"))
    (application,) = config["applications"]
    return dict(application)


def test_the_environment_holds_settings_of_the_service(application: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    variables = application["runtime_env"]["env_vars"]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    settings = Settings()

    assert {name.removeprefix("NUMERAL_").lower() for name in variables} <= set(Settings.model_fields)
    assert settings.threads == application["deployments"][0]["ray_actor_options"]["num_cpus"]


def test_at_least_two_replicas_run_and_each_accepts_more_than_its_target(application: dict[str, Any]) -> None:
    (deployment,) = application["deployments"]

    assert deployment["autoscaling_config"]["min_replicas"] >= 2
    assert deployment["autoscaling_config"]["target_ongoing_requests"] < deployment["max_ongoing_requests"]
    assert deployment["max_ongoing_requests"] <= Settings().max_waiting


def test_a_gpu_is_shared_by_replicas() -> None:
    config = yaml.safe_load((FOLDER / "gpu.yaml").read_text(encoding="utf-8"))

    assert 0 < config["applications"][0]["deployments"][0]["ray_actor_options"]["num_gpus"] < 1
