"""The command line, without a server."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from PIL import Image
from typer.testing import CliRunner

from app.cli import predict as module
from app.cli.app import cli
from benchmarks.pictures import WHITE, canvas, encode, photo

run = CliRunner().invoke


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Undoes the logging configuration of serve, which is meant for a process of its own."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:], logging.root.level = handlers, level


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    (tmp_path / "seven.jpg").write_bytes(encode(photo(7), "JPEG"))
    (tmp_path / "three.png").write_bytes(encode(canvas(3)))
    return [str(tmp_path / "seven.jpg"), str(tmp_path / "three.png")]


def test_predict_writes_one_line_of_json_per_picture_into_a_pipe(pictures: list[str]) -> None:
    result = run(cli, ["predict", *pictures])

    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert [(line["path"], line["digit"]) for line in lines] == list(zip(pictures, [7, 3], strict=True))


def test_predict_prints_a_table_on_request(pictures: list[str]) -> None:
    result = run(cli, ["predict", "--table", pictures[1]], env={"COLUMNS": "200"})

    assert "three.png" in result.stdout
    assert "yes" in result.stdout


def test_predict_prints_a_table_on_a_terminal(pictures: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[object] = []
    monkeypatch.setattr(module, "_print_table", drawn.append)
    monkeypatch.setattr(module, "is_terminal", lambda: True)

    run(cli, ["predict", pictures[0]])

    assert len(drawn) == 1


def test_a_bad_picture_does_not_affect_others_but_sets_the_exit_status(pictures: list[str], tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("seven")

    result = run(cli, ["predict", str(tmp_path / "text.png"), str(tmp_path / "missing.png"), pictures[0]])

    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 1
    assert [line.get("code") for line in lines] == ["unsupported-image", "unreadable-file", None]
    assert lines[2]["digit"] == 7


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["predict", "x.png", "--provider", "tpu"], 2, "setting provider"),
        (["predict", "x.png", "--model-version", "999"], 1, "cannot start: Model digits/999 is not in"),
        (["serve", "--port", "99999"], 2, "setting port"),
        (["serve", "--model-version", "999"], 1, "cannot start: Model digits/999 is not in"),
    ],
    ids=["provider", "version", "port", "version to serve"],
)
def test_wrong_flags_end_with_one_clear_line(arguments: list[str], status: int, message: str) -> None:
    result = run(cli, arguments)

    assert result.exit_code == status
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_explain_draws_the_steps_and_prints_the_answer(pictures: list[str], tmp_path: Path) -> None:
    result = run(cli, ["explain", pictures[0], "--output", str(tmp_path / "steps.png")])

    assert result.exit_code == 0
    assert result.stdout.startswith("7, ")
    assert (tmp_path / "steps.png").read_bytes().startswith(b"\x89PNG")


def test_explain_also_draws_a_picture_without_a_digit(tmp_path: Path) -> None:
    (tmp_path / "blank.png").write_bytes(encode(Image.new("RGB", (60, 40), WHITE)))

    result = run(cli, ["explain", str(tmp_path / "blank.png"), "--output", str(tmp_path / "steps.png")])

    assert result.exit_code == 1
    assert result.stdout.startswith("no-digit-found: ")
    assert (tmp_path / "steps.png").is_file()


@pytest.mark.parametrize(("name", "status"), [("missing.png", 1), ("text.png", 1), ("seven.jpg", 2)])
def test_explain_ends_with_one_line_if_it_cannot_read_or_write(pictures: list[str], name: str, status: int) -> None:
    folder = Path(pictures[0]).parent
    (folder / "text.png").write_text("seven")

    result = run(cli, ["explain", str(folder / name), "--output", str(folder / "nowhere" / "steps.png")])

    assert result.exit_code == status
    assert len(result.stderr.splitlines()) == 1


def test_help_names_the_commands() -> None:
    result = run(cli, ["--help"])

    assert "serve" in result.stdout
    assert "predict" in result.stdout
    assert "explain" in result.stdout
    assert "evaluate" in result.stdout


def test_a_single_process_clears_the_state_of_an_earlier_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left, seen = tmp_path / "shared.sqlite", list[bool]()
    left.touch()

    def look(application: FastAPI, **_: object) -> None:
        seen.append(left.exists())
        application.state.metrics.close()

    monkeypatch.setenv("NUMERAL_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr("uvicorn.run", look)

    assert CliRunner().invoke(cli, ["serve"]).exit_code == 0
    assert seen == [False]
