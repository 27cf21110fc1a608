"""``numeral corrections``: list, review, export, import, purge."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

pytest.importorskip("sqlalchemy")

from app.cli.app import cli
from app.corrections.entry import Corrected
from app.corrections.journal import Journal
from app.settings import Settings
from benchmarks.pictures import canvas, encode
from tests.app.corrections.entries import entry, said


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    monkeypatch.setenv("NUMERAL_DATA_DIR", str(tmp_path / "data"))
    opened = Journal.open(Settings())
    yield opened
    opened.close()


def corrections(*arguments: str | Path, keys: str = "", status: int = 0) -> Result:
    done = CliRunner().invoke(cli, ["corrections", *map(str, arguments)], input=keys, env={"COLUMNS": "200"})
    assert done.exit_code == status, done.output
    return done


def fill(journal: Journal) -> list[str]:
    """Three new corrections, the most doubtful answer first."""
    kept = [entry(number, confidence=number / 10) for number in range(1, 4)]
    journal.restore([Corrected(each, said(each, truth, "new")) for each, truth in zip(kept, ("1", "", "7"), strict=True)])
    return [each.id for each in kept]


def statuses(journal: Journal) -> list[str]:
    return [each.correction.status for each in journal.corrected(oldest_first=True)]


def test_corrections_are_listed_as_json_and_as_a_table(journal: Journal) -> None:
    identities = fill(journal)

    lines = [json.loads(line) for line in corrections("list").stdout.splitlines()]
    table = corrections("list", "--table", "--status", "new").stdout

    assert [line["id"] for line in lines] == identities
    assert [(line["truth"], line["reason"]) for line in lines] == [("1", "wrong-digit"), (None, "no-digit"), ("7", "confirmed")]
    assert "3 answers are kept" in table
    assert "no digit" in table
    assert corrections("list", "--status", "refused").stdout == ""


def test_a_review_goes_by_keys_and_ends_with_the_input(journal: Journal) -> None:
    fill(journal)

    shown = corrections("review", keys="xar").stdout

    assert statuses(journal) == ["accepted", "refused", "new"]
    assert "1 of 3: '7' with 10.00%; key phone says '1'" in shown
    assert "█" in shown


def test_skipping_and_quitting_leave_things_as_they_are(journal: Journal) -> None:
    fill(journal)

    corrections("review", keys="sq")

    assert statuses(journal) == ["new"] * 3


def test_named_corrections_are_reviewed_without_a_terminal(journal: Journal) -> None:
    first, second, _ = fill(journal)

    corrections("review", "--accept", first, "--refuse", second)
    unknown = corrections("review", "--accept", "f" * 32, status=2)

    assert statuses(journal) == ["accepted", "refused", "new"]
    assert "has no correction" in unknown.stderr


def test_an_export_is_imported_elsewhere_once(journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, _ = fill(journal)
    corrections("review", "--accept", first, "--accept", second)

    exported = corrections("export", tmp_path / "out").stdout
    monkeypatch.setenv("NUMERAL_DATA_DIR", str(tmp_path / "elsewhere"))
    imported = [corrections("import", tmp_path / "out").stdout for _ in range(2)]

    assert "2 glyphs" in exported
    assert imported == ["2 corrections were added, 0 known before.\n", "0 corrections were added, 2 known before.\n"]
    assert [json.loads(line)["id"] for line in corrections("list", "--status", "accepted").stdout.splitlines()] == [
        first,
        second,
    ]


def test_kept_pictures_are_exported_on_request(journal: Journal, tmp_path: Path) -> None:
    kept = entry(picture=encode(canvas(3)))
    journal.restore([Corrected(kept, said(kept, "3"))])

    told = corrections("export", tmp_path / "out", "--pictures").stdout

    assert told == f"{tmp_path / 'out'}: 1 picture.\n"
    assert (tmp_path / "out" / f"{kept.id}.png").read_bytes() == kept.picture
    assert (tmp_path / "out" / "labels.csv").read_text(encoding="utf-8").splitlines()[1].startswith(f"{kept.id}.png,3,")


def test_pictures_of_ones_own_are_read_and_imported_once(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "three.png").write_bytes(encode(canvas(3)))
    (tmp_path / "blank.png").write_bytes(encode(canvas(3).point(lambda _: 255)))
    (tmp_path / "labels.csv").write_text("path,label\nthree.png,8\nthree.png,38\nblank.png,none\n", encoding="utf-8")

    told = [corrections("import", tmp_path, "--accepted").stdout for _ in range(2)]

    assert told == ["1 correction was added, 0 known before.\n", "0 corrections were added, 1 known before.\n"]
    (found,) = journal.corrected("accepted")
    assert (found.entry.text, found.correction.truth) == ("3", "8")


@pytest.mark.parametrize(
    ("label", "truth"), [("8", "8"), ("8.0", "8"), ("８", "8"), ("none", ""), ("None", ""), ("", "")],
)  # fmt: skip
def test_a_label_is_one_digit_or_none(journal: Journal, tmp_path: Path, label: str, truth: str) -> None:
    (tmp_path / "three.png").write_bytes(encode(canvas(3)))
    (tmp_path / "labels.csv").write_text(f"path,label\nthree.png,{label}\n", encoding="utf-8")

    done = corrections("import", tmp_path, "--accepted")

    assert [each.correction.truth for each in journal.corrected("accepted")] == [truth]
    assert done.stderr == ""


OTHER_LABELS = ["5/5", "12", "05", "1 2", "-5", "5.5", "five", "?", "x"]


def test_what_is_neither_a_digit_nor_none_is_skipped_and_told(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "three.png").write_bytes(encode(canvas(3)))
    lines = "".join(f"three.png,{label},\n" for label in OTHER_LABELS)
    (tmp_path / "labels.csv").write_text(f"path,label,notes\n{lines}three.png,8,ambiguous\n", encoding="utf-8")

    done = corrections("import", tmp_path, "--accepted")

    assert done.stdout.startswith("0 corrections were added")
    assert done.stderr.splitlines() == [
        f"{len(OTHER_LABELS)} pictures were skipped, labelled neither with one digit nor with none: "
        "three.png (5/5), three.png (12), three.png (05), …",
        "1 picture was skipped, marked as ambiguous: three.png",
    ]
    assert journal.amounts().answers == 0


def test_exported_pictures_of_several_digits_do_not_come_back_as_no_digit(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, digit = (entry(number, picture=encode(canvas(3)), single=number == 2) for number in (1, 2))
    journal.restore([Corrected(page, said(page, "3\n3")), Corrected(digit, said(digit, "3"))])
    corrections("export", tmp_path / "out", "--pictures")
    monkeypatch.setenv("NUMERAL_DATA_DIR", str(tmp_path / "elsewhere"))

    done = corrections("import", tmp_path / "out", "--accepted")

    assert f"{page.id}.png (3/3)" in done.stderr
    assert [json.loads(line)["truth"] for line in corrections("list").stdout.splitlines()] == ["3"]


def test_what_cannot_be_read_is_skipped_and_told(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk" / "three.png").write_bytes(encode(canvas(3)))
    (tmp_path / "blank.png").write_bytes(encode(canvas(3).point(lambda _: 255)))
    (tmp_path / "text.png").write_text("not a picture")
    paths = ["gone.png", "text.png", "blank.png", "desk\\three.png"]  # the last as Windows writes it
    lines = "".join(f"{path},8\n" for path in paths)
    (tmp_path / "labels.csv").write_text(f"path,label\n{lines}", encoding="utf-8")

    done = corrections("import", tmp_path)

    unreadable, nothing = done.stderr.splitlines()
    assert done.stdout == "1 correction was added, 0 known before.\n"
    assert unreadable.startswith("2 pictures were skipped, which cannot be read: gone.png (No such file or directory), text.")
    assert nothing == "1 picture was skipped, without a digit that could be found: blank.png"
    assert [each.correction.truth for each in journal.corrected("new")] == ["8"]


@pytest.mark.parametrize(
    ("arguments", "left"), [(["--all"], 0), (["--client", "phone"], 0), (["--client", "web"], 3), (["--older-than", "1"], 0)]
)
def test_answers_are_deleted(journal: Journal, arguments: list[str], left: int) -> None:
    fill(journal)

    told = corrections("purge", *arguments).stdout

    assert told == f"{3 - left} answers were deleted.\n"
    assert journal.amounts().answers == left


def test_one_is_told_in_the_singular(journal: Journal, tmp_path: Path) -> None:
    kept = entry()
    journal.restore([Corrected(kept, said(kept, "1"))])

    table = corrections("list", "--table").stdout
    exported = corrections("export", tmp_path / "out").stdout
    purged = corrections("purge", "--all").stdout

    assert "\n1 answer is kept, in " in table
    assert exported == f"{tmp_path / 'out'}: 1 glyph.\n"
    assert purged == "1 answer was deleted.\n"


def test_a_correction_that_does_not_fit_its_answer_is_told(journal: Journal, tmp_path: Path) -> None:
    kept = entry()
    journal.restore([Corrected(kept, said(kept, "12"))])

    told = corrections("export", tmp_path / "out").stdout

    assert told == f"{tmp_path / 'out'}: 0 glyphs.\n1 correction was left out, with more or fewer digits than the answer.\n"


def test_a_client_whose_name_looks_like_markup_is_listed_as_it_is(journal: Journal) -> None:
    kept = entry()
    journal.restore([Corrected(kept, replace(said(kept, "1"), client="[/b] :star:"))])

    assert "[/b] :star:" in corrections("list", "--table").stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["purge"], "give one of"),
        (["purge", "--all", "--client", "phone"], "give one of"),
        (["list", "--status", "lost"], "none of new"),
        (["import", "nowhere"], "not a folder"),
    ],
    ids=["nothing to purge", "two things", "status", "no folder"],
)
@pytest.mark.usefixtures("journal")
def test_wrong_arguments_are_named(arguments: list[str], told: str) -> None:
    assert told in corrections(*arguments, status=2).stderr


def test_without_a_database_nothing_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMERAL_DATA_DIR", raising=False)

    assert "NUMERAL_DATA_DIR" in corrections("list", status=1).stderr
