"""Ray Serve and Ray Data on a real cluster of three local nodes. `make ray` runs these tests in an environment with Ray."""

import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks.pictures import encode
from benchmarks.scaling.ray_cluster import ROOT, Cluster, free_port, post, ray_python, start_cluster
from benchmarks.scaling.ray_scaling import load_config

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(ray_python() is None, reason="Ray is not installed; `make ray` does it"),
]

CLIENTS = 8
RETRIES = 10


@dataclass(frozen=True)
class Request:
    """When it was begun, when it had an answer, and which."""

    begun: float
    ended: float
    status: int


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    python = ray_python()
    assert python
    with TemporaryDirectory(dir="/tmp", prefix="ray-") as folder, start_cluster(python, Path(folder)) as started:
        for name in ("one", "two"):
            started.add(name)
        yield started


@pytest.fixture(scope="module")
def port(cluster: Cluster) -> int:
    """Where two replicas answer, one a node: deploy/ray/cpu.yaml, with one proxy, since the nodes share a machine."""
    free = free_port()
    cluster.deploy(load_config(free, replicas=2))
    cluster.wait_for_replicas(2)
    return free


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_the_settings_fit_rays_schema(cluster: Cluster, name: str) -> None:
    code = "import sys, yaml; from ray.serve.schema import ServeDeploySchema as S; S.parse_obj(yaml.safe_load(sys.stdin))"

    with (ROOT / f"deploy/ray/{name}.yaml").open() as settings:
        subprocess.run([cluster.python, "-c", code], stdin=settings, check=True, env=cluster.environment)


def test_ray_data_answers_a_folder_on_all_nodes(
    cluster: Cluster, tmp_path: Path, excerpt: tuple[NDArray[np.uint8], NDArray[np.uint8]]
) -> None:
    images, labels = excerpt
    for number, image in enumerate(images):
        (tmp_path / f"{number:03d}.png").write_bytes(encode(Image.fromarray(image)))
    (tmp_path / "text.png").write_text("seven")
    output = tmp_path / "out.parquet"

    command = [
        str(cluster.python),
        "-m",
        "app",
        "predict",
        "--ray",
        "--input",
        str(tmp_path / "*.png"),
        "--output",
        str(output),
    ]
    subprocess.run(command, check=True, cwd=ROOT, env=cluster.environment)

    table = pq.read_table(output)
    digits = {Path(path).name: digit for path, digit in zip(table["path"].to_pylist(), table["digit"].to_pylist(), strict=True)}
    assert table["id"].to_pylist() == list(range(501))
    assert digits.pop("text.png") is None
    assert np.mean([digits[f"{number:03d}.png"] == label for number, label in enumerate(labels)]) > 0.98


def test_replicas_answer_as_the_service_does(port: int) -> None:
    assert post(port, "/predict", (ROOT / "docs/examples/seven.jpg").read_bytes()) == 200
    assert post(port, "/predict", b"seven") == 415


def test_a_node_that_is_killed_under_load_loses_only_what_was_in_flight(cluster: Cluster, port: int) -> None:
    picture = (ROOT / "docs/examples/three.png").read_bytes()
    requests: list[Request] = []
    unanswered: list[Request] = []
    stop = threading.Event()

    def send() -> Request:
        begun = time.monotonic()
        status = post(port, "/predict", picture)
        requests.append(Request(begun, time.monotonic(), status))
        return requests[-1]

    def client() -> None:
        while not stop.is_set():
            first = send()
            if first.status != 200 and all(send().status != 200 for _ in range(RETRIES)):
                unanswered.append(first)

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    time.sleep(3)
    killed = time.monotonic()
    cluster.kill("one")
    gone = time.monotonic()
    time.sleep(15)
    stop.set()
    for thread in threads:
        thread.join()

    failed = [request for request in requests if request.status != 200]
    assert sum(request.ended < killed for request in requests) > CLIENTS
    assert sum(request.begun > gone for request in requests) > CLIENTS
    assert all(request.begun <= gone for request in failed), [(r.status, r.begun - gone, r.ended - gone) for r in failed]
    assert len(failed) <= CLIENTS
    assert not unanswered
