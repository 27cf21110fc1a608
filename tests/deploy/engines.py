"""Builds and runs an image with the tool that is available: Docker's engine, or buildah with a read-only chroot."""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 20  # what compose.yaml grants


def call(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, f"{shlex.join(command)}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout.strip()


@dataclass(frozen=True)
class Config:
    """What an image says of how it is run."""

    user: str
    folder: str
    environment: tuple[str, ...]
    command: tuple[str, ...]
    healthcheck: tuple[str, ...]
    labels: dict[str, str]

    @classmethod
    def read(cls, config: dict[str, Any]) -> "Config":
        """From the JSON that Docker's image format has."""
        kind, *healthcheck = config["Healthcheck"]["Test"]
        assert kind == "CMD"
        assert not config.get("Entrypoint")
        return cls(
            config["User"],
            config["WorkingDir"],
            tuple(config["Env"]),
            tuple(config["Cmd"]),
            tuple(healthcheck),
            config["Labels"],
        )


class Engine(ABC):
    """Builds images, and runs them read-only as the user that they name."""

    @abstractmethod
    def build(self, *options: str) -> str:
        """The id of what the Dockerfile gives."""

    @abstractmethod
    def config(self, image: str) -> Config: ...

    @abstractmethod
    def size(self, image: str) -> int:
        """Bytes of its files, unpacked."""

    @abstractmethod
    def run(self, image: str, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """One command in a container of its own, on the host's network."""

    @abstractmethod
    def serve(self, image: str) -> AbstractContextManager[str]:
        """A context: the address at which the image's own command answers; its end is SIGTERM, and no error."""

    @abstractmethod
    def close(self) -> None:
        """Removes what was made for looking at images; the images stay."""


class Docker(Engine):
    """Docker, or what behaves so."""

    def build(self, *options: str) -> str:
        return call("docker", "build", "--quiet", *options, *_options("IMAGE_BUILD_OPTIONS"), ".")

    def config(self, image: str) -> Config:
        return Config.read(json.loads(call("docker", "image", "inspect", image))[0]["Config"])

    def close(self) -> None:
        pass  # its containers are gone already

    def size(self, image: str) -> int:
        return int(call("docker", "run", "--rm", "--user=0", "--entrypoint=du", image, "-sbx", "/").split()[0])

    def run(self, image: str, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        more = [f"--env={name}={value}" for name, value in environment.items()]
        return subprocess.run(
            ["docker", "run", "--rm", "--read-only", "--network=host", *more, *_options("IMAGE_RUN_OPTIONS"), image, *command],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    @contextmanager
    def serve(self, image: str) -> Iterator[str]:
        options = ["--detach", "--read-only", "--publish=127.0.0.1::8000", *_options("IMAGE_RUN_OPTIONS")]
        container = call("docker", "run", *options, image)
        try:
            address = call("docker", "port", container, "8000/tcp").splitlines()[0]
            wait_until_ready(address)
            yield address
            call("docker", "stop", f"--time={STOP_SECONDS}", container)
            assert call("docker", "inspect", "--format={{.State.ExitCode}}", container) == "0"
        finally:
            call("docker", "rm", "--force", container)


class Buildah(Engine):
    """buildah builds; what it built is mounted, made read-only, and entered by chroot, on the host's network; it takes root."""

    def __init__(self) -> None:
        self._containers: dict[str, str] = {}

    def build(self, *options: str) -> str:
        kind = ["--format=docker", "--timestamp=0"]  # OCI's own format has no HEALTHCHECK
        return call("buildah", "build", "--quiet", *kind, *options, *_options("IMAGE_BUILD_OPTIONS"), ".").splitlines()[-1]

    def config(self, image: str) -> Config:
        return Config.read(json.loads(call("buildah", "inspect", "--type=image", image))["Docker"]["config"])

    def size(self, image: str) -> int:
        return int(call("du", "-sbx", self._root(image)).split()[0])

    def run(self, image: str, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self._enter(image, command, environment), capture_output=True, text=True, check=False)

    @contextmanager
    def serve(self, image: str) -> Iterator[str]:
        address = f"127.0.0.1:{free_port()}"
        host, _, port = address.partition(":")
        command = self._enter(image, self.config(image).command, {"NUMERAL_HOST": host, "NUMERAL_PORT": port})
        with subprocess.Popen(command) as process:
            try:
                wait_until_ready(address)
                yield address
                process.terminate()
                assert process.wait(STOP_SECONDS) in (0, -signal.SIGTERM)
            finally:
                process.kill()

    def close(self) -> None:
        for container in self._containers.values():
            call("buildah", "rm", container)

    def _root(self, image: str) -> str:
        """The image's files; mounted once, since copying them is slow, and nothing can write there."""
        if image not in self._containers:
            self._containers[image] = call("buildah", "from", "--pull-never", image)
        return call("buildah", "mount", self._containers[image])

    def _enter(self, image: str, command: Sequence[str], environment: dict[str, str]) -> list[str]:
        config = self.config(image)
        settings = ["env", "-i", f"--chdir={config.folder}", *config.environment]
        settings += [f"{name}={value}" for name, value in environment.items()]
        return ["unshare", "--mount", "sh", "-euc", _READ_ONLY, "sh", self._root(image), config.user, *settings, *command]


# The container's processes see this machine's, as by docker run --pid=host.
_READ_ONLY = """
root=$1 user=$2; shift 2
mount --bind "$root" "$root"
for each in proc dev sys; do mount --rbind "/$each" "$root/$each"; done
mount -o remount,ro,bind "$root"
exec chroot --userspec="$user" "$root" "$@"
"""


def find_engine() -> Engine | None:
    """Docker if its engine answers, else buildah, else none."""
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0:
        return Docker()
    return Buildah() if shutil.which("buildah") and os.geteuid() == 0 else None


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_until_ready(address: str, seconds: float = 60) -> None:
    """Returns when /health/ready says 200.

    Raises:
        TimeoutError: it did not.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if httpx2.get(f"http://{address}/health/ready").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.05)
    raise TimeoutError(address)


def _options(variable: str) -> list[str]:
    return shlex.split(os.environ.get(variable, ""))
