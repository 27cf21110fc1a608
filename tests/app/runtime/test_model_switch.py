"""Workers change their model together, or not at all. Here each worker is an object; the database is real."""

import asyncio
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.errors import ModelRejected, NotFound, Overloaded, StartupError, SwitchInProgress
from app.reading.decode.picture import InProcessDecoder
from app.reading.model import DigitModel
from app.reading.reader import Reader
from app.reading.requests import Compared
from app.runtime import model_switch as module
from app.runtime.loading import load_model, load_reader
from app.runtime.model_switch import ModelSwitch
from app.runtime.shadow import Agreement, Shadow
from app.runtime.shared_state import Shared
from app.runtime.switch_votes import Switch, SwitchVotes
from app.settings import Settings
from app.web.application import create_app
from benchmarks.pictures import canvas, encode
from tests.conftest import MakeStore
from tests.versions import add_version, change_record, onnx_file

PICTURE = encode(canvas(3))
DRAWING = InProcessDecoder(Settings()).decode(PICTURE)
THREE, EIGHT = (0, 0, 0, 9, 0, 0, 0, 0, 0, 0), (0, 0, 0, 0, 0, 0, 0, 0, 9, 0)
Run = Callable[["Worker", "Worker"], Awaitable[None]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PERIOD", 0.02)


@pytest.fixture
def settings(make_store: MakeStore, tmp_path: Path) -> Settings:
    """A store with the versions 1 and 2, which differ, and 3, whose golden vectors are wrong."""
    make_store(logits=THREE, version="1")
    make_store(logits=EIGHT, version="2")
    store = make_store(golden=1.0, version="3")
    (tmp_path / "run").mkdir()
    return Settings(model_store=store, model_version="1", runtime_dir=tmp_path / "run")


class Worker:
    """What a process has of the models."""

    def __init__(self, settings: Settings, load: Callable[[Settings], DigitModel] = load_model) -> None:
        self.served: list[str] = []
        self.switch = ModelSwitch(settings, Shared(settings.runtime_dir), load, self._serve, InProcessDecoder(settings))
        self.switch.start(load_reader)
        self.following = asyncio.create_task(self.switch.follow())

    def _serve(self, reader: Reader) -> None:
        self.reader = reader
        self.served.append(reader.model.record.version)

    async def stop(self) -> None:
        self.following.cancel()
        await asyncio.to_thread(self.switch.stop)

    def read(self) -> int:
        return self.reader.read(PICTURE).digit


def with_two(settings: Settings, run: Run, **second: Any) -> tuple[Worker, Worker]:
    async def both() -> tuple[Worker, Worker]:
        workers = Worker(settings), Worker(settings, **second)
        try:
            await run(*workers)
        finally:
            for worker in workers:
                await worker.stop()
        return workers

    return asyncio.run(both())


def test_an_activation_reaches_every_worker_before_it_is_answered(settings: Settings) -> None:
    async def run(one: Worker, two: Worker) -> None:
        await one.switch.activate("2")
        assert (one.read(), two.read()) == (8, 8)
        assert one.switch.describe() == two.switch.describe()

    one, two = with_two(settings, run)

    assert one.served == two.served == ["1", "2"]


def test_any_worker_rolls_back_what_another_activated(settings: Settings) -> None:
    async def run(one: Worker, two: Worker) -> None:
        await one.switch.activate("2")
        assert two.switch.describe().previous == "1"
        await two.switch.roll_back()
        assert (one.read(), two.read()) == (3, 3)
        with pytest.raises(ModelRejected, match="no earlier version"):
            await one.switch.roll_back()

    with_two(settings, run)


def test_an_active_version_is_not_loaded_again(settings: Settings) -> None:
    async def run(one: Worker, _two: Worker) -> None:
        await one.switch.activate("1")

    one, two = with_two(settings, run)

    assert one.served == two.served == ["1"]


BAD: dict[str, Callable[[Path], object]] = {
    "wrong golden vectors": lambda folder: folder,
    "another file": lambda folder: (folder / "model.onnx").write_bytes(b"x"),
    "another finder": lambda folder: onnx_file(folder.parent.parent, "3", "finder").write_bytes(b"x"),
    "no finder": lambda folder: onnx_file(folder.parent.parent, "3", "finder").unlink(),
    "the reader before": lambda folder: change_record(folder, reader=1),
    "no file": lambda folder: (folder / "model.onnx").unlink(),
    "a truncated file": lambda folder: (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:99]),
    "no golden vectors": lambda folder: (folder / "golden.npz").unlink(),
    "no record": lambda folder: (folder / "model.json").unlink(),
    "a broken record": lambda folder: (folder / "model.json").write_text("{"),
}


@pytest.mark.parametrize("spoil", BAD.values(), ids=BAD.keys())
def test_a_bad_version_is_rejected_and_changes_nothing(settings: Settings, spoil: Callable[[Path], object]) -> None:
    spoil(settings.model_store / "digits" / "3")

    async def run(one: Worker, two: Worker) -> None:
        for change in (one.switch.activate, two.switch.cast_shadow):
            with pytest.raises(ModelRejected, match="Model digits/3"):
                await change("3")
        assert one.switch.describe().active == two.switch.describe().active == "1"
        await two.switch.activate("2")  # and the way is free for another

    one, two = with_two(settings, run)

    assert one.served == two.served == ["1", "2"]


def test_one_worker_that_cannot_load_keeps_all_at_what_they_serve(settings: Settings) -> None:
    def fail(chosen: Settings) -> DigitModel:
        if chosen.model_version == "2":
            raise MemoryError
        return load_model(chosen)

    async def run(one: Worker, _two: Worker) -> None:
        with pytest.raises(ModelRejected, match="MemoryError"):
            await one.switch.activate("2")

    one, two = with_two(settings, run, load=fail)

    assert one.served == two.served == ["1"]


def test_one_worker_that_is_not_ready_in_time_keeps_all_at_what_they_serve(settings: Settings) -> None:
    def dawdle(chosen: Settings) -> DigitModel:
        time.sleep(0.5 if chosen.model_version == "2" else 0)
        return load_model(chosen)

    async def run(one: Worker, two: Worker) -> None:
        with pytest.raises(ModelRejected, match="in time"):
            await one.switch.activate("2")
        await asyncio.sleep(0.6)
        assert (one.read(), two.read()) == (3, 3)

    with_two(settings.model_copy(update={"switch_seconds": 0.2}), run, load=dawdle)


def test_the_version_that_the_pointer_names_can_be_asked_for(settings: Settings) -> None:
    pointer = settings.model_store / "digits" / "served"

    async def run(one: Worker, two: Worker) -> None:
        pointer.write_text("2\n")
        assert two.switch.describe().served == "2"
        await one.switch.activate("served")
        assert (one.read(), two.read()) == (8, 8)
        pointer.write_text("9\n")
        with pytest.raises(NotFound, match="no version 9 of the model"):
            await one.switch.activate("served")
        pointer.unlink()
        assert two.switch.describe().served is None
        with pytest.raises(ModelRejected, match="nothing says which version is served"):
            await one.switch.activate("served")

    with_two(settings, run)


def test_it_is_told_who_chose_the_version(settings: Settings) -> None:
    async def run(one: Worker, two: Worker) -> None:
        told = [two.switch.chosen_by]
        await one.switch.activate("2")
        told.append(two.switch.chosen_by)
        assert two.switch.describe().chosen_by == "activation"
        await one.switch.roll_back()
        assert [*told, two.switch.chosen_by] == ["setting", "activation", "setting"]

    with_two(settings, run)


def test_both_networks_are_exchanged_as_one(tmp_path: Path) -> None:
    store = tmp_path / "store"
    add_version(store, "3")
    add_version(store, "4", threshold=0.25)

    async def run(one: Worker, two: Worker) -> None:
        first = one.reader.model
        await two.switch.activate("4")
        second = one.reader.model
        assert first.finder is not second.finder
        assert (first.metadata.threshold, second.metadata.threshold) != (0.25, 0.25)
        assert second.classifier.editions["finder"] == onnx_file(store, "4", "finder").read_bytes()
        await two.switch.roll_back()
        assert one.reader.model.classifier.editions == first.classifier.editions

    with_two(Settings(model_store=store, runtime_dir=tmp_path), run)


def test_a_missing_version_is_not_found(settings: Settings) -> None:
    async def run(one: Worker, _two: Worker) -> None:
        with pytest.raises(NotFound, match="no version 9 of the model; there is 1, 2, 3"):
            await one.switch.activate("9")

    with_two(settings, run)


def test_a_vote_is_repeated_if_the_database_was_busy(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    vote, refused = SwitchVotes.vote, list[Switch]()

    def busy_at_first(self: SwitchVotes, switch: Switch, refusal: str | None) -> None:
        if len(refused) < 2:
            refused.append(switch)
            raise Overloaded("busy")
        vote(self, switch, refusal)

    async def run(one: Worker, two: Worker) -> None:
        monkeypatch.setattr(SwitchVotes, "vote", busy_at_first)
        with suppress(Overloaded):  # one's own vote may be the one that fails
            await one.switch.activate("2")
        async with asyncio.timeout(60):
            while (one.read(), two.read()) != (8, 8):  # noqa: ASYNC110  nothing tells when a worker has swapped
                await asyncio.sleep(0.01)

    with_two(settings, run)
    assert len(refused) == 2


def test_of_two_switches_at_once_one_is_told_to_wait(settings: Settings) -> None:
    async def run(one: Worker, two: Worker) -> None:
        results = await asyncio.gather(one.switch.activate("2"), two.switch.cast_shadow("2"), return_exceptions=True)
        assert [type(result) for result in results if result] == [SwitchInProgress]

    with_two(settings, run)


def test_a_worker_that_starts_later_serves_the_activated_version(settings: Settings) -> None:
    async def run(one: Worker, two: Worker) -> None:
        await one.switch.activate("2")
        await two.switch.cast_shadow("1")
        late = Worker(settings)
        assert (late.read(), late.served) == (8, ["2"])
        assert late.reader.comparison is not None
        await late.stop()

    with_two(settings, run)


@pytest.mark.parametrize(
    "spoil",
    [lambda folder: (folder / "model.onnx").write_bytes(b"x"), lambda folder: (folder / "model.json").unlink()],
    ids=["damaged", "gone"],
)
def test_a_worker_that_starts_later_serves_without_a_shadow_that_cannot_be_loaded(
    settings: Settings, spoil: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    async def run(one: Worker, _two: Worker) -> None:
        await one.switch.cast_shadow("2")
        spoil(settings.model_store / "digits" / "2")
        late = Worker(settings)
        assert (late.read(), late.reader.comparison) == (3, None)
        await late.stop()

    with_two(settings, run)
    assert [record for record in caplog.records if "without the shadow, version 2: Model digits/2" in record.getMessage()]


def test_a_switch_that_finds_the_database_busy_at_its_end_is_completed_later(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    adopt, refused = SwitchVotes.adopt, list[Switch]()

    def busy_at_first(self: SwitchVotes, switch: Switch) -> None:
        if len(refused) < 3:
            refused.append(switch)
            raise Overloaded("busy")
        adopt(self, switch)

    async def run(one: Worker, two: Worker) -> None:
        await one.switch.cast_shadow("2")
        shadows = [worker.reader.comparison for worker in (one, two) if isinstance(worker.reader.comparison, Shadow)]
        monkeypatch.setattr(SwitchVotes, "adopt", busy_at_first)

        await one.switch.cast_shadow(None)  # without an error, since it has taken place

        votes = SwitchVotes(Shared(settings.runtime_dir))
        threads = [shadow._thread for shadow in shadows]  # noqa: SLF001  nothing else tells whether it has ended
        assert len(threads) == 2
        async with asyncio.timeout(60):
            while not votes.is_adopted(votes.news()[0]) or any(thread.is_alive() for thread in threads):  # noqa: ASYNC110  as above
                await asyncio.sleep(0.01)
        assert one.reader.comparison is two.reader.comparison is None

    with_two(settings, run)
    assert len(refused) == 3


def test_a_switch_is_not_refused_because_its_votes_could_not_be_counted_at_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tally, refused = SwitchVotes.tally, list[Switch]()

    def busy_at_first(self: SwitchVotes, switch: Switch) -> Switch:
        if len(refused) < 3:
            refused.append(switch)
            raise Overloaded("busy")
        return tally(self, switch)

    async def run(one: Worker, two: Worker) -> None:
        monkeypatch.setattr(SwitchVotes, "tally", busy_at_first)
        await one.switch.activate("2")
        assert (one.read(), two.read()) == (8, 8)

    with_two(settings, run)
    assert len(refused) == 3


def test_a_switch_goes_on_without_a_worker_that_died(settings: Settings) -> None:
    async def run(one: Worker, _two: Worker) -> None:
        shared = Shared(settings.runtime_dir)
        with shared.transaction() as database:
            database.execute("INSERT INTO workers VALUES ('gone', ?, 1)", (dead_pid(),))
        await one.switch.activate("2")
        with shared.transaction() as database:
            assert database.execute("SELECT count(*) FROM workers").fetchone() == (2,)

    with_two(settings, run)


def dead_pid() -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def test_a_worker_that_starts_during_a_switch_has_a_vote(tmp_path: Path) -> None:
    one, two = SwitchVotes(Shared(tmp_path)), SwitchVotes(Shared(tmp_path))
    first = one.open("1")
    assert one.join(first)
    proposed = one.propose(first, ("1", "2"), None, 10)
    assert two.join(first)

    one.vote(proposed, None)
    assert one.tally(proposed).status == "preparing"
    two.vote(proposed, "no")

    assert (two.tally(proposed).status, one.tally(proposed).reason) == ("rejected", "no")


def test_a_worker_that_loaded_an_outdated_version_may_not_join(tmp_path: Path) -> None:
    one, two = SwitchVotes(Shared(tmp_path)), SwitchVotes(Shared(tmp_path))
    first = one.open("1")
    one.join(first)
    one.vote(proposed := one.propose(first, ("1", "2"), None, 10), None)
    assert one.tally(proposed).status == "committed"

    assert two.join(first) is False
    assert two.open("1").active == "2"


def test_a_worker_with_outdated_knowledge_may_not_propose(tmp_path: Path) -> None:
    one, two = SwitchVotes(Shared(tmp_path)), SwitchVotes(Shared(tmp_path))
    first = one.open("1")
    one.join(first)
    one.vote(proposed := one.propose(first, ("1", "2"), None, 10), None)
    one.tally(proposed)

    with pytest.raises(SwitchInProgress):
        two.propose(first, ("1", "3"), None, 10)


def test_a_proposal_of_a_dead_worker_blocks_nothing_for_long(tmp_path: Path) -> None:
    one, two = SwitchVotes(Shared(tmp_path)), SwitchVotes(Shared(tmp_path))
    first = one.open("1")
    one.join(first)
    two.join(first)
    two.propose(first, ("1", "2"), None, 0.05)
    with pytest.raises(SwitchInProgress):
        one.propose(first, ("1", "3"), None, 10)

    time.sleep(0.06)

    assert one.propose(first, ("1", "3"), None, 10).status == "preparing"


def test_a_first_model_that_is_bad_stops_the_start(settings: Settings) -> None:
    async def run() -> None:
        with pytest.raises(StartupError, match="golden vectors"):
            Worker(settings.model_copy(update={"model_version": "3"}))

    asyncio.run(run())


def test_the_store_is_described_with_its_figures_and_its_faults(settings: Settings) -> None:
    (settings.model_store / "digits" / "3" / "model.json").write_text("{")

    async def run(one: Worker, two: Worker) -> None:
        await one.switch.cast_shadow("2")
        models = two.switch.describe()
        assert [(each.version, each.active, each.shadow) for each in models.versions] == [
            ("1", True, False),
            ("2", False, True),
            ("3", False, False),
        ]
        assert models.versions[0].accuracy == {"mnist_test": 0.1}
        assert len(models.versions[0].sha256 or "") == 64
        assert "model.json cannot be read" in (models.versions[2].problem or "")

    with_two(settings, run)


def compared(worker: Worker) -> Agreement:
    shadow = worker.switch.describe().shadow
    assert shadow
    return Agreement(shadow.compared, shadow.agreed, shadow.dropped, shadow.failed)


async def wait_for(worker: Worker, expected: Agreement) -> None:
    for _ in range(200):
        if compared(worker) == expected:
            return
        await asyncio.sleep(0.02)
    assert compared(worker) == expected


def test_a_shadow_is_compared_over_all_workers(settings: Settings) -> None:
    async def run(one: Worker, two: Worker) -> None:
        await one.switch.cast_shadow("2")
        for worker in (one, two):
            assert worker.reader.comparison
            worker.reader.comparison.compare([Compared(DRAWING, text) for text in "8883"])
        await wait_for(two, Agreement(compared=8, agreed=6))
        await two.switch.activate("2")
        assert one.switch.describe().shadow is None

    with_two(settings, run)


def test_a_shadow_ends_and_starts_again(settings: Settings) -> None:
    async def run(one: Worker, two: Worker) -> None:
        await one.switch.cast_shadow("2")
        assert one.reader.comparison
        one.reader.comparison.compare([Compared(DRAWING, "8")])
        await wait_for(one, Agreement(compared=1, agreed=1))
        await two.switch.cast_shadow(None)
        assert one.reader.comparison is None
        await two.switch.cast_shadow("2")
        assert compared(one) == Agreement()

    with_two(settings, run)


def test_the_active_version_cannot_be_its_own_shadow(settings: Settings) -> None:
    async def run(one: Worker, _two: Worker) -> None:
        with pytest.raises(ModelRejected, match="agree with itself"):
            await one.switch.cast_shadow("1")

    with_two(settings, run)


def test_a_busy_shared_database_is_answered_with_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.runtime.shared_state.BUSY_SECONDS", 0.01)
    with TestClient(create_app(Settings(runtime_dir=tmp_path))) as client:
        other = sqlite3.connect(tmp_path / "shared.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        busy = client.get("/models")
        read = client.post("/predict", content=encode(canvas(3))).json()
        other.close()
        after = client.get("/models")

    assert (busy.status_code, busy.json()["code"], busy.headers["retry-after"]) == (503, "overloaded", "1")
    assert read["digit"] == 3
    assert after.status_code == 200
