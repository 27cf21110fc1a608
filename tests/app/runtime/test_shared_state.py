"""The workers' database: asked by threads, never by the event loop once requests are answered."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import current_thread

import pytest
from fastapi.testclient import TestClient

from app.errors import Overloaded
from app.runtime import shared_state
from app.runtime.shared_state import FILE, LATE_SECONDS, Shared
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.web.application import create_app
from benchmarks.pictures import canvas, encode
from tests.versions import SHIPPED, add_version

LOCAL = {"client": ("127.0.0.1", 50_000), "base_url": "http://127.0.0.1:8000"}


def in_event_loop() -> bool:
    """Whether this thread runs one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@pytest.mark.parametrize("alone", [True, False], ids=["one process", "with a folder"])
def test_the_event_loop_asks_no_database(alone: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, original = dict[str, bool](), Shared.transaction

    @contextmanager
    def note(self: Shared) -> Iterator[sqlite3.Connection]:
        asked[current_thread().name] = in_event_loop()
        with original(self) as database:
            yield database

    store = tmp_path / "store"
    for number in ("1", "2"):
        add_version(store, number)
    settings = Settings(model_store=store, rate_limit="1000/hour", runtime_dir=None if alone else tmp_path / "runtime")
    with TestClient(create_app(settings), **LOCAL) as client:  # type: ignore[arg-type]
        monkeypatch.setattr(Shared, "transaction", note)
        answers = [
            client.post("/predict", content=encode(canvas(3))),
            *(client.get(path) for path in ("/health/ready", "/model", "/models", "/metrics", "/v2/models/digits")),
            client.post("/admin/models/2/activate"),
            client.post("/admin/models/1/shadow"),
            client.post("/admin/models/rollback"),
        ]

    assert [answer.status_code for answer in answers] == [200] * len(answers)
    assert len(asked) >= 2
    assert not any(asked.values()), asked


def test_nor_does_it_add_up_the_metrics_of_all_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, original = list[bool](), Metrics.expose

    def note(self: Metrics, accept: str) -> tuple[bytes, str]:
        asked.append(in_event_loop())
        return original(self, accept)

    monkeypatch.setattr(Metrics, "expose", note)
    with TestClient(create_app(Settings(model_version=SHIPPED, runtime_dir=tmp_path))) as client:
        assert client.get("/metrics").status_code == 200

    assert asked == [False]


def test_a_question_is_answered_by_a_thread_and_raises_what_that_raises() -> None:
    def fail() -> None:
        raise ValueError("wrong")

    async def ask() -> str:
        shared = Shared(None)
        with pytest.raises(ValueError, match="wrong"):
            await shared.ask(fail)
        name = await shared.ask(lambda: current_thread().name)
        shared.close()
        return name

    assert asyncio.run(ask()) != current_thread().name


def test_the_database_is_late_from_when_it_is_held_until_it_answers_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_state, "BUSY_SECONDS", 0.01)
    shared, other = Shared(tmp_path), sqlite3.connect(tmp_path / FILE, isolation_level=None)
    assert not shared.is_late

    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Overloaded), shared.transaction():
        pass
    time.sleep(LATE_SECONDS)
    late = shared.is_late
    other.execute("ROLLBACK")
    with shared.transaction():
        again = shared.is_late

    assert (late, again) == (True, False)
