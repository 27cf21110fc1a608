"""What is learned of corrections: nobody has a say beyond their share, and nothing is both learned and held out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sqlalchemy")

from app.corrections.entry import Corrected
from app.corrections.folder import write_folder
from app.corrections.journal import Journal
from app.settings import Settings
from tests.app.corrections.entries import entry, glyph, said
from training.data.corrections import LEAST, MOST_OF_CLIENT, REPEATS, Lessons, load_corrections, to_lessons
from training.data.mnist import NONE
from training.errors import DataError


def by(client: str, numbers: Sequence[int], truth: str = "1") -> list[Corrected]:
    """A correction of a glyph of its own for each number."""
    kept = [entry(number, client=client) for number in numbers]
    return [Corrected(each, said(each, truth)) for each in kept]


def glyphs(lessons: Lessons) -> tuple[set[bytes], set[bytes]]:
    learned = {image.numpy().tobytes() for split in lessons.by_client.values() for image in split.images}
    return learned, {image.numpy().tobytes() for image in lessons.held.images}


def test_whole_clients_are_held_out() -> None:
    lessons = to_lessons([each for number in range(10) for each in by(f"key {number}", range(number * 10, number * 10 + 10))])

    learned, held = glyphs(lessons)

    assert 20 <= len(held) <= 40
    assert len(held) % 10 == 0
    assert len(learned) + len(held) == 100
    assert learned & held == set()
    assert len(lessons.by_client) == len(learned) // 10


def test_one_clients_newest_are_held_out() -> None:
    lessons = to_lessons(by("key phone", range(100)))

    learned, held = glyphs(lessons)

    assert list(lessons.by_client) == ["key phone"]
    assert held == {glyph(number).tobytes() for number in range(75, 100)}
    assert len(learned) == 75


def test_fewer_than_fifty_say_how_many_are_missing() -> None:
    with pytest.raises(DataError, match=r"40 corrections .* 10 are missing to 50"):
        to_lessons(by("key phone", range(40)))
    assert LEAST == 50


def test_one_client_has_no_say_beyond_its_share() -> None:
    many = by("key careless", range(1_000, 2_000))
    lessons = to_lessons(
        [*many, *(each for number in range(12) for each in by(f"key {number}", range(number * 10, number * 10 + 10)))]
    )

    weights = lessons.weights(1_000)

    assert weights["key careless"] <= MOST_OF_CLIENT * 1_000
    assert all(weights[client] <= REPEATS * len(split) for client, split in lessons.by_client.items())
    assert sum(weights.values()) <= 1_000


def test_contradictions_are_set_aside() -> None:
    same = [
        Corrected(entry(900 + n, client=f"key {n}", glyphs=glyph(7)[np.newaxis]), said(entry(900 + n), str(n))) for n in (1, 2)
    ]
    lessons = to_lessons([*same, *by("key phone", range(100, 160))])

    learned, held = glyphs(lessons)

    assert lessons.contradictory == 2
    assert glyph(7).tobytes() not in learned | held


def test_no_digit_and_strings_are_learned_glyph_by_glyph() -> None:
    strings = [
        entry(number, text="00", single=False, glyphs=np.stack([glyph(2 * number), glyph(2 * number + 1)]))
        for number in range(60)
    ]
    told = [Corrected(each, said(each, "" if number % 2 else "34")) for number, each in enumerate(strings)]
    short = Corrected(entry(99, text="00", single=False, glyphs=strings[0].glyphs), said(entry(99), "3"))

    lessons = to_lessons([*told, short])

    labels = {label for split in [*lessons.by_client.values(), lessons.held] for label in split.labels.tolist()}
    assert labels == {3, 4, NONE}
    assert sum(map(len, lessons.by_client.values())) + len(lessons.held) == 120


def test_accepted_ones_alone_come_from_folder_export_and_settings(tmp_path: Path) -> None:
    three = [Corrected(entry(n), said(entry(n), "1", status)) for n, status in enumerate(("accepted", "new", "refused"))]  # type: ignore[arg-type]
    journal = Journal.open(Settings(data_dir=tmp_path / "data"))
    journal.restore(three)
    journal.close()
    write_folder(three, tmp_path / "export")

    found = [
        load_corrections(tmp_path / "data", Settings()),
        load_corrections(tmp_path / "export", Settings()),
        load_corrections(None, Settings(data_dir=tmp_path / "data")),
        load_corrections(None, Settings(database_url=f"sqlite:///{tmp_path / 'data' / 'corrections.sqlite'}")),
    ]

    assert [[each.entry.id for each in one] for one in found] == [[entry(0).id]] * 4


def test_where_nothing_is_kept_a_folder_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--corrections"):
        load_corrections(tmp_path, Settings())
    assert list(tmp_path.iterdir()) == []
