"""Keeping behind the answer: bounded, without an address, and losing entries rather than answers."""

import asyncio
import random
import re
import sqlite3
import threading
import time
import tracemalloc
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("sqlalchemy")

from app.corrections import journal as journals
from app.corrections import keeper as keeping
from app.corrections.entry import ID, Corrected, Entry
from app.corrections.journal import DAY, FILE, STEP, Journal
from app.corrections.keeper import IDS_AHEAD, RECENT, Ids, Keeper, is_recent
from app.corrections.pictures import ByteBudget, encode
from app.errors import InternalError, NotFound, Overloaded
from app.reading.answer import Prediction
from app.reading.decode.picture import Picture, decode
from app.settings import Settings
from tests.app.corrections.entries import BOX, answered, answered_many, entry, said

ADDRESS = "203.0.113.9"


class Counts:
    """Counts what the keeper tells."""

    def __init__(self) -> None:
        self.of: Counter[str] = Counter()

    def count_kept(self, count: int) -> None:
        self.of["kept"] += count

    def count_unkept(self, count: int) -> None:
        self.of["lost"] += count


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(keep="glyphs", data_dir=tmp_path)


def make(settings: Settings, counts: Counts, *, keyed: bool = True) -> Keeper:
    return Keeper(settings, Journal.open(settings), counts, keyed=keyed)


@pytest.fixture
def keeper(settings: Settings, counts: Counts) -> Iterator[Keeper]:
    made = make(settings, counts)
    yield made
    made.stop()


def kept(settings: Settings) -> list[Corrected]:
    """What is there, each with a correction, since only those are listed."""
    journal = Journal.open(settings)
    with journal._engine.begin() as connection:  # noqa: SLF001
        connection.exec_driver_sql(
            "INSERT INTO corrections SELECT id, '1', client, created, 'new', 0 FROM kept WHERE id NOT IN (SELECT id FROM corrections)"
        )
    found = journal.corrected(oldest_first=True, pictures=True)
    journal.close()
    return found


def test_an_answer_is_kept_under_the_id_that_was_given(keeper: Keeper, settings: Settings, counts: Counts) -> None:
    identities = [keeper.keep(answered(seed), "key phone") for seed in range(3)]
    keeper.flush()

    found = kept(settings)

    assert [each.entry.id for each in found] == identities
    assert len(set(identities)) == 3
    assert {each.entry.client for each in found} == {"key phone"}
    np.testing.assert_array_equal(found[1].entry.glyphs, [each.pixels for each in answered(1).glyphs])
    read = {"text": "7", "single": True, "model": "digits/3", "boxes": (BOX,), "confidence": 0.9, "accepted": True}
    assert {name: getattr(found[1].entry, name) for name in read} == read
    assert counts.of == {"kept": 3}


def test_ids_are_in_the_order_of_time_and_differ_within_a_moment() -> None:
    ids = Ids()
    assert ids.make(1e9) < ids.make(1.8e9) < ids.make(1.8e9 + 0.002)
    count = 2 * IDS_AHEAD + 1
    assert len({ids.make(1.8e9) for _ in range(count)}) == count
    assert re.fullmatch(ID, ids.make(1.8e9))


@pytest.mark.parametrize("seconds", [0.0, 1.0, RECENT, -RECENT])
def test_an_id_tells_whether_it_is_recent(seconds: float) -> None:
    identity = Ids().make(1.8e9)

    assert is_recent(identity, 1.8e9 + 0.9 * seconds)
    assert not is_recent(identity, 1.8e9 + (seconds or 1) * 1e3)
    assert not is_recent("f" * 32, 1.8e9)


@pytest.fixture
def hold(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Lets nothing be written until the event is set, or the test ends; turns are short, and patience is long."""
    go_on = threading.Event()
    add = Journal.add
    monkeypatch.setattr(Journal, "add", lambda journal, entries: go_on.wait(60) and add(journal, entries))
    monkeypatch.setattr(keeping, "GATHER_SECONDS", 0.02)
    monkeypatch.setattr(keeping, "PATIENCE", 60.0)
    yield go_on
    go_on.set()


def test_nobody_waits_for_an_unknown_id_that_is_not_recent(keeper: Keeper, hold: threading.Event) -> None:
    async def ask() -> None:
        keeper.keep(answered(), "key phone")
        for identity in ("0" * 32, Ids().make(time.time() - 60), "f" * 32):
            with pytest.raises(NotFound):
                await asyncio.wait_for(keeper.correct(identity, "1", "key phone"), 10)
            with pytest.raises(NotFound):
                await asyncio.wait_for(keeper.forget(identity, "key phone"), 10)

    asyncio.run(ask())
    assert not hold.is_set()  # what was kept first is still being written


def test_whoever_waits_for_an_answer_to_be_written_keeps_nobody_else_waiting(keeper: Keeper, hold: threading.Event) -> None:
    async def ask() -> int:
        identity = keeper.keep(answered(), "key phone")
        forged = [Ids().make(time.time()) for _ in range(50)]
        waiting = [asyncio.create_task(keeper.correct(each, "1", "key phone")) for each in [identity or "", *forged]]
        waiting_too = asyncio.create_task(keeper.forget_client("key web"))
        await asyncio.sleep(0.5)
        assert await asyncio.wait_for(keeper.corrected(None, 10), 10) == []
        assert not any(task.done() for task in [*waiting, waiting_too])
        hold.set()
        taken, *unknown = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 10)
        assert all(isinstance(each, NotFound) for each in unknown)
        assert not isinstance(taken, BaseException)
        assert taken.first
        return await asyncio.wait_for(waiting_too, 10)

    assert asyncio.run(ask()) == 0


def test_patience_ends_and_does_not_call_unknown_what_still_waits(
    keeper: Keeper, hold: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "PATIENCE", 0.05)

    async def ask() -> None:
        identity = keeper.keep(answered(), "key phone") or ""
        for question in (
            keeper.correct(identity, "1", "key phone"),
            keeper.forget(identity, "key phone"),
            keeper.forget_client("key phone"),  # it would be written after that
        ):
            with pytest.raises(Overloaded, match="not written yet"):
                await asyncio.wait_for(question, 10)

    asyncio.run(ask())
    hold.set()
    keeper.flush()  # the mark that nobody waits for any more harms nothing


@pytest.mark.parametrize("count", [1, 70])
def test_however_many_are_written_together_each_is_there(keeper: Keeper, settings: Settings, count: int) -> None:
    identities = [keeper.keep(answered(seed, digit=seed % 10), "key phone") for seed in range(count)]
    keeper.flush()

    found = kept(settings)

    assert [each.entry.id for each in found] == identities
    assert [each.entry.text for each in found] == [str(seed % 10) for seed in range(count)]
    assert all((each.entry.glyphs[0] == answered(seed).glyphs[0].pixels).all() for seed, each in enumerate(found))


def test_what_waits_at_the_end_is_written(settings: Settings, counts: Counts) -> None:
    keeper = make(settings, counts)
    for seed in range(20):
        keeper.keep(answered(seed), "key phone")
    keeper.stop()

    assert len(kept(settings)) == 20


def test_no_address_is_in_the_database(settings: Settings, counts: Counts, tmp_path: Path) -> None:
    keeper = make(settings, counts, keyed=False)
    keeper.keep(answered(1), ADDRESS)
    keeper.keep(answered(2), ADDRESS)
    keeper.keep(answered(3), "203.0.113.10")
    keeper.stop()

    clients = [each.entry.client for each in kept(settings)]

    assert clients[0] == clients[1] != clients[2]
    assert all(client.startswith("anonymous ") for client in clients)
    assert not any(ADDRESS.encode() in file.read_bytes() for file in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("which", "doubtful", "is_kept"), [("all", False, True), ("doubtful", False, False), ("doubtful", True, True)]
)
def test_only_the_answers_that_the_setting_names_are_kept(
    settings: Settings, counts: Counts, which: str, doubtful: bool, is_kept: bool
) -> None:
    keeper = make(settings.model_copy(update={"keep_which": which}), counts)

    assert (keeper.keep(answered(accepted=not doubtful), "key phone") is not None) == is_kept
    keeper.stop()


def test_keep_share_keeps_that_share_of_answers(settings: Settings, counts: Counts, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([0.1, 0.3, 0.2])
    monkeypatch.setattr(random, "random", lambda: next(drawn))
    keeper = make(settings.model_copy(update={"keep_share": 0.25}), counts)

    assert [keeper.keep(answered(), "key phone") is not None for _ in range(3)] == [True, False, True]
    keeper.stop()


def test_what_finds_no_room_in_the_queue_gets_no_id(keeper: Keeper, counts: Counts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "WAITING", 2)

    identities = [keeper.keep(answered(), "key phone") for _ in range(4)]
    keeper.flush()

    assert [identity is not None for identity in identities] == [True, True, False, False]
    assert counts.of == {"kept": 2, "lost": 2}
    assert keeper.keep(answered(), "key phone") is not None  # there is room again


def test_what_waits_holds_no_glyph_that_is_not_kept(keeper: Keeper, hold: threading.Event) -> None:
    glyphs = np.zeros((400, 28, 28), np.uint8)
    seen = weakref.ref(glyphs)

    assert keeper.keep(answered_many(glyphs), "key phone")
    del glyphs

    assert seen() is None
    hold.set()


@pytest.mark.parametrize("places", [1, 2, 200])
def test_what_waits_counts_about_as_many_bytes_as_it_takes(keeper: Keeper, hold: threading.Event, places: int) -> None:
    keeper.keep(answered(), "key phone")
    counted = -keeper._taken_in.bytes  # noqa: SLF001  nothing else tells what is counted
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for seed in range(20):
        given = answered(seed) if places == 1 else answered_many(np.zeros((places, 28, 28), np.uint8))
        keeper.keep(given, "key phone")
        del given
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    counted += keeper._taken_in.bytes  # noqa: SLF001
    assert 0.5 < (after - before) / counted < 2
    hold.set()


def test_a_reading_comes_back_as_it_was(keeper: Keeper, settings: Settings) -> None:
    glyphs = np.random.default_rng(1).integers(0, 256, (6, 28, 28), dtype=np.uint8)
    keeper.keep(answered_many(glyphs), "key phone")
    keeper.flush()

    (found,) = kept(settings)

    assert (found.entry.text, [box.x for box in found.entry.boxes]) == ("777", [0, 1, 2])
    np.testing.assert_array_equal(found.entry.glyphs, glyphs[::2])


class FullDisk:
    """In the place of Journal.add until there is room."""

    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error
        self._tries, self._add = threading.Semaphore(0), Journal.add

    def add(self, journal: Journal, entries: Iterable[Entry]) -> None:
        self._tries.release()
        if self.error:
            raise self.error
        self._add(journal, entries)

    def wait_for_tries(self, count: int) -> None:
        assert all(self._tries.acquire(timeout=60) for _ in range(count))


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> FullDisk:
    disk = FullDisk(Overloaded("database or disk is full"))

    def add(journal: Journal, entries: Iterable[Entry]) -> None:
        disk.add(journal, entries)

    monkeypatch.setattr(Journal, "add", add)
    monkeypatch.setattr(keeping, "GATHER_SECONDS", 0.02)
    return disk


def test_what_cannot_be_written_waits_until_it_can(
    full: FullDisk, settings: Settings, counts: Counts, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = make(settings, counts)
    identities = [keeper.keep(answered(1), "key phone")]
    full.wait_for_tries(2)
    identities.append(keeper.keep(answered(2), "key phone"))
    full.wait_for_tries(2)
    full.error = None
    keeper.flush(60)

    assert [each.entry.id for each in kept(settings)] == identities
    assert counts.of == {"kept": 2}
    told = [record.getMessage() for record in caplog.records if record.name == keeping.__name__]
    assert len(told) == 2
    assert "cannot be written; some wait, more are lost: database or disk is full" in told[0]
    assert "written again" in told[1]
    keeper.stop()


def test_what_finds_no_room_while_nothing_can_be_written_is_lost(
    full: FullDisk, settings: Settings, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "WAITING", 2)
    keeper = make(settings, counts)

    identities = [keeper.keep(answered(), "key phone") for _ in range(2)]
    full.wait_for_tries(2)
    identities += [keeper.keep(answered(), "key phone") for _ in range(2)]
    full.error = None
    keeper.flush(60)

    assert [identity is not None for identity in identities] == [True, True, False, False]
    assert counts.of == {"kept": 2, "lost": 2}
    assert keeper.keep(answered(), "key phone") is not None
    keeper.stop()


@pytest.mark.parametrize("shared", [{"workers": 2}, {"database_url": "postgresql+psycopg://elsewhere"}], ids=["workers", "url"])
def test_what_others_could_not_delete_is_not_held(
    full: FullDisk, settings: Settings, counts: Counts, shared: dict[str, Any]
) -> None:
    journal = Journal.open(settings)
    keeper = Keeper(settings.model_copy(update=shared), journal, counts, keyed=True)

    keeper.keep(answered(), "key phone")
    keeper.flush(60)

    assert counts.of == {"lost": 1}
    full.error = None
    keeper.stop()
    assert kept(settings) == []


@pytest.mark.usefixtures("full")
def test_the_end_does_not_wait_for_room_on_the_disk(settings: Settings, counts: Counts) -> None:
    keeper = make(settings, counts)
    keeper.keep(answered(), "key phone")
    keeper.stop()

    assert counts.of == {"lost": 1}


@pytest.mark.parametrize("fault", [ValueError("a fault"), InternalError("no such table")], ids=["ours", "a damaged database"])
def test_a_fault_that_lasts_is_not_repeated(full: FullDisk, settings: Settings, counts: Counts, fault: Exception) -> None:
    keeper = make(settings, counts)
    full.error = fault
    keeper.keep(answered(1), "key phone")
    keeper.flush(60)
    full.error = None
    identity = keeper.keep(answered(2), "key phone")
    keeper.stop()

    assert [each.entry.id for each in kept(settings)] == [identity]
    assert counts.of == {"kept": 1, "lost": 1}


def test_a_held_answer_is_not_called_unknown_however_old_it_is(
    full: FullDisk, settings: Settings, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "RECENT", -1.0)  # all ids are old
    monkeypatch.setattr(keeping, "PATIENCE", 60.0)
    keeper = make(settings, counts)
    identity = keeper.keep(answered(), "key phone") or ""
    full.wait_for_tries(2)

    async def ask() -> bool:
        correcting = asyncio.create_task(keeper.correct(identity, "1", "key phone"))
        await asyncio.to_thread(full.wait_for_tries, 2)
        full.error = None
        return (await correcting).first

    assert asyncio.run(ask())
    keeper.stop()


class SlowJournal:
    """In the place of Journal.review: waits, as where another process holds the database."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.began, self.go_on = threading.Event(), threading.Event()

    def review(self, identity: str) -> bool:
        self.asked.append(identity)
        self.began.set()
        return self.go_on.wait(60)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowJournal]:
    journal = SlowJournal()
    monkeypatch.setattr(Journal, "review", lambda _, identity, *__: journal.review(identity))
    yield journal
    journal.go_on.set()


def test_a_question_that_has_waited_too_long_is_refused_and_never_asked(
    keeper: Keeper, slow: SlowJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "ASKED_SECONDS", 0.05)

    async def ask() -> list[bool]:
        first = asyncio.create_task(keeper.review("first", "1", "accepted"))
        await asyncio.to_thread(slow.began.wait, 60)
        late = await asyncio.wait_for(
            asyncio.gather(*(keeper.review("late", "1", "accepted") for _ in range(3)), return_exceptions=True), 60
        )
        assert all(isinstance(each, Overloaded) for each in late)
        slow.go_on.set()
        return [await first, await keeper.review("last", "1", "accepted")]

    assert asyncio.run(ask()) == [True, True]
    assert slow.asked == ["first", "last"]


def test_a_question_whose_asker_is_gone_is_never_asked(keeper: Keeper, slow: SlowJournal) -> None:
    async def ask() -> None:
        first, gone = (asyncio.create_task(keeper.review(name, "1", "accepted")) for name in ("first", "gone"))
        await asyncio.to_thread(slow.began.wait, 60)
        gone.cancel()
        await asyncio.wait({gone})
        slow.go_on.set()
        await first
        await keeper.review("last", "1", "accepted")

    asyncio.run(ask())
    assert slow.asked == ["first", "last"]


def test_questions_beyond_the_limit_are_refused(keeper: Keeper, slow: SlowJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "ASKED", 1)
    monkeypatch.setattr(keeping, "ASKED_SECONDS", 60.0)

    async def ask() -> bool:
        first = asyncio.create_task(keeper.review("first", "1", "accepted"))
        await asyncio.to_thread(slow.began.wait, 60)
        with pytest.raises(Overloaded, match="is busy"):
            await asyncio.wait_for(keeper.review("second", "1", "accepted"), 10)
        slow.go_on.set()
        return await first and await keeper.review("last", "1", "accepted")

    assert asyncio.run(ask())
    assert slow.asked == ["first", "last"]


def test_what_is_too_old_goes_at_the_start(settings: Settings, counts: Counts) -> None:
    journal = Journal.open(settings)
    journal.restore([Corrected(entry(), said(entry(), "1"))])  # of 1970
    journal.close()

    make(settings, counts).stop()

    assert kept(settings) == []


def test_who_forgets_much_does_not_hold_up_others(settings: Settings, counts: Counts, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (journals, keeping):
        monkeypatch.setattr(module, "STEP", 5)
    keeper, journal = make(settings, counts), Journal.open(settings)
    journal.add(entry(number, created=time.time()) for number in range(50))
    order: list[str] = []

    async def note(name: str, question: Awaitable[object]) -> object:
        result = await question
        order.append(name)
        return result

    async def ask() -> tuple[object, object]:
        forgetting = asyncio.create_task(note("forgotten", keeper.forget_client(entry().client)))
        while journal.amounts().answers == 50:  # noqa: ASYNC110  another thread deletes them
            await asyncio.sleep(0.005)
        asked = await note("asked", keeper.corrected(None, 1))
        return await forgetting, asked

    assert asyncio.run(ask()) == (50, [])
    assert order == ["asked", "forgotten"]
    keeper.stop()
    journal.close()


def eventually(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_much_that_is_too_old_goes_in_steps_turn_by_turn(
    settings: Settings, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    prune = Journal.prune

    def noted(journal: Journal, days: float, most_bytes: int) -> int:
        steps.append(prune(journal, days, most_bytes))
        return steps[-1]

    monkeypatch.setattr(Journal, "prune", noted)
    monkeypatch.setattr(keeping, "GATHER_SECONDS", 0.02)
    journal = Journal.open(settings)
    journal.add([*map(entry, range(2 * STEP + 1))])  # of 1970

    keeper = make(settings, counts)
    eventually(lambda: journal.amounts().answers == 0)
    keeper.stop()
    journal.close()

    assert steps[:3] == [STEP, STEP, 1]


def test_a_days_salt_is_deleted_soon_after_its_end_though_nobody_asks(
    settings: Settings, counts: Counts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    later = 0.0
    for module in (journals, keeping):
        monkeypatch.setattr(module, "epoch_seconds", lambda: time.time() + later)
    monkeypatch.setattr(keeping, "GATHER_SECONDS", 0.02)
    monkeypatch.setattr(keeping, "PRUNE_SECONDS", 0.05)

    def salts() -> int:
        with sqlite3.connect(tmp_path / FILE) as database:
            count: int = database.execute("SELECT count(*) FROM salts").fetchone()[0]
            return count

    keeper = make(settings, counts, keyed=False)
    keeper.keep(answered(), ADDRESS)
    keeper.flush()
    assert salts() == 1
    assert keeper._salt  # noqa: SLF001  what is in memory is seen nowhere else
    later = DAY
    eventually(lambda: salts() == 0)
    keeper.stop()

    assert keeper._salt is None  # noqa: SLF001  as above


@pytest.fixture
def with_pictures(settings: Settings, counts: Counts) -> Iterator[Keeper]:
    keeper = make(settings.model_copy(update={"keep": "pictures"}), counts)
    yield keeper
    keeper.stop()


def prediction(**other: object) -> Prediction:
    answer = answered(**other).answer  # type: ignore[arg-type]
    assert isinstance(answer, Prediction)
    return answer


GREY = Picture(np.full((60, 80, 3), 128, np.uint8), 80, 60)


def test_a_picture_is_a_new_file_of_its_pixels_alone(with_pictures: Keeper, settings: Settings) -> None:
    exif = Image.Exif()
    exif[0x010F] = "camera of the owner"
    exif.get_ifd(0x8825)[1] = "N"
    file = BytesIO()
    Image.fromarray(np.full((60, 80, 3), 200, np.uint8)).save(file, "JPEG", exif=exif, comment=b"owner")
    picture = decode(file.getvalue(), settings)
    with_pictures.keep(answered(picture=with_pictures.encode((prediction(),), picture)), "key phone")
    with_pictures.flush()

    data = kept(settings)[0].entry.picture
    assert data is not None
    again = Image.open(BytesIO(data))

    assert b"owner" in file.getvalue()
    assert b"owner" not in data
    assert (again.format, again.size, dict(again.getexif())) == ("PNG", (80, 60), {})
    np.testing.assert_array_equal(np.asarray(again), picture.pixels)


@pytest.mark.parametrize(("doubtful", "drawn", "is_kept"), [(True, 0.2, True), (True, 0.3, False), (False, 0.2, False)])
def test_only_pictures_of_answers_that_are_kept_are_encoded(
    settings: Settings, counts: Counts, monkeypatch: pytest.MonkeyPatch, doubtful: bool, drawn: float, is_kept: bool
) -> None:
    monkeypatch.setattr(random, "random", lambda: drawn)
    chosen = settings.model_copy(update={"keep": "pictures", "keep_which": "doubtful", "keep_share": 0.25})
    keeper = make(chosen, counts)

    encoded = keeper.encode((prediction(accepted=not doubtful),), GREY)
    monkeypatch.setattr(random, "random", lambda: 1.0)  # nothing is drawn twice
    identity = keeper.keep(answered(picture=encoded, accepted=not doubtful), "key phone")
    keeper.stop()

    assert (encoded is not None, identity is not None) == (is_kept, is_kept)
    assert counts.of == ({"kept": 1} if is_kept else {})


def test_pictures_have_so_much_room_until_they_are_written_or_let_go_of(
    settings: Settings, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "PICTURE_BYTES", 2 * len(encode(GREY)))
    keeper = make(settings.model_copy(update={"keep": "pictures"}), counts)

    def answer() -> str | None:
        return keeper.keep(answered(picture=keeper.encode((prediction(),), GREY)), "key phone")

    first, hung_up = answer(), keeper.encode((prediction(),), GREY)
    no_room = answer()
    assert hung_up is not None
    del hung_up
    second = answer()
    lost = counts.of["lost"]
    eventually(lambda: answer() is not None)  # both are written
    keeper.stop()

    assert no_room is None
    assert None not in (first, second)
    assert lost == 1


def test_a_picture_that_cannot_be_encoded_is_lost_and_its_answer_is_not(
    with_pictures: Keeper, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(ByteBudget, "encode", fail)

    assert with_pictures.encode((prediction(),), GREY) is None
    assert counts.of == {"lost": 1}


def test_a_large_picture_is_kept_as_jpeg_in_its_colours() -> None:
    pixels = np.zeros((400, 500, 3), np.uint8)
    pixels[..., 0] = 250

    again = Image.open(BytesIO(encode(Picture(pixels, 500, 400))))

    assert again.format == "JPEG"
    assert np.abs(np.asarray(again).astype(int) - pixels).max() < 8
