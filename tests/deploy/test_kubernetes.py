"""The manifests, as kustomize builds them, against Kubernetes's schemas and the behaviour of the service."""

import shutil
import subprocess
from functools import cache
from typing import Any

import kubernetes_validate
import pytest
import yaml

from app.settings import Settings
from tests.deploy.engines import ROOT

OVERLAYS = ["cpu", "gpu", "kserve"]
KUBERNETES = "1.34"  # the oldest that is meant; newer ones take it too
OF_KSERVE = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "timeout"}  # the rest of a predictor is a pod's
Manifest = dict[str, Any]


@cache
def build(overlay: str) -> list[Manifest]:
    """The overlay's resources."""
    folder = str(ROOT / "deploy/kubernetes" / overlay)
    commands = {"kustomize": ["kustomize", "build", folder], "kubectl": ["kubectl", "kustomize", folder]}
    command = next((arguments for tool, arguments in commands.items() if shutil.which(tool)), None)
    if command is None:
        pytest.skip("neither kustomize nor kubectl is here to build the overlays")
    built = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return list(yaml.safe_load_all(built))


def one(overlay: str, kind: str) -> Manifest:
    (found,) = (manifest for manifest in build(overlay) if manifest["kind"] == kind)
    return found


def pod(overlay: str) -> Manifest:
    """A pod's spec."""
    if overlay == "kserve":
        predictor: Manifest = one(overlay, "InferenceService")["spec"]["predictor"]
        return {key: value for key, value in predictor.items() if key not in OF_KSERVE}
    spec: Manifest = one(overlay, "Deployment")["spec"]["template"]["spec"]
    return spec


def environment(overlay: str) -> dict[str, str]:
    return {each["name"]: each["value"] for each in pod(overlay)["containers"][0]["env"]}


def settings(overlay: str) -> Settings:
    """What the service makes of the container's environment."""
    return Settings(**{name.removeprefix("NUMERAL_").lower(): value for name, value in environment(overlay).items()})  # type: ignore[arg-type]


@pytest.mark.parametrize("overlay", ["cpu", "gpu"])
def test_every_resource_is_strictly_valid(overlay: str) -> None:
    manifests = build(overlay)

    for manifest in manifests:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    assert {manifest["kind"] for manifest in manifests} == {
        "Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount",
    }  # fmt: skip


def test_kserves_predictor_is_a_valid_pod() -> None:
    as_pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "digits"}, "spec": pod("kserve")}

    kubernetes_validate.validate(as_pod, KUBERNETES, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_has_enough_time_to_shut_down(overlay: str) -> None:
    chosen = settings(overlay)
    longest = chosen.drain_seconds + 2 * chosen.deadline_seconds  # to arrive, and again to be answered

    assert pod(overlay)["terminationGracePeriodSeconds"] >= longest + 5


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_leaves_the_service_before_it_ends(overlay: str) -> None:
    probe = pod(overlay)["containers"][0]["readinessProbe"]

    assert settings(overlay).drain_seconds >= probe["periodSeconds"] * probe["failureThreshold"] + 5


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_meets_the_restricted_standard_and_writes_only_to_memory(overlay: str) -> None:
    spec = pod(overlay)
    (container,) = spec["containers"]

    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert [volume["emptyDir"]["medium"] for volume in spec["volumes"]] == ["Memory"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_variable_of_the_cluster_is_taken_for_a_setting(overlay: str) -> None:
    assert pod(overlay)["enableServiceLinks"] is False  # else NUMERAL_PORT=tcp://… stops the start


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_use_existing_routes(overlay: str, client: Any) -> None:
    container = pod(overlay)["containers"][0]
    paths = [container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")]

    assert [client.get(path).status_code for path in paths] == [200, 200, 200]


def test_the_gpu_is_required_and_requested() -> None:
    limits = pod("gpu")["containers"][0]["resources"]["limits"]

    assert settings("gpu").provider == "cuda"
    assert limits["nvidia.com/gpu"] == "1"


@pytest.mark.parametrize(("overlay", "image"), [("cpu", "numeral:cpu"), ("gpu", "numeral:gpu"), ("kserve", "numeral:cpu")])
def test_each_overlay_names_its_image(overlay: str, image: str) -> None:
    assert pod(overlay)["containers"][0]["image"] == image
