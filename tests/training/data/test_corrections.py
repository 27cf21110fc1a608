"""What is learned of corrections: nobody has a say beyond their share, and nothing is both learned and held out."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
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
    LEAST,
    LEAST_HELD,
    MOST_HELD,
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


def clients(sizes: Mapping[str, int]) -> list[LabelledGlyph]:
    """So many glyphs of each client, sent a minute apart."""
    return [
        LabelledGlyph(f"{name} {number}".encode(), number % 10, name, 60.0 * number)
        for name, size in sizes.items()
        for number in range(size)
    ]


def named(*, held_out: bool, count: int) -> list[str]:
    """Names of clients that are held out as a whole, or that are not."""
    return [name for name in (f"key {number}" for number in range(1_000)) if is_held_out(name) == held_out][:count]


def test_whole_clients_are_held_out() -> None:
    lessons = to_lessons([each for number in range(40) for each in by(f"key {number}", range(number * 10, number * 10 + 10))])

    learned, held = glyphs(lessons)

    assert 80 <= len(held) <= 160
    assert len(held) % 10 == 0
    assert len(learned) + len(held) == 400
    assert learned & held == set()
    assert len(lessons.by_client) == len(learned) // 10


def test_who_is_held_out_depends_on_the_name_alone() -> None:
    """So that what a round has learned is not what the next one is judged by, however much each client sends meanwhile."""
    dice, names = random.Random(0), [f"key {number}" for number in range(100)]
    sizes = [{name: dice.randint(1, 100) for name in names} for _ in range(2)]

    (learned, held), (learned_later, held_later) = (split(clients(each)) for each in sizes)

    assert {each.client for each in held} == {each.client for each in held_later} == set(filter(is_held_out, names))
    assert {each.client for each in learned} & {each.client for each in held_later} == set()
    assert {each.client for each in learned_later} & {each.client for each in held} == set()
    assert 15 <= sum(map(is_held_out, names)) <= 35


@pytest.mark.parametrize(
    ("whole", "others"),
    [((), (500, 480, 1)), ((1,), (500, 480)), ((4, 3, 3), (300, 290)), ((), (100, 100)), ((900,), (60, 40)), ((100,), ())],
    ids=["none of them", "a small one", "three small ones", "none of two", "the largest", "the only one"],
)
def test_enough_is_held_out_and_enough_is_learned_whatever_the_sizes(whole: tuple[int, ...], others: tuple[int, ...]) -> None:
    names = (*named(held_out=True, count=len(whole)), *named(held_out=False, count=len(others)))
    said = clients(dict(zip(names, (*whole, *others), strict=True)))

    learned, held = split(said)

    assert LEAST_HELD <= len(held) / len(said) <= MOST_HELD
    assert sorted((*learned, *held), key=said.index) == said
    newest = {name: max(each.sent for each in learned if each.client == name) for name in {each.client for each in learned}}
    assert all(each.sent > newest.get(each.client, -1) for each in held)


def test_an_import_in_the_order_of_its_labels_is_judged_by_all_of_them() -> None:
    """Its times are those at which a program read the files."""
    kept = [entry(number, client="operator", created=1_000_000 + number / 100) for number in range(400)]
    lessons = to_lessons([Corrected(each, said(each, str(number // 40))) for number, each in enumerate(kept)])

    held = Counter(lessons.held.labels.tolist())

    assert len(lessons.held) == 100
    assert set(held) == set(range(10))
    assert max(held.values()) <= 20


def test_a_glyph_that_is_sent_again_is_not_newer() -> None:
    kept = [entry(500 + number, glyphs=glyph(number)[np.newaxis]) for number in range(10)]
    again = [Corrected(each, said(each, "1", sent=9e9)) for each in kept]

    lessons = to_lessons([*by("key phone", range(100)), *again])

    assert glyphs(lessons)[1] == {glyph(number).tobytes() for number in range(75, 100)}


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
