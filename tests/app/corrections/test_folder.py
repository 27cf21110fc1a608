"""An export is read by the evaluation, and comes back as it was."""

import csv
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from app.corrections.entry import Corrected
from app.corrections.folder import COLUMNS, LABELS, is_export, read_folder, write_folder, write_pictures
from app.errors import LabelsError
from app.evaluation.labels import read_labels
from app.evaluation.report import run, summarise
from app.reading.reader import Reader
from tests.app.corrections.entries import entry, glyph, said


def three() -> list[Corrected]:
    """A digit, no digit, and two digits."""
    both = entry(3, text="12", single=False, glyphs=np.stack([glyph(30), glyph(31)]))
    return [
        Corrected(entry(1), said(entry(1), "1", disputed=True)),
        Corrected(entry(2), said(entry(2), "")),
        Corrected(both, said(both, "1\n4", "new", client="key web")),
    ]


def test_an_export_comes_back_as_it_was(tmp_path: Path) -> None:
    exported = write_folder(three(), tmp_path / "out")

    again = read_folder(tmp_path / "out")

    assert (exported.glyphs, exported.left_out) == (4, 0)
    assert is_export(tmp_path / "out")
    for found, kept in zip(again, three(), strict=True):
        np.testing.assert_array_equal(found.entry.glyphs, kept.entry.glyphs)
        assert found.entry._replace(glyphs=kept.entry.glyphs, boxes=kept.entry.boxes) == kept.entry
        assert found.correction == kept.correction


def rewrite(folder: Path, change: Callable[[list[dict[str, str]]], Iterable[dict[str, str]]]) -> None:
    """Changes the lines of labels.csv, as a spreadsheet does."""
    with (folder / LABELS).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with (folder / LABELS).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(change(rows))


@pytest.mark.parametrize("column", ["path", "label", "kind", "place"])
def test_a_sorted_export_has_the_same_digits_under_its_glyphs(tmp_path: Path, column: str) -> None:
    text = "012345678901"  # so many that the place 10 comes before 2 as text
    many = entry(4, text=text, single=False, glyphs=np.stack([glyph(40 + place) for place in range(len(text))]))
    corrected = [*three(), Corrected(many, said(many, text))]
    write_folder(corrected, tmp_path)
    rewrite(tmp_path, lambda rows: sorted(rows, key=lambda row: row[column], reverse=column == "kind"))

    found = {each.entry.id: each for each in read_folder(tmp_path)}

    assert len(found) == len(corrected)
    for each in corrected:
        np.testing.assert_array_equal(found[each.entry.id].entry.glyphs, each.entry.glyphs)
        assert found[each.entry.id].correction == each.correction


CHANGED = {"label": "9", "truth": "9", "place": "7", "status": "refused", "answer": "77"}


@pytest.mark.parametrize("column", CHANGED)
def test_an_export_that_contradicts_itself_is_refused(tmp_path: Path, column: str) -> None:
    write_folder(three(), tmp_path)
    rewrite(tmp_path, lambda rows: [*rows[:-1], rows[-1] | {column: CHANGED[column]}])

    with pytest.raises(LabelsError, match=rf"{3:032x}.*" if column != "place" else "places"):
        read_folder(tmp_path)


@pytest.mark.parametrize("lines", [[0, 1, 2], [0, 1, 3], [0, 1, 2, 3, 3]], ids=["no last glyph", "no first glyph", "one twice"])
def test_an_answer_without_each_of_its_lines_once_is_refused(tmp_path: Path, lines: list[int]) -> None:
    write_folder(three(), tmp_path)
    rewrite(tmp_path, lambda rows: [rows[line] for line in lines])

    with pytest.raises(LabelsError, match=f"{3:032x}"):
        read_folder(tmp_path)


def test_answers_with_another_number_of_digits_are_left_out(tmp_path: Path) -> None:
    both = entry(text="12", single=False, glyphs=np.stack([glyph(1), glyph(2)]))

    exported = write_folder([Corrected(both, said(both, "123"))], tmp_path)

    assert (exported.glyphs, exported.left_out) == (0, 1)


def test_numeral_evaluate_reads_an_export(tmp_path: Path, excerpt: tuple[np.ndarray, np.ndarray], reader: Reader) -> None:
    images, labels = excerpt
    kept = [entry(n, glyphs=images[n : n + 1]) for n in range(10)]
    write_folder([Corrected(each, said(each, str(labels[n]))) for n, each in enumerate(kept)], tmp_path)

    rows = read_labels(tmp_path)
    report = summarise(list(run(reader, tmp_path, rows)), reader, tmp_path, 0)

    assert [row.digit for row in rows] == labels[:10].tolist()
    assert report.overall.score.count >= 9
    assert {group.source for group in report.by_kind_and_source} <= {"confirmed", "wrong-digit"}


@pytest.mark.parametrize(
    ("before", "after"),
    [("7,1,0.9", "7,1,much"), ("-0.png", "-9.png"), ("0" * 31, "x" * 31), ("accepted", "perhaps"), ("status,", "state,")],
    ids=["a number", "a missing glyph", "an id", "a status", "a column less"],
)
def test_a_damaged_export_is_refused(tmp_path: Path, before: str, after: str) -> None:
    write_folder(three(), tmp_path)
    text = (tmp_path / LABELS).read_text(encoding="utf-8")
    assert before in text
    (tmp_path / LABELS).write_text(text.replace(before, after), encoding="utf-8")

    with pytest.raises(LabelsError, match="not an export"):
        read_folder(tmp_path)


def test_a_glyph_outside_of_the_folder_is_refused(tmp_path: Path) -> None:
    write_folder(three()[:1], tmp_path / "out")
    text = (tmp_path / "out" / LABELS).read_text(encoding="utf-8")
    (tmp_path / "out" / LABELS).write_text(text.replace(f"{1:032x}-0.png", f"../out/{1:032x}-0.png"), encoding="utf-8")

    with pytest.raises(LabelsError, match="outside the folder"):
        read_folder(tmp_path / "out")


def test_a_folder_of_other_labels_is_no_export(tmp_path: Path) -> None:
    (tmp_path / LABELS).write_text("path,label\na.png,7\n", encoding="utf-8")

    assert not is_export(tmp_path)
    assert not is_export(tmp_path / "nowhere")


def test_pictures_are_exported_with_what_they_show(tmp_path: Path) -> None:
    pictures = [entry(1, picture=b"\x89PNG..."), entry(2, picture=b"\xff\xd8..."), entry(3)]
    corrected = [Corrected(each, said(each, truth)) for each, truth in zip(pictures, ("", "1\n2", "3"), strict=True)]

    assert write_pictures(corrected, tmp_path) == 2
    assert [(row.path, row.label) for row in read_labels(tmp_path)] == [(f"{1:032x}.png", "none"), (f"{2:032x}.jpg", "1/2")]
    assert not is_export(tmp_path)
