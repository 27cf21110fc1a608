"""Two services behind nginx, configured as in deploy/nginx. `make nginx-test` runs these tests; without nginx they skip."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import httpx2
import pytest

from benchmarks.pictures import canvas, encode
from tests.deploy.engines import ROOT, free_port, wait_until_ready

pytestmark = [
    pytest.mark.nginx,
    pytest.mark.skipif(shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") is None, reason="nginx is not installed"),
]

DRAWING = encode(canvas(3))
CLIENTS = 8
ROUNDS = 2  # restarts of each service
WRAPPER = """
daemon off;
user {user};
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/numeral.conf;
}}
"""


@contextmanager
def service(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A service of one process; it is given SIGTERM at the end, unless it has ended."""
    command = [sys.executable, "-m", "app", "serve", "--port", str(port)]
    environment = {**os.environ, "NUMERAL_LOG_LEVEL": "error", "NUMERAL_DRAIN_SECONDS": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        try:
            yield process
        finally:
            process.terminate()


@dataclass
class Site:
    """nginx's port, and the services behind it by theirs."""

    port: int
    services: dict[int, subprocess.Popen[bytes]]
    stack: ExitStack

    def restart(self, port: int) -> None:
        """SIGTERM, until it has answered what it had and ended; then another in its place, until it is ready."""
        self.services[port].send_signal(signal.SIGTERM)
        assert self.services[port].wait(30) in (0, -signal.SIGTERM)
        self.services[port] = self.stack.enter_context(service(port))
        wait_until_ready(f"127.0.0.1:{port}")

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("nginx")
    folder.chmod(0o755)
    port, first, second = free_port(), free_port(), free_port()
    ports = {"listen 80;": f"listen 127.0.0.1:{port};", "127.0.0.1:8001": f"127.0.0.1:{first}", "127.0.0.1:8002": f"127.0.0.1:{second}"}  # fmt: skip
    text = (ROOT / "deploy/nginx/numeral.conf").read_text(encoding="utf-8")
    for shipped, ours in ports.items():
        assert text.count(shipped) == 1
        text = text.replace(shipped, ours)
    (folder / "numeral.conf").write_text(text, encoding="utf-8")
    (folder / "nginx.conf").write_text(WRAPPER.format(folder=folder, user=getpass.getuser()), encoding="utf-8")
    with ExitStack() as stack:
        services = {each: stack.enter_context(service(each)) for each in (first, second)}
        for each in services:
            wait_until_ready(f"127.0.0.1:{each}")
        nginx = stack.enter_context(nginx_of(folder))
        wait_until_ready(f"127.0.0.1:{port}")
        yield Site(port, services, stack)
        assert nginx.poll() is None


@contextmanager
def nginx_of(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    binary = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    with subprocess.Popen(
        [str(binary), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    ) as nginx:
        try:
            yield nginx
        finally:
            nginx.terminate()


@dataclass
class Load:
    """Clients that post one drawing after the other, each over a connection of its own, until they are told to stop."""

    address: str
    over: threading.Event = field(default_factory=threading.Event)
    outcomes: Counter[str] = field(default_factory=Counter)

    def run(self) -> None:
        """One client, which asks for the most prominent digit and for all of them in turn."""
        with httpx2.Client(timeout=30) as client:
            for path, field_name, expected in cycle((("/predict", "digit", 3), ("/read", "text", "3"))):
                if self.over.is_set():
                    return
                try:
                    answer = client.post(f"{self.address}{path}", content=DRAWING)
                    right = answer.status_code == 200 and answer.json()[field_name] == expected
                    outcome = "right" if right else answer.text
                except httpx2.HTTPError as error:
                    outcome = repr(error)
                self.outcomes[outcome] += 1  # under the GIL one client at a time


@contextmanager
def load(address: str) -> Iterator[Load]:
    load = Load(address)
    clients = [threading.Thread(target=load.run) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield load
    finally:
        load.over.set()
        for client in clients:
            client.join()


def test_a_rolling_restart_under_load_loses_no_request(site: Site) -> None:
    with load(site.address) as posted:
        for port in list(site.services) * ROUNDS:
            before = posted.outcomes.total()
            site.restart(port)
            time.sleep(0.5)
            assert posted.outcomes.total() > before

    print(f"{posted.outcomes['right']:,} requests over {2 * ROUNDS} restarts, {len(posted.outcomes) - 1} failed")  # noqa: T201
    assert set(posted.outcomes) == {"right"}


def test_a_service_that_dies_takes_no_request_with_it(site: Site) -> None:
    port = next(iter(site.services))

    with load(site.address) as posted:
        time.sleep(0.5)
        site.services[port].kill()
        time.sleep(1)
    site.services[port] = site.stack.enter_context(service(port))
    wait_until_ready(f"127.0.0.1:{port}")

    assert set(posted.outcomes) == {"right"}


@pytest.mark.parametrize(
    ("path", "length", "status"),
    [
        ("/predict", 20 * 2**20, 415),  # within the limit, so that the service says what it is: no picture
        ("/predict", 21 * 2**20 + 1, 413),
        ("/predict/canvas", 27 * 2**20, 422),
        ("/predict/canvas", 28 * 2**20 + 1, 413),
        ("/predict/batch", 65 * 2**20 + 1, 413),
        ("/read", 20 * 2**20, 415),
        ("/read", 21 * 2**20 + 1, 413),
        ("/read/canvas", 27 * 2**20, 422),
        ("/read/batch", 28 * 2**20, 422),
        ("/read/batch", 65 * 2**20 + 1, 413),
    ],
)
def test_bodies_are_refused_at_the_limits_of_the_service(site: Site, path: str, length: int, status: int) -> None:
    answer = httpx2.post(f"{site.address}{path}", content=bytes(length), timeout=60)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/metrics", "/admin/models/1/activate"])
def test_operators_routes_are_not_public(site: Site, path: str) -> None:
    assert httpx2.get(f"{site.address}{path}").status_code == 404


def test_a_slow_client_does_not_occupy_the_service(site: Site) -> None:
    with ExitStack() as stack:
        for _ in range(50):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", site.port)))
            slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\na few bytes")
        answer = httpx2.post(f"{site.address}/predict", content=DRAWING)

    assert answer.json()["digit"] == 3


def test_without_a_service_the_answer_is_a_problem_that_says_when_to_retry(site: Site) -> None:
    for process in site.services.values():
        process.kill()
        process.wait()

    answer = httpx2.post(f"{site.address}/predict", content=DRAWING)

    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "not-ready", "1")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
