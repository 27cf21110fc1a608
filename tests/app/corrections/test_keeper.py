"""Keeping behind the answer: bounded, without an address, and losing entries rather than answers."""

import random
import re
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("sqlalchemy")

from app.corrections import keeper as keeping
from app.corrections.entry import ID, Corrected
from app.corrections.journal import Journal
from app.corrections.keeper import Keeper, encode, make_id
from app.errors import Overloaded
from app.reading.decode.picture import Picture, decode
from app.settings import Settings
from tests.app.corrections.entries import BOX, answered, entry, said

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
    assert make_id(1e9) < make_id(1.8e9) < make_id(1.8e9 + 0.002)
    assert len({make_id(1.8e9) for _ in range(100)}) == 100
    assert re.fullmatch(ID, make_id(1.8e9))


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


def test_a_share_is_kept(settings: Settings, counts: Counts, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_full_disk_loses_entries_until_there_is_room(
    keeper: Keeper, counts: Counts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise Overloaded("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", full)
        for _ in range(2):
            keeper.keep(answered(), "key phone")
            keeper.flush()
    keeper.keep(answered(), "key phone")
    keeper.flush()

    assert counts.of == {"kept": 1, "lost": 2}
    told = [record.getMessage() for record in caplog.records if record.name == keeping.__name__]
    assert len(told) == 2
    assert "lost until they can: database or disk is full" in told[0]
    assert "kept again" in told[1]


def test_what_is_too_old_goes_at_the_start(settings: Settings, counts: Counts) -> None:
    journal = Journal.open(settings)
    journal.restore([Corrected(entry(), said(entry(), "1"))])  # of 1970
    journal.close()

    make(settings, counts).stop()

    assert kept(settings) == []


def test_a_picture_is_a_new_file_of_its_pixels_alone(settings: Settings, counts: Counts) -> None:
    exif = Image.Exif()
    exif[0x010F] = "camera of the owner"
    exif.get_ifd(0x8825)[1] = "N"
    file = BytesIO()
    Image.fromarray(np.full((60, 80, 3), 200, np.uint8)).save(file, "JPEG", exif=exif, comment=b"owner")
    picture = decode(file.getvalue(), settings)
    keeper = make(settings.model_copy(update={"keep": "pictures"}), counts)
    keeper.keep(answered(picture=picture), "key phone")
    keeper.stop()

    data = kept(settings)[0].entry.picture
    assert data is not None
    again = Image.open(BytesIO(data))

    assert b"owner" in file.getvalue()
    assert b"owner" not in data
    assert (again.format, again.size, dict(again.getexif())) == ("PNG", (80, 60), {})
    np.testing.assert_array_equal(np.asarray(again), picture.pixels)


def test_a_large_picture_is_kept_as_jpeg_in_its_colours() -> None:
    pixels = np.zeros((400, 500, 3), np.uint8)
    pixels[..., 0] = 250

    again = Image.open(BytesIO(encode(Picture(pixels, 500, 400))))

    assert again.format == "JPEG"
    assert np.abs(np.asarray(again).astype(int) - pixels).max() < 8
