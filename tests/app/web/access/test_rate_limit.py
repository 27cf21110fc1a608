"""Rate limits: requests are counted once, by key or address, and forgotten in time."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from app.errors import RateLimited, StartupError
from app.runtime.shared_state import BUSY_SECONDS, Shared, open_runtime_folder
from app.settings import Settings
from app.web.access import rate_limit
from app.web.access.keys import make_key
from app.web.access.rate_limit import RateLimiter, name_address
from app.web.application import create_app
from tests.versions import SHIPPED

SECRET, KEPT = make_key("phone", "predict")


class Clock:
    """The machine's clock, which a test can put forward."""

    def __init__(self) -> None:
        self.now = 60_000.0

    def monotonic(self) -> float:
        return self.now

    time = monotonic


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(rate_limit, "time", clock)
    return clock


def check(limiter: RateLimiter, client: str) -> None:
    asyncio.run(limiter.admit(client))


def admitted(limiter: RateLimiter, times: int, client: str = "a") -> int:
    count = 0
    for _ in range(times):
        try:
            check(limiter, client)
        except RateLimited:
            continue
        count += 1
    return count


@pytest.mark.usefixtures("patient_limits")
def test_exactly_as_many_requests_as_allowed_are_admitted() -> None:
    limiter = RateLimiter("3/hour", Shared(None))

    assert admitted(limiter, 5) == 3
    assert admitted(limiter, 5, "b") == 3


@pytest.mark.usefixtures("patient_limits")
def test_the_window_slides(clock: Clock) -> None:
    limiter = RateLimiter("10/minute", Shared(None))

    assert admitted(limiter, 20) == 10
    clock.now += 59
    assert admitted(limiter, 20) == 0
    clock.now += 31  # in the middle of the next window half of the past one still weighs
    assert admitted(limiter, 20) == 5
    clock.now += 120
    assert admitted(limiter, 20) == 10


@pytest.mark.usefixtures("patient_limits")
def test_after_retry_after_the_client_is_admitted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter, started = RateLimiter("3/2 seconds", Shared(None)), time.monotonic()
    assert admitted(limiter, 3) == 3

    with pytest.raises(RateLimited) as refused:
        check(limiter, "a")
    clock = Clock()
    clock.now = started + int(refused.value.headers["Retry-After"]) + 1
    monkeypatch.setattr(rate_limit, "time", clock)

    check(limiter, "a")
    assert 1 <= int(refused.value.headers["Retry-After"]) <= 2


@pytest.mark.usefixtures("patient_limits")
def test_workers_count_together(tmp_path: Path) -> None:
    limiters = [RateLimiter("25/hour", Shared(tmp_path)) for _ in range(2)]

    with ThreadPoolExecutor(2) as pool:
        counts = pool.map(admitted, limiters, [30, 30])

    assert sum(counts) == 25


@pytest.mark.usefixtures("patient_limits")
def test_old_counters_are_dropped(clock: Clock) -> None:
    shared = Shared(None)
    limiter = RateLimiter("10/minute", shared)
    for client in range(50):
        check(limiter, str(client))

    clock.now += 180
    check(limiter, "another")

    with shared.transaction() as database:
        assert database.execute("SELECT count(*) FROM counted").fetchone() == (1,)


def test_what_cannot_be_counted_together_is_counted_alone_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.runtime.shared_state.BUSY_SECONDS", 0.01)
    limiter = RateLimiter("1/hour", Shared(tmp_path))
    other = sqlite3.connect(tmp_path / "shared.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    assert (admitted(limiter, 3), admitted(limiter, 3, "b")) == (1, 1)
    assert caplog.text.count("could not be counted") == 1
    other.close()

    assert admitted(limiter, 3) == 1  # what was counted alone is not added to what all workers count
    assert "with the other workers again" in caplog.text


def test_the_counts_of_a_worker_alone_are_dropped_with_their_frame(clock: Clock) -> None:
    limiter = RateLimiter("10/minute", Shared(None))
    for _ in range(5):
        limiter._count_alone("a", limiter._frame())  # noqa: SLF001  memory is not seen from outside
        clock.now += 60

    assert len(limiter._alone) <= 2  # noqa: SLF001  nor here


def test_the_event_loop_goes_on_while_another_process_holds_the_counts(tmp_path: Path) -> None:
    async def ask() -> tuple[int, float]:
        shared = Shared(tmp_path)
        limiter = RateLimiter("4/hour", shared)
        other = sqlite3.connect(tmp_path / "shared.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        count, longest, begun = 0, 0.0, time.monotonic()
        for _ in range(9):
            with suppress(RateLimited):
                await limiter.admit("a")
                count += 1
            await asyncio.sleep(0)
            now = time.monotonic()
            longest, begun = max(longest, now - begun), now
        other.close()
        await asyncio.to_thread(shared.close)
        return count, longest

    count, longest = asyncio.run(ask())

    assert count == 4
    assert longest < BUSY_SECONDS / 2  # one waits for LATE_SECONDS, nobody for the database


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("unknown", "unknown"),
    ],
)
def test_one_subscriber_is_one_client(host: str, name: str) -> None:
    assert name_address(host) == name


@pytest.fixture
def limited(patient_limits: None) -> Iterator[TestClient]:  # noqa: ARG001
    settings = Settings(model_version=SHIPPED, api_keys=[str(KEPT)], rate_limit="4/hour")
    with TestClient(create_app(settings), client=("192.0.2.7", 1)) as client:
        yield client


def test_a_client_is_identified_by_its_key_or_otherwise_by_its_address(limited: TestClient) -> None:
    with_key = [limited.get("/model", headers={"X-API-Key": SECRET}).status_code for _ in range(6)]
    without = [limited.get("/model").status_code for _ in range(6)]

    assert with_key == [200] * 4 + [429] * 2
    assert without == [401] * 4 + [429] * 2


def test_a_refusal_says_when_to_retry_and_health_is_not_counted(limited: TestClient) -> None:
    answers = [limited.get("/model", headers={"X-API-Key": SECRET}) for _ in range(6)]

    assert answers[-1].json()["code"] == "rate-limited"
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 3600
    assert "One client may send 4 requests per hour;" in answers[-1].json()["detail"]
    assert {limited.get("/health/ready").status_code for _ in range(9)} == {200}


def test_no_client_is_limited_by_default(client: TestClient) -> None:
    assert {client.get("/health/live").status_code for _ in range(99)} == {200}
    assert Settings().rate_limit is None


@pytest.mark.parametrize("wrong", [{"rate_limit": "often"}, {"trusted_proxies": ["proxy.example"]}, {"trusted_proxies": ["10.0.0.1/8"]}], ids=str)  # fmt: skip
def test_an_invalid_limit_or_proxy_stops_the_start(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)  # type: ignore[arg-type]


def test_a_folder_that_cannot_be_shared_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StartupError, match="share"):
        Shared(tmp_path / "nowhere")
    with pytest.raises(StartupError, match="share"), open_runtime_folder(tmp_path / "file"):
        pass


def test_the_state_of_an_earlier_service_is_cleared(tmp_path: Path) -> None:
    earlier = Shared(tmp_path)
    admitted(RateLimiter("3/hour", earlier), 3)
    earlier.close()

    with open_runtime_folder(tmp_path):
        assert admitted(RateLimiter("3/hour", Shared(tmp_path)), 5) == 3


def test_a_runtime_folder_of_its_own_is_removed_at_the_end() -> None:
    with open_runtime_folder(None) as folder:
        assert Path(folder).is_dir()

    assert not Path(folder).exists()
