"""Evaluating a folder of labelled pictures."""

import csv
import json
import os
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner, Result

from app.cli import common
from app.cli.app import cli
from app.errors import LabelsError
from app.evaluation import mistakes_sheet
from app.evaluation.labels import Row, leave_out_ambiguous, read_labels
from app.evaluation.mistakes_sheet import draw_mistakes
from app.evaluation.report import Report, find_mistakes, run, summarise
from app.evaluation.tables import print_report
from app.reading.answer import ReadingWarning
from app.reading.reader import Reader
from app.runtime.loading import load_reader
from app.settings import Settings
from benchmarks.pictures import canvas, encode, photo
from tests.conftest import MakeStore

FILES = {
    "photos/seven.jpg": encode(photo(7), "JPEG"),
    "three.png": encode(canvas(3)),
    "four.png": encode(canvas(4)),
    "tiny.png": encode(canvas(3).resize((32, 32), Image.Resampling.BOX)),
    "blank.png": encode(Image.new("RGB", (64, 64), "white")),
    "letter.png": encode(canvas(1)),
    "unclear.png": encode(canvas(9)),
    "broken.png": encode(canvas(0))[:200],
}
LABELS = """path,label,kind,source,notes
photos/seven.jpg,7,photo,first,
three.png,3,drawing,first,"calm, unambiguous"
tiny.png,3,drawing,second,
four.png,4,drawing,second,
blank.png,5,drawing,second,a refusal
unclear.png,4,drawing,second,Ambiguous; 4 or 9
letter.png,l,letter,first,
blank.png,,blank,,
three.png,33,several,,
broken.png,0,drawing,second,
gone.png,1,drawing,second,
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Labelled pictures: digits, refusals, an ambiguous one, some that show no single digit, a file that is missing."""
    folder = tmp_path / "pictures"
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / "labels.csv").write_text(LABELS, encoding="utf-8")
    return folder


@pytest.fixture
def threes(make_store: MakeStore) -> Reader:
    """A model that takes everything for a 3."""
    return load_reader(Settings(model_store=make_store()))


def report_on(folder: Path, reader: Reader) -> Report:
    rows = read_labels(folder)
    clear = leave_out_ambiguous(rows)
    return summarise(list(run(reader, folder, clear)), reader, folder, len(rows) - len(clear))


def evaluate(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["evaluate", *map(str, arguments)], env={"COLUMNS": "200"})


def labels(tmp_path: Path, text: str | bytes) -> Path:
    (tmp_path / "labels.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return tmp_path


def test_refusals_count_as_wrong_and_ambiguous_pictures_do_not_count(folder: Path, threes: Reader) -> None:
    report = report_on(folder, threes)

    assert (report.overall.score.count, report.overall.score.of) == (2, 6)
    assert report.overall.score.share == pytest.approx(1 / 3)
    assert {group.kind: (group.score.count, group.score.of) for group in report.by_kind} == {"drawing": (2, 5), "photo": (0, 1)}
    assert [(group.kind, group.source, group.score.count, group.score.of) for group in report.by_kind_and_source] == [
        ("drawing", "first", 1, 1), ("drawing", "second", 1, 4), ("photo", "first", 0, 1),
    ]  # fmt: skip
    assert report.ambiguous_left_out == 1


def test_pictures_up_to_32_pixels_are_counted_apart_from_larger_ones(folder: Path, threes: Reader) -> None:
    report = report_on(folder, threes)

    assert (report.overall.small.count, report.overall.small.of) == (1, 1)
    assert (report.overall.larger.count, report.overall.larger.of) == (1, 4)  # the broken one's size is not known


def test_the_confusion_matrix_has_a_column_for_no_answer(folder: Path, threes: Reader) -> None:
    confusion = np.array(report_on(folder, threes).confusion)

    assert confusion.shape == (10, 11)
    assert {(int(label), int(answer)): int(confusion[label, answer]) for label, answer in np.argwhere(confusion)} == {
        (3, 3): 2, (4, 3): 1, (7, 3): 1, (5, 10): 1, (0, 10): 1,
    }  # fmt: skip


def test_coverage_counts_accepted_answers_and_accuracy_the_right_ones_among_them(folder: Path, threes: Reader) -> None:
    report = report_on(folder, threes)

    assert (report.coverage.count, report.coverage.of) == (4, 6)
    assert (report.accuracy_of_accepted.count, report.accuracy_of_accepted.of) == (2, 4)


def test_the_calibration_error_covers_the_answered_digits(folder: Path, threes: Reader) -> None:
    report = report_on(folder, threes)

    assert report.calibration_error == pytest.approx(0.5, abs=0.01)  # sure of four answers, of which two are right


def test_an_unsure_model_covers_nothing(folder: Path, make_store: MakeStore) -> None:
    unsure = load_reader(Settings(model_store=make_store(logits=(0,) * 10)))

    report = report_on(folder, unsure)

    assert report.coverage.count == 0
    assert report.accuracy_of_accepted.share is None
    assert {row.kind: row.not_accepted for row in report.to_turn_down} == {"blank": 0, "letter": 1, "several": 1}


def test_pictures_without_a_single_digit_are_counted_apart(folder: Path, threes: Reader) -> None:
    rows = {row.kind: row for row in report_on(folder, threes).to_turn_down}

    assert (rows["blank"].of, rows["blank"].no_digit_found) == (1, 1)
    assert (rows["letter"].of, rows["letter"].accepted) == (1, 1)
    assert (rows["several"].of, rows["several"].accepted, rows["several"].several_digits) == (1, 1, 0)


def test_warnings_of_several_digits_are_counted_too(folder: Path, threes: Reader) -> None:
    (result,) = run(threes, folder, [Row("three.png", "33", "several")])
    assert result.prediction is not None
    warned = result.prediction.model_copy(update={"warnings": [ReadingWarning("several-digits", 2, "Two digits.")]})

    (row,) = summarise([replace(result, prediction=warned)], threes, folder, 0).to_turn_down

    assert (row.of, row.accepted, row.several_digits) == (1, 1, 1)


def test_mistakes_are_listed_most_confident_first_and_refusals_with_their_code(folder: Path, threes: Reader) -> None:
    mistakes = report_on(folder, threes).mistakes

    assert [(line.path, line.label, line.digit, line.code) for line in mistakes] == [
        ("photos/seven.jpg", "7", 3, None),
        ("four.png", "4", 3, None),
        ("blank.png", "5", None, "no-digit-found"),
        ("broken.png", "0", None, "unreadable-image"),
    ]


def test_a_missing_file_is_named_and_not_counted(folder: Path, threes: Reader) -> None:
    report = report_on(folder, threes)

    (line,) = report.missing
    assert (line.path, line.code) == ("gone.png", "unreadable-file")
    assert line.detail == f"{folder / 'gone.png'}: No such file or directory"
    assert sum(map(sum, report.confusion)) == report.overall.score.of == 6


def test_a_file_above_the_limit_is_a_mistake_and_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "large.png").touch()
    os.truncate(tmp_path / "large.png", 2**40)  # more than the memory of any machine; a hole takes no room on the disk
    labels(tmp_path, "path,label\nlarge.png,3\n")

    (mistake,) = json.loads(evaluate(tmp_path, "--output", tmp_path / "report").stdout)["mistakes"]

    assert mistake["code"] == "upload-too-large"


def test_labels_that_are_not_a_digit_are_told_with_their_number(folder: Path, threes: Reader) -> None:
    report = report_on(folder, threes)
    shown = StringIO()

    print_report(report, Console(width=200, file=shown))

    assert report.not_digits == {"l": 1, "": 1, "33": 1}
    assert "not a digit, so the pictures should be rejected: l (1), (empty) (1), 33 (1)\n" in shown.getvalue()


def test_of_many_labels_that_are_not_a_digit_the_first_are_shown(folder: Path, threes: Reader) -> None:
    many = replace(report_on(folder, threes), not_digits={f"[{number}]": 1 for number in range(30)})
    shown = StringIO()

    print_report(many, Console(width=1000, file=shown))

    assert "[0] (1), [1] (1)" in shown.getvalue()
    assert "[19] (1), …\n" in shown.getvalue()


def test_paths_written_on_windows_are_found_elsewhere(folder: Path, threes: Reader) -> None:
    (folder / "labels.csv").write_text("path,label\nphotos\\seven.jpg,7\n", encoding="utf-8")

    report = report_on(folder, threes)

    assert (report.missing, report.overall.score.of) == ((), 1)


@pytest.mark.parametrize("name", ["report.json", "predictions.CSV", "mistakes.png"])
def test_an_output_named_like_a_file_is_explained(name: str, folder: Path, tmp_path: Path) -> None:
    result = evaluate(folder, "--output", tmp_path / name)

    assert result.exit_code == 2
    assert "--output makes a folder of several files" in result.stderr
    assert not (tmp_path / name).exists()


def test_every_stage_has_a_time(folder: Path, threes: Reader) -> None:
    milliseconds = report_on(folder, threes).cpu_milliseconds

    assert list(milliseconds) == ["decode", "find", "infer"]
    assert all(mean is not None and mean >= 0 for mean in milliseconds.values())


def test_the_evaluation_gives_the_answers_of_every_other_entry_point(folder: Path, reader: Reader) -> None:
    results = list(run(reader, folder, read_labels(folder)))

    answers = {result.row.path: result.prediction for result in results if result.prediction}
    assert answers["photos/seven.jpg"] == reader.read(FILES["photos/seven.jpg"])
    assert answers["photos/seven.jpg"].digit == 7


@pytest.mark.parametrize(
    "text",
    [
        b"path,label\nthree.png,3\n",
        b"\xef\xbb\xbfpath,label\r\nthree.png,3\r\n",
        b"path;label\r\nthree.png;3\r\n",
        b"path\tlabel\tnotes, if any\r\nthree.png\t3\t\r\n",
        b" Path , Label ,width,height\nthree.png, 3 ,280,280\n\n",
        b'label,path\n3,"three.png"',
        b"path,label,path to nowhere\nthree.png,3,x,y,z\n",
    ],
    ids=["plain", "mark and CRLF", "semicolons", "tabs", "spaces and capitals", "quotes, other order", "more columns"],
)
def test_labels_are_read_as_any_spreadsheet_writes_them(text: bytes, tmp_path: Path) -> None:
    rows = read_labels(labels(tmp_path, text))

    assert rows == [Row("three.png", "3")]


@pytest.mark.parametrize(
    ("label", "digit"),
    [
        ("0", 0), ("9", 9), ("5.0", 5), ("5,00", 5), ("5.", 5), ("05", 5), ("0.0", 0), ("00", 0), ("５", 5), ("０５．０", 5),
        ("", None), ("12", None), ("a", None), ("٣", None), ("²", None), ("-1", None), ("5.5", None), ("0.5", None), ("5.0.0", None),
    ],
)  # fmt: skip
def test_a_label_is_one_digit_or_marks_a_picture_to_reject(label: str, digit: int | None) -> None:
    assert Row("three.png", label).digit == digit


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "There is no labels.csv in"),
        ("", "lists no pictures"),
        ("path,label\n", "lists no pictures"),
        ("path,digit\nthree.png,3\n", "has no column label"),
        ("picture\nthree.png\n", "has no column path and no column label"),
        ("path,label\n,3\n", "line 2: the path is missing"),
        ("path,label\nthree.png,3\n../secret.png,3\n", "line 3: ../secret.png is outside the folder"),
        ("path,label\na/../../secret.png,3\n", "is outside the folder"),
        ("path,label\n/etc/passwd,3\n", "is outside the folder"),
        (b"path,label\ndr\xfcben.png,3\n", "cannot be read: 'utf-8'"),
        ("path,label\n" + "x" * 200_000 + ",3\n", "cannot be read: field larger than field limit"),
        ("path,label,notes\nthree.png,3,ambiguous\n", "use --ambiguous to evaluate them"),
        ("path,label\ngone.png,3\n", "None of the 1 files"),
        ("path,label\ngone.png,3\n", "gone.png: No such file or directory"),
        ("path,label\nC:\\three.png,3\n", "C:\\three.png is outside the folder"),
        ("path,label\na\\..\\..\\secret.png,3\n", "is outside the folder"),
    ],
    ids=["no labels.csv", "empty", "header alone", "no label", "no columns", "no path", "parent", "parent's parent", "absolute",
         "not UTF-8", "no CSV", "all ambiguous", "all missing", "which is missing", "a drive", "parent on Windows"],
)  # fmt: skip
def test_unusable_labels_end_with_one_clear_line(text: str | bytes | None, message: str, tmp_path: Path) -> None:
    if text is not None:
        labels(tmp_path, text)

    result = evaluate(tmp_path)

    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_file_in_place_of_the_folder_is_reported() -> None:
    result = evaluate(__file__)

    assert result.exit_code == 2
    assert "is not a folder" in result.stderr


def test_errors_in_labels_have_a_class_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match="no column label"):
        read_labels(labels(tmp_path, "path\nthree.png\n"))


def test_a_pipe_gets_the_report_as_json_and_a_missing_file_is_a_failure(folder: Path) -> None:
    result = evaluate(folder)

    report = json.loads(result.stdout)
    assert result.exit_code == 1
    assert report["overall"]["score"] == {"count": 4, "of": 6, "share": pytest.approx(4 / 6)}
    assert report["model"]["name"] == "digits"


def test_ambiguous_pictures_are_counted_on_demand(folder: Path) -> None:
    report = json.loads(evaluate(folder, "--ambiguous").stdout)

    assert report["overall"]["score"]["of"] == 7
    assert report["ambiguous_left_out"] == 0


def test_a_terminal_gets_tables(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "is_terminal", lambda: True)

    shown = evaluate(folder).stdout

    for text in ("drawing", "first", "4 of 6", "66.7%", "no-digit-found", "several", "gone.png", "CPU time", "no answer"):
        assert text in shown


def test_names_from_the_labels_are_shown_as_they_are(folder: Path, threes: Reader) -> None:
    report = report_on(folder, threes)
    odd = replace(report, mistakes=(replace(report.mistakes[0], path="[red]7.png", label="7"),) * 201)
    shown = StringIO()

    print_report(odd, Console(width=120, file=shown))

    text = shown.getvalue()
    assert "[red]7.png" in text
    assert "1 more are not shown" in text


def test_nothing_is_written_without_output(folder: Path) -> None:
    before = sorted(folder.rglob("*"))

    evaluate(folder)

    assert sorted(folder.rglob("*")) == before


def test_the_report_the_predictions_and_the_mistakes_are_written(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "a" / "new" / "folder"

    result = evaluate(folder, "--output", output)

    assert (output / "report.json").read_text(encoding="utf-8") == result.stdout
    with (output / "predictions.csv").open(encoding="utf-8", newline="") as file:
        lines = {line["path"]: line for line in csv.DictReader(file) if line["label"] not in ("", "33")}
    assert len(lines) == 8
    assert (lines["three.png"]["digit"], lines["three.png"]["accepted"], lines["three.png"]["code"]) == ("3", "true", "")
    assert (lines["blank.png"]["digit"], lines["blank.png"]["confidence"], lines["blank.png"]["code"]) == (
        "",
        "",
        "no-digit-found",
    )
    assert lines["gone.png"]["code"] == "unreadable-file"
    with Image.open(output / "mistakes.png") as sheet:
        assert len(set(sheet.convert("L").tobytes())) > 20


def test_an_output_that_cannot_be_written_ends_with_one_clear_line(folder: Path) -> None:
    result = evaluate(folder, "--output", folder / "three.png")

    assert result.exit_code == 2
    assert "three.png" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_sheet_shows_each_mistakes_picture_box_and_glyph(folder: Path, threes: Reader) -> None:
    mistakes = find_mistakes(run(threes, folder, read_labels(folder)))
    photographed = next(mistake for mistake in mistakes if mistake.row.path == "photos/seven.jpg")

    sheet = np.asarray(draw_mistakes([photographed], folder, threes.decoder, "one"))

    assert photographed.glyph is not None
    x, y = mistakes_sheet.MARGIN + mistakes_sheet.TILE + mistakes_sheet.GAP, mistakes_sheet.MARGIN + mistakes_sheet.HEADER
    glyph = sheet[y : y + mistakes_sheet.TILE, x : x + mistakes_sheet.TILE]
    picture = sheet[y : y + mistakes_sheet.TILE, mistakes_sheet.MARGIN : x - mistakes_sheet.GAP]
    assert np.array_equal(glyph[2::5, 2::5, 0], photographed.glyph)
    assert (picture == (0xD0, 0x1C, 0x1C)).all(axis=2).any()


@pytest.mark.parametrize("count", [0, 1, 5, 201])
def test_the_sheet_grows_with_the_mistakes_up_to_its_limit(count: int, folder: Path, threes: Reader) -> None:
    (mistake,) = find_mistakes(run(threes, folder, [Row("blank.png", "5")]))

    sheet = draw_mistakes([mistake] * count, folder, threes.decoder, "many")

    rows = min(-(-count // 4), 50)
    assert sheet.height == draw_mistakes([], folder, threes.decoder, "none").height + rows * (
        mistakes_sheet.CELL_HEIGHT + mistakes_sheet.MARGIN
    )


def test_a_picture_deleted_since_the_evaluation_keeps_its_place_on_the_sheet(folder: Path, threes: Reader) -> None:
    (mistake,) = find_mistakes(run(threes, folder, [Row("four.png", "4")]))
    (folder / "four.png").unlink()

    sheet = draw_mistakes([mistake], folder, threes.decoder, "gone")

    assert len(set(sheet.convert("L").tobytes())) > 20
