"""Kept answers where it is hard: several workers share them, the disk is full, the service is killed."""

import json
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import permutations
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

pytest.importorskip("sqlalchemy")

from app.corrections.journal import Journal
from app.settings import Settings
from app.web.access.keys import make_key
from tests import plain_http
from tests.servers import DRAWING, serving
from tests.service.test_faults import eventually, service, workers
from tests.service.test_runtime_folder import fill
from tests.versions import SHIPPED

on_linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="workers are found in Linux's /proc")
PHONE, WEB = (make_key(name, "predict") for name in ("phone", "web"))


@dataclass(frozen=True)
class Worker:
    """A connection that one worker holds."""

    connection: HTTPConnection

    def call(self, method: str, path: str, body: bytes = b"", key: str = PHONE[0]) -> tuple[int, Mapping[str, object]]:
        """Status and answer."""
        self.connection.request(method, path, body, {"X-API-Key": key})
        response = self.connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else {}

    def keep(self) -> str:
        """The id of an answer that it keeps."""
        return str(self.call("POST", "/predict", DRAWING)[1]["id"])

    def correct(self, identity: str, truth: int, key: str = PHONE[0]) -> int:
        """The status of a correction."""
        return self.call("POST", "/corrections", json.dumps({"id": identity, "truth": truth}).encode(), key)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def both(folder: Path) -> Iterator[list[Worker]]:
    """A connection to each of two workers that keep answers in one folder."""
    settings = {
        "KEEP": "glyphs",
        "DATA_DIR": str(folder),
        "API_KEYS": f"{PHONE[1]},{WEB[1]}",
        "KEEP_ALIVE_SECONDS": "300",
        "CORRECTION_LIMIT": "1000/minute",
        "LOG_LEVEL": "error",
    }
    environment = {f"NUMERAL_{name}": value for name, value in settings.items()}
    with service("--workers", "2", stderr=None, **environment) as (url, process), ExitStack() as stack:
        eventually(lambda: len(workers(process)) == 2)
        found: dict[int, Worker] = {}

        def connect() -> bool:
            connection = stack.enter_context(closing(HTTPConnection(str(urlsplit(url).netloc), timeout=60)))
            worker = Worker(connection)
            assert worker.call("GET", "/model")[0] == 200
            found.setdefault(holder(connection, workers(process)), worker)
            return len(found) == 2

        eventually(connect)
        yield [*found.values()]


def holder(connection: HTTPConnection, pids: set[int]) -> int:
    """The process that holds the other end of a connection."""
    mine, other = (address[1] for address in (connection.sock.getsockname(), connection.sock.getpeername()))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    (inode,) = (row[9] for row in rows if [int(row[at].partition(":")[2], 16) for at in (1, 2)] == [other, mine])
    opened = {pid: {os.path.realpath(file) for file in Path(f"/proc/{pid}/fd").iterdir()} for pid in pids}
    (pid,) = (pid for pid, files in opened.items() if f"/proc/{pid}/fd/socket:[{inode}]" in files)
    return pid


@on_linux
def test_every_worker_corrects_and_deletes_what_another_has_just_kept(both: list[Worker]) -> None:
    for keeps, other in permutations(both):
        identity = keeps.keep()

        assert [other.correct(identity, 8), keeps.correct(identity, 8)] == [201, 201]
        assert other.correct(identity, 8, WEB[0]) == 404
        assert other.call("DELETE", f"/corrections/{identity}")[0] == 204
        assert keeps.correct(identity, 8) == 404


@on_linux
def test_a_key_deletes_what_any_worker_has_just_kept(both: list[Worker]) -> None:
    for keeps, other in permutations(both):
        identities = [keeps.keep() for _ in range(3)]

        assert other.call("DELETE", "/corrections/all") == (200, {"answers": 3})
        assert [keeps.correct(identity, 8) for identity in identities] == [404] * 3


@pytest.mark.parametrize("small_disk", [8_192], indirect=True)
def test_a_full_disk_costs_no_answer_and_entries_wait_for_room(small_disk: Path) -> None:
    settings = Settings(model_version=SHIPPED, keep="pictures", data_dir=small_disk)
    with serving(settings) as port, plain_http.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        ballast = fill(small_disk)
        answers = [client.post("/predict", content=DRAWING) for _ in range(20)]
        correction = {"id": answers[-1].json()["id"], "truth": 8}
        refused = client.post("/corrections", json=correction).status_code
        ballast.unlink()
        eventually(lambda: 'numeral_kept_total{outcome="kept"} 20.0' in client.get("/metrics").text)
        taken = client.post("/corrections", json=correction).status_code

    assert [answer.status_code for answer in answers] == [200] * 20
    assert (refused, taken) == (503, 201)


@on_linux
def test_a_service_that_is_killed_leaves_whole_entries_and_counts_no_correction_twice(tmp_path: Path) -> None:
    settings = Settings(model_version=SHIPPED, keep="glyphs", data_dir=tmp_path)

    def ask(url: str) -> None:
        with suppress(httpx2.TransportError):  # the service is killed
            while True:
                plain_http.post(f"{url}/predict", content=DRAWING, timeout=60)

    with service(NUMERAL_KEEP="glyphs", NUMERAL_DATA_DIR=str(tmp_path), NUMERAL_LOG_LEVEL="error") as (url, process):
        identity = plain_http.post(f"{url}/predict", content=DRAWING, timeout=60).json()["id"]
        correction = {"id": identity, "truth": 8}
        before = plain_http.post(f"{url}/corrections", json=correction, timeout=60).status_code
        asking = threading.Thread(target=ask, args=(url,))
        eventually(lambda: 'numeral_kept_total{outcome="kept"} 1.0' in plain_http.get(f"{url}/metrics").text)
        asking.start()
        eventually(lambda: 'numeral_kept_total{outcome="kept"} 1.0' not in plain_http.get(f"{url}/metrics").text)
        os.killpg(process.pid, signal.SIGKILL)
        asking.join()
    with serving(settings) as port:
        after = plain_http.post(f"http://127.0.0.1:{port}/corrections", json=correction, timeout=60).status_code
    journal = Journal.open(settings)
    amounts, found = journal.amounts(), journal.corrected()
    journal.close()

    assert (before, after) == (201, 201)
    assert amounts.corrections == {"new": 1}
    assert amounts.answers > 1
    assert amounts.bytes == amounts.answers * 28 * 28
    assert [(each.entry.text, each.correction.truth) for each in found] == [("3", "8")]
