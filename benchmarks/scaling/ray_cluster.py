"""A Ray cluster of several nodes on this machine, for tests and measurements: on loopback, ended with its block.

Each node has its own address, 127.0.0.2 and so on. Ray would replace 127.0.0.1 with the machine's public address.

Ray is installed in a separate environment, .venv-ray; RAY_PYTHON may name another.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from benchmarks.serving.server import tree

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"  # where proxies and the dashboard listen
HEAD = "127.0.0.2"
PATIENCE = 300.0  # seconds for a cluster, a node or an application to get ready
STORE_BYTES = 100_000_000  # of each node's object store, which the service does not use


def ray_python() -> Path | None:
    """The Python that has Ray, where there is one."""
    path = Path(os.environ.get("RAY_PYTHON", ROOT / ".venv-ray" / "bin" / "python"))
    return path if path.exists() and path.with_name("ray").exists() else None


@dataclass
class Cluster:
    """A cluster whose head runs no replicas. nodes: all of them, by name, as the process that started the rest."""

    python: Path
    folder: Path
    port: int
    dashboard: int
    token: str = field(default_factory=lambda: secrets.token_hex(32))
    nodes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    hosts: Iterator[str] = field(default_factory=lambda: (f"127.0.0.{number}" for number in range(2, 255)))

    @property
    def address(self) -> str:
        """For RAY_ADDRESS."""
        return f"{HEAD}:{self.port}"

    def start(self, name: str, *arguments: str) -> None:
        """Starts a node."""
        command = [
            str(self.python.with_name("ray")), "start", "--block", "--disable-usage-stats",
            f"--node-ip-address={next(self.hosts)}", f"--object-store-memory={STORE_BYTES}", *arguments,
        ]  # fmt: skip
        with (self.folder / f"{name}.log").open("wb") as log:
            self.nodes[name] = subprocess.Popen(  # noqa: S603
                command, stdout=log, stderr=log, env=self.environment, cwd=ROOT, start_new_session=True
            )

    def add(self, name: str, cpus: int = 1) -> None:
        """Adds a node, and waits until it is there."""
        alive = self.count_nodes()
        self.start(name, f"--address={self.address}", f"--num-cpus={cpus}")
        _wait_for(lambda: self.count_nodes() > alive, f"node {name}")

    def kill(self, name: str) -> None:
        """Ends a node at once, with all that runs on it: by SIGKILL, as if its machine were gone."""
        process = self.nodes.pop(name)
        for pid in tree(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()

    def count_nodes(self) -> int:
        """How many nodes are alive, the head among them."""
        nodes = self._get("/nodes?view=summary")["data"]["summary"]
        return sum(node["raylet"].get("state") == "ALIVE" for node in nodes)

    def deploy(self, config: Mapping[str, Any]) -> None:
        """Has the applications of a config run, as `serve deploy` does, and waits until they do."""
        path = self.folder / "serve.json"  # which is YAML, too
        path.write_text(json.dumps(config), encoding="utf-8")
        command = [str(self.python.with_name("serve")), "deploy", str(path), "--address", f"http://{HOST}:{self.dashboard}"]
        subprocess.run(command, check=True, env=self.environment, capture_output=True, cwd=ROOT)  # noqa: S603
        _wait_for(lambda: set(self.statuses().values()) == {"RUNNING"}, "the application")

    def statuses(self) -> dict[str, str]:
        """The applications' states."""
        applications = self._get("/api/serve/applications/")["applications"]
        return {name: application["status"] for name, application in applications.items()}

    def count_replicas(self) -> int:
        """How many replicas answer, over all applications."""
        applications = self._get("/api/serve/applications/")["applications"].values()
        deployments = [deployment for application in applications for deployment in application["deployments"].values()]
        return sum(replica["state"] == "RUNNING" for deployment in deployments for replica in deployment["replicas"])

    def wait_for_replicas(self, count: int) -> None:
        """Waits until so many replicas answer, and no others."""
        _wait_for(lambda: self.count_replicas() == count, f"{count} replicas")

    @property
    def environment(self) -> dict[str, str]:
        """What a node's processes are started with: the code of this repository, nothing told to Ray's makers."""
        return {
            **os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0", "ORT_DISABLE_TELEMETRY": "1",
            "RAY_ADDRESS": self.address, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token,
        }  # fmt: skip

    def _get(self, path: str) -> dict[str, Any]:
        url, headers = f"http://{HOST}:{self.dashboard}{path}", {"Authorization": f"Bearer {self.token}"}
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            read: dict[str, Any] = json.load(answer)
            return read


@contextmanager
def start_cluster(python: Path, folder: Path) -> Iterator[Cluster]:
    """A head without CPUs for replicas; Ray's own files go to the folder, whose path must be short: sockets lie in it."""
    cluster = Cluster(python, folder, free_port(), free_port())
    try:
        cluster.start(
            "head", "--head", f"--port={cluster.port}", "--num-cpus=0", f"--temp-dir={folder / 'ray'}",
            f"--dashboard-host={HOST}", f"--dashboard-port={cluster.dashboard}",
        )  # fmt: skip
        _wait_for(lambda: cluster.count_nodes() == 1, "the head")
        yield cluster
    finally:
        for name in list(cluster.nodes):
            cluster.kill(name)
        shutil.rmtree(folder / "ray", ignore_errors=True)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        port: int = free.getsockname()[1]
        return port


def post(port: int, path: str, body: bytes) -> int:
    """Sends a picture on a connection of its own, and returns the status; 0 where the connection broke."""
    connection = HTTPConnection(HOST, port, timeout=30)
    try:
        connection.request("POST", path, body)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def _wait_for(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            if condition():
                return
        except OSError:  # nothing listens yet
            pass
        time.sleep(0.5)
    raise TimeoutError(f"After {PATIENCE:.0f} s, {what} is not ready.")
