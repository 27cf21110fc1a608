"""What is learned of corrections: nobody has a say beyond their share, and nothing is both learned and held out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sqlalchemy")

from app.corrections.entry import Corrected
from app.corrections.folder import write_folder
from app.corrections.journal import Journal
from app.settings import Settings
from tests.app.corrections.entries import entry, glyph, said
from training.data.corrections import (
    HELD_CLIENTS,
    LEAST,
    MOST_OF_CLIENT,
    REPEATS,
    CorrectionData,
    LabelledGlyph,
    is_held_out,
    load_corrections,
    split,
    to_lessons,
)
from training.data.mnist import BACKGROUND
from training.errors import DataError


def by(client: str, numbers: Sequence[int], truth: str = "1") -> list[Corrected]:
    """A correction of a glyph of its own for each number."""
    kept = [entry(number, client=client) for number in numbers]
    return [Corrected(each, said(each, truth)) for each in kept]


def glyphs(lessons: CorrectionData) -> tuple[set[bytes], set[bytes]]:
    learned = {image.numpy().tobytes() for split in lessons.by_client.values() for image in split.images}
    return learned, {image.numpy().tobytes() for image in lessons.held.images}


def clients(sizes: Mapping[str, int], begin: float = 0.0, pace: float = 60.0) -> list[LabelledGlyph]:
    """So many glyphs of each client; begin: when the first was sent, pace: seconds between them."""
    return [
        LabelledGlyph(f"{name} {begin} {number}".encode(), number % 10, name, begin + pace * number)
        for name, size in sizes.items()
        for number in range(size)
    ]


def named(*, held_out: bool, count: int) -> list[str]:
    """Names of clients that are held out as a whole, or that are not."""
    return [name for name in (f"key {number}" for number in range(1_000)) if is_held_out(name) == held_out][:count]


def sides(said: Sequence[LabelledGlyph]) -> tuple[set[bytes], set[bytes]]:
    """The glyphs that are learned, and those that are held out."""
    learned, held = ({each.glyph for each in side} for side in split(said))
    return learned, held


def test_some_clients_are_held_out_as_a_whole_and_a_fifth_of_what_each_other_sent() -> None:
    names = [*named(held_out=True, count=4), *named(held_out=False, count=36)]
    lessons = to_lessons([each for at, name in enumerate(names) for each in by(name, range(at * 20, at * 20 + 20))])

    learned, held = glyphs(lessons)

    assert set(lessons.by_client) == set(names[4:])
    assert {glyph(number).tobytes() for number in range(80)} < held
    assert 0.15 < (len(held) - 80) / 720 < 0.25
    assert len(learned) + len(held) == 800
    assert learned & held == set()


def test_a_tenth_of_all_names_is_held_out() -> None:
    assert len(named(held_out=True, count=1_000)) / 1_000 == pytest.approx(HELD_CLIENTS, abs=0.02)


WHOLE, OTHERS = named(held_out=True, count=3), named(held_out=False, count=9)
TWELVE = clients(dict.fromkeys((*WHOLE, *OTHERS), 20))
ALONE = clients({OTHERS[0]: 100})
ROUNDS: dict[str, tuple[list[LabelledGlyph], list[LabelledGlyph]]] = {
    "the others send more": (TWELVE, [*TWELVE, *clients(dict.fromkeys(OTHERS[:4], 30), begin=1e6)]),
    "whole clients send more": (TWELVE, [*TWELVE, *clients(dict.fromkeys(WHOLE, 60), begin=1e6)]),
    "a program sends more": (ALONE, [*ALONE, *clients({OTHERS[0]: 120}, begin=1e6, pace=0.01)]),
    "some are corrected again": (ALONE, [replace(each, label=0, sent=each.sent + 1e7) for each in ALONE[:25]] + ALONE[25:]),
    "the oldest are deleted": (ALONE, ALONE[30:]),
    "another client comes": (ALONE, [*ALONE, *clients({WHOLE[0]: 50}, begin=1e6)]),
    "a client goes": (TWELVE, [each for each in TWELVE if each.client != OTHERS[0]]),
}


@pytest.mark.parametrize("name", ROUNDS)
def test_no_glyph_changes_sides_from_one_round_to_the_next(name: str) -> None:
    (learned, held), (learned_later, held_later) = (
        ({each.glyph for each in side} for side in split(ROUNDS[name][0])),
        ({each.glyph for each in side} for side in split(ROUNDS[name][1])),
    )

    assert learned & held_later == set()
    assert held & learned_later == set()


@pytest.mark.parametrize(
    ("whole", "others"),
    [((), (500, 480, 1)), ((1,), (500, 480)), ((40, 30, 30), (300, 290)), ((), (100, 100)), ((300,), ()), ((100, 90), ())],
    ids=["none of them", "a small one", "three small ones", "none of two", "the only one", "all of them"],
)
def test_about_a_quarter_is_held_out(whole: tuple[int, ...], others: tuple[int, ...]) -> None:
    names = (*named(held_out=True, count=len(whole)), *named(held_out=False, count=len(others)))
    said = clients(dict(zip(names, (*whole, *others), strict=True)))

    learned, held = split(said)

    assert 0.15 < len(held) / len(said) < 0.35
    assert sorted((*learned, *held), key=said.index) == said


def test_an_import_in_the_order_of_its_labels_is_judged_by_all_of_them() -> None:
    """Its times are those at which a program read the files."""
    kept = [entry(number, client="operator", created=1_000_000 + number / 100) for number in range(400)]
    lessons = to_lessons([Corrected(each, said(each, str(number // 40))) for number, each in enumerate(kept)])

    held = Counter(lessons.held.labels.tolist())

    assert len(lessons.held) == pytest.approx(80, abs=20)
    assert set(held) == set(range(10))
    assert max(held.values()) <= 20


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
    assert labels == {3, 4, BACKGROUND}
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
