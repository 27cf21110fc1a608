"""Whole numbers on the command line."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from app.cli.app import cli
from app.cli.read import _to_cells  # a model is never as sure or unsure as a test wants
from app.reading.answer import Alternative
from app.reading.reader import Reader
from benchmarks.pictures import WHITE, encode, row

run = CliRunner().invoke
BLANK = encode(Image.new("RGB", (60, 40), WHITE))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "row.png"
    path.write_bytes(encode(row("3520", 24)))
    return path


def test_read_writes_one_line_of_json_per_picture_into_a_pipe(picture: Path) -> None:
    (picture.parent / "blank.png").write_bytes(BLANK)

    result = run(cli, ["read", str(picture), str(picture.parent / "blank.png")])

    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert result.exit_code == 1
    assert (first["path"], first["text"], len(first["digits"])) == (str(picture), "3520", 4)
    assert second["code"] == "no-digit-found"


def test_read_prints_a_table_and_draws_the_boxes(picture: Path, tmp_path: Path) -> None:
    output = tmp_path / "boxes.png"

    result = run(cli, ["read", "--table", str(picture), "--output", str(output)], env={"COLUMNS": "200"})

    assert result.exit_code == 0
    assert "3520" in result.stdout
    with Image.open(output) as drawn, Image.open(picture) as plain:
        assert drawn.size == plain.size
        pixels = np.asarray(drawn.convert("RGB"))
    assert (pixels[..., 0] != pixels[..., 1]).any()  # the picture itself is grey


def test_a_folder_a_pattern_and_standard_input_are_read_as_predict_does(picture: Path) -> None:
    (picture.parent / "more.jpg").write_bytes(encode(row("41", 24), "JPEG"))

    names = (str(picture.parent), f"{picture.parent}/r*.png", "-")
    told = [run(cli, ["read", name], input=picture.read_bytes()) for name in names]

    assert [[(line["path"], line["text"]) for line in map(json.loads, each.stdout.splitlines())] for each in told] == [
        [(str(picture.parent / "more.jpg"), "41"), (str(picture), "3520")],
        [(str(picture), "3520")],
        [("-", "3520")],
    ]
    assert [each.exit_code for each in told] == [0, 0, 0]


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("", "The folder has no file that can be read."),
        ("*.png", "No file has this name, and none fits it as a pattern."),
        ("gone.png", "No such file or directory"),
    ],
    ids=["empty folder", "pattern", "file"],
)
def test_read_says_why_there_is_no_picture_as_predict_does(name: str, detail: str, tmp_path: Path) -> None:
    told = [run(cli, [command, str(tmp_path / name)]) for command in ("read", "predict")]

    assert [each.exit_code for each in told] == [1, 1]
    assert told[0].stdout == told[1].stdout
    assert json.loads(told[0].stdout)["detail"] == detail


def test_a_folder_of_several_pictures_is_too_many_to_draw(picture: Path) -> None:
    (picture.parent / "more.png").write_bytes(BLANK)

    result = run(cli, ["read", str(picture.parent), "--output", "boxes.png"])

    assert (result.exit_code, result.stderr) == (2, "numeral: --output draws one picture; give one.\n")


def test_the_table_leaves_out_texts_that_are_hardly_possible(picture: Path, reader: Reader) -> None:
    reading = reader.read_number(picture.read_bytes())
    others = [Alternative(text=text, confidence=each) for text, each in (("3526", 0.3), ("3528", 0.01), ("3529", 0.008))]

    shown = [_to_cells("row.png", reading.model_copy(update={"alternatives": some}), {})[4] for some in (others, others[2:])]

    assert shown == ["3526, 3528", ""]


def test_a_count_is_kept(picture: Path) -> None:
    result = run(cli, ["read", "--count", "3", str(picture)])

    assert len(json.loads(result.stdout)["digits"]) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["read", "a.png", "b.png", "--output", "c.png"], "--output draws one picture"),
        (["read", "a.png", "--output", "boxes.jpg"], "--output writes a .png file"),
        (["read", "a.png", "--count", "201"], "--count is at most 200"),
        (["predict", "a.png", "--numbers"], "numeral read"),
    ],
    ids=["two drawings", "another format", "too many digits", "numbers one by one"],
)
def test_wrong_flags_end_with_one_clear_line(arguments: list[str], message: str) -> None:
    result = run(cli, arguments)

    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_explain_tells_how_all_digits_were_read(picture: Path, tmp_path: Path) -> None:
    output = tmp_path / "boxes.png"

    result = run(cli, ["explain", str(picture), "--numbers", "--output", str(output)])

    assert result.exit_code == 0
    assert "Text: 3520" in result.stdout
    assert "places were looked at again" in result.stdout
    with Image.open(output) as drawn:
        assert drawn.width == 400


def test_evaluate_counts_strings_lines_and_digits(picture: Path) -> None:
    folder = picture.parent
    (folder / "blank.png").write_bytes(BLANK)
    (folder / "labels.csv").write_text(
        "path,label,source\nrow.png,3520,first\nrow.png,35/20,second\nrow.png,3590,second\nblank.png,12,third\nrow.png,x,first\n"
        "gone.png,1,first\n"
    )

    result = run(cli, ["evaluate", str(folder), "--numbers", "--json"])

    report = json.loads(result.stdout)
    assert result.exit_code == 1
    assert result.stderr == "numeral: 1 listed file is missing or cannot be opened, and not in the figures.\n"
    overall = report["overall"]
    assert (overall["of"], overall["exact"], overall["lines_right"]) == (4, 2, 1)
    assert (overall["digits"], overall["slips"]) == (14, 3)
    assert report["passed_over"] == 1
    assert report["missing"] == ["gone.png"]
    assert {source: score["exact"] for source, score in report["by_source"].items()} == {"first": 1, "second": 1, "third": 0}
    assert [(each["path"], each["label"]) for each in report["mistakes"]] == [("row.png", "3590"), ("blank.png", "12")]


def test_evaluate_writes_the_report_and_what_was_read_of_each_picture(picture: Path, tmp_path: Path) -> None:
    folder, output = picture.parent, tmp_path / "report"
    (folder / "blank.png").write_bytes(BLANK)
    (folder / "two.png").write_bytes(encode(two_lines()))
    (folder / "large.png").touch()
    os.truncate(folder / "large.png", 2**40)  # more than the memory of any machine; a hole takes no room on the disk
    (folder / "labels.csv").write_text("path,label\ntwo.png,35/20\nblank.png,12\nlarge.png,7\ngone.png,1\nrow.png,x\n")

    result = run(cli, ["evaluate", str(folder), "--numbers", "--json", "--output", str(output)])

    assert (output / "report.json").read_text(encoding="utf-8") == result.stdout
    assert sorted(path.name for path in output.iterdir()) == ["predictions.csv", "report.json"]
    with (output / "predictions.csv").open(encoding="utf-8", newline="") as file:
        two, *others = csv.DictReader(file)
    assert list(two) == ["path", "label", "text", "confidence", "accepted", "warnings", "code"]
    assert (two["path"], two["label"], two["text"], two["warnings"], two["code"]) == ("two.png", "35/20", "35/20", "", "")
    assert 0 < float(two["confidence"]) <= 1
    assert two["accepted"] in ("true", "false")
    assert [(line["path"], line["text"], line["confidence"], line["accepted"], line["code"]) for line in others] == [
        ("blank.png", "", "", "", "no-digit-found"),
        ("large.png", "", "", "", "upload-too-large"),
        ("gone.png", "", "", "", "unreadable-file"),
    ]


def two_lines() -> Image.Image:
    return Image.fromarray(np.concatenate([np.asarray(row(digits, 24)) for digits in ("35", "20")]))


def test_evaluate_says_where_no_label_is_a_string(picture: Path) -> None:
    (picture.parent / "labels.csv").write_text("path,label\nrow.png,letters\n")

    result = run(cli, ["evaluate", str(picture.parent), "--numbers"])

    assert result.exit_code == 2
    assert "string of digits" in result.stderr
