"""The command line, without a server."""

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from PIL import Image
from typer.testing import CliRunner
from uvicorn.config import STARTUP_FAILURE

from app import __version__
from app.cli import common
from app.cli import predict as module
from app.cli.app import cli
from benchmarks.pictures import WHITE, canvas, encode, photo
from tests.servers import free_port

run = CliRunner().invoke
ROOT = Path(__file__).parents[3]
BLANK = encode(Image.new("RGB", (60, 40), WHITE))


def numeral(*arguments: str | bytes, **variables: str) -> "subprocess.CompletedProcess[bytes]":
    """The command in a process of its own, with its own console."""
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=ROOT, env={**os.environ, **variables}, capture_output=True, check=False, timeout=120,
    )  # fmt: skip


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
    monkeypatch.setattr(common, "is_terminal", lambda: True)

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
        (["serve", "--port", "0", "--model-version", "999"], 1, "cannot start: Model digits/999 is not in"),
    ],
    ids=["provider", "version", "port", "version to serve"],
)
def test_wrong_flags_end_with_one_clear_line(arguments: list[str], status: int, message: str) -> None:
    result = run(cli, arguments)

    assert result.exit_code == status
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["predict", "read"])
def test_a_variable_that_sets_nothing_is_named_once(command: str, pictures: list[str]) -> None:
    result = run(cli, [command, "--json", pictures[0]], env={"NUMERAL_PROVDER": "cpu"})

    assert result.exit_code == 0
    assert result.stderr == "numeral: NUMERAL_PROVDER sets nothing; did you mean NUMERAL_PROVIDER?\n"


@pytest.mark.parametrize("keep", ["glyphs", "pictures"])
def test_keeping_without_a_place_ends_before_the_start(keep: str) -> None:
    result = CliRunner().invoke(
        cli, ["serve"], env={"NUMERAL_KEEP": keep, "NUMERAL_DATA_DIR": None, "NUMERAL_DATABASE_URL": None}
    )

    assert result.exit_code == 2
    assert result.stderr == (
        f"numeral: NUMERAL_KEEP={keep} needs NUMERAL_DATA_DIR, a folder that lasts, or NUMERAL_DATABASE_URL.\n"
    )


def test_the_version_is_told() -> None:
    result = run(cli, ["--version"])

    assert (result.exit_code, result.stdout) == (0, f"numeral {__version__}\n")


def test_a_dash_stands_for_standard_input(pictures: list[str]) -> None:
    result = run(cli, ["predict", "-", pictures[1]], input=Path(pictures[0]).read_bytes())

    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["path"], line["digit"]) for line in lines] == [("-", 7), (pictures[1], 3)]


def test_empty_standard_input_is_told() -> None:
    result = run(cli, ["predict", "-"], input=b"")

    assert result.exit_code == 1
    assert json.loads(result.stdout)["code"] == "unsupported-image"


@pytest.mark.parametrize("source", ["", "*", "*.[jp][pn]g"], ids=["folder", "pattern", "pattern with a class"])
def test_a_folder_and_a_pattern_stand_for_their_files_in_order(source: str, pictures: list[str], tmp_path: Path) -> None:
    result = run(cli, ["predict", str(tmp_path / source)])

    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["path"], line["digit"]) for line in lines] == list(zip(pictures, [7, 3], strict=True))


def test_a_file_whose_name_looks_like_a_pattern_is_read(pictures: list[str], tmp_path: Path) -> None:
    Path(pictures[0]).rename(tmp_path / "seven[1].jpg")

    result = run(cli, ["predict", str(tmp_path / "seven[1].jpg")])

    assert json.loads(result.stdout)["digit"] == 7


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("", "The folder has no file that can be read."),
        ("*.jpg", "No file has this name, and none fits it as a pattern."),
        ("**/a/**/*.jpg", "The pattern {} contains ** more than once; use it once at most."),
        ("gone/*.jpg", "No file has this name, and none fits it as a pattern."),
        ("gone.jpg", "No such file or directory"),
        ("long" * 99, "File name too long"),
    ],
    ids=["empty folder", "pattern", "double pattern", "pattern in no folder", "file", "long name"],
)
def test_what_holds_no_file_is_explained_and_harms_no_other(
    name: str, detail: str, pictures: list[str], tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()

    result = run(cli, ["predict", str(empty / name), pictures[0]])

    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 1
    assert [line.get("code") for line in lines] == ["unreadable-file", None]
    assert lines[0]["path"] == str(empty / name)
    assert lines[0]["detail"] == detail.format(empty / name)


@pytest.mark.parametrize("command", ["predict", "read"])
def test_an_empty_name_does_not_stand_for_the_working_folder(
    command: str, pictures: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    result = run(cli, [command, "", pictures[1]])

    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 1
    assert [(line["path"], line.get("detail")) for line in lines] == [
        ("", "The name of the picture is empty."),
        (pictures[1], None),
    ]


POWERLESS = """
import ctypes, os, sys
for power in range(64):
    ctypes.CDLL(None).prctl(24, power, 0, 0, 0)  # PR_CAPBSET_DROP: root may not enter every folder then
os.execv(sys.executable, [sys.executable, "-m", "app", *sys.argv[1:]])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="drops root's powers as Linux does")
def test_a_folder_that_may_not_be_entered_harms_no_other(pictures: list[str], tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0)

    done = subprocess.run(
        [sys.executable, "-c", POWERLESS, "predict", "--json", tmp_path, locked, locked / "three.png", tmp_path / "l*" / "*"],
        cwd=ROOT, capture_output=True, check=False, timeout=120,
    )  # fmt: skip

    locked.chmod(0o700)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    denied = "Permission denied"
    assert [(line["path"], line.get("digit", line.get("detail"))) for line in lines] == [
        (str(locked), denied),
        (pictures[0], 7),
        (pictures[1], 3),
        (str(locked), denied),
        (str(locked / "three.png"), denied),
        (str(locked), denied),
    ]
    assert not done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize("command", ["predict", "read"])
def test_a_file_above_the_limit_is_refused_without_being_read(command: str, pictures: list[str], tmp_path: Path) -> None:
    (tmp_path / "large.png").touch()
    os.truncate(tmp_path / "large.png", 2**40)  # more than the memory of any machine; a hole takes no room on the disk

    result = run(
        cli,
        [command, str(tmp_path / "large.png"), "-", pictures[1]],
        input=bytes(101),
        env={"NUMERAL_MAX_UPLOAD_BYTES": "100000"},
    )

    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line.get("code") for line in lines] == ["upload-too-large", "unsupported-image", None]
    assert lines[0]["detail"] == "The picture has 1,099,511,627,776 bytes; the limit is 100,000."


@pytest.mark.parametrize("command", ["predict", "read"])
@pytest.mark.parametrize("name", ["[red]x.jpg", "x[/b].jpg", "x:star:.jpg"])
def test_a_table_shows_a_name_that_looks_like_markup_as_it_is(command: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)  # [/b] is also the end of a folder's name
    (tmp_path / name).write_bytes(BLANK)
    there, gone = str(tmp_path / name), str(tmp_path / f"{name}.gone")

    result = run(cli, [command, "--table", there, gone], env={"COLUMNS": "400"})

    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert there in result.stdout
    assert gone in result.stdout


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--workers", "2"], "--workers needs --input."),
        (["--output", "x.parquet"], "--output needs --input."),
        (["--workers", "2", "--restart"], "--workers and --restart need --input."),
        (["--ray", "--input", "."], "give either pictures or --input with --output."),
    ],
    ids=["workers", "output", "two", "both"],
)
def test_a_flag_of_bulk_runs_is_named_where_it_does_not_fit(flags: list[str], told: str) -> None:
    result = run(cli, ["predict", "seven.jpg", *flags])

    assert (result.exit_code, result.stderr) == (2, f"numeral: {told}\n")


@pytest.mark.parametrize("numbers", [[], ["--numbers"]], ids=["digit", "numbers"])
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("gone.png", "unreadable-file: No such file or directory"),
        ("", "unreadable-file: Is a directory"),
        ("text.png", "unsupported-image: "),
        ("large.png", "upload-too-large: The picture has 1,099,511,627,776 bytes"),
    ],
    ids=["missing", "folder", "text", "large"],
)
def test_explain_names_the_picture_and_what_is_wrong_with_it(name: str, told: str, numbers: list[str], tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("seven")
    (tmp_path / "large.png").touch()
    os.truncate(tmp_path / "large.png", 2**40)

    result = run(cli, ["explain", str(tmp_path / name), *numbers])

    assert result.exit_code == 1
    assert result.stderr.startswith(f"numeral: {tmp_path / name}: {told}")
    assert len(result.stderr.splitlines()) == 1


def test_explain_reads_standard_input(pictures: list[str], tmp_path: Path) -> None:
    result = run(cli, ["explain", "-", "--output", str(tmp_path / "steps.png")], input=Path(pictures[0]).read_bytes())

    assert result.stdout.startswith("7, ")


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize("source", ["gone.png", "folder"])
def test_evaluate_says_how_many_files_it_could_not_open(source: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "labels.csv").write_text(f"path,label\nthree.png,3\nseven.jpg,1\n{source},1\n{source},2\n")

    missing = run(cli, ["evaluate", str(tmp_path)])
    (tmp_path / "labels.csv").write_text("path,label\nthree.png,3\nseven.jpg,1\n")
    there = run(cli, ["evaluate", str(tmp_path)])

    assert json.loads(missing.stdout)["overall"]["score"]["of"] == 2
    assert missing.stderr == "numeral: 2 listed files are missing or cannot be opened, and not in the figures.\n"
    assert missing.exit_code == 1
    assert (there.exit_code, there.stderr) == (0, "")  # a mistake is no failure


@pytest.mark.parametrize(
    ("arguments", "ending"),
    [
        (["predict", "--input", ".", "--output", "answers.csv"], ".parquet"),
        (["predict", "--input", ".", "--output", "answers"], ".parquet"),
        (["explain", "seven.jpg", "--output", "steps.jpg"], ".png"),
        (["explain", "seven.jpg", "--output", "steps"], ".png"),
    ],
    ids=["predict", "predict, none", "explain", "explain, none"],
)
def test_an_output_with_another_ending_is_refused_before_any_work(
    arguments: list[str], ending: str, pictures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(pictures[0]).parent
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())

    result = run(cli, arguments)

    assert result.exit_code == 2
    assert result.stderr == f"numeral: --output writes a {ending} file; {arguments[-1]} does not end with {ending}.\n"
    assert sorted(folder.iterdir()) == before


def test_an_ending_in_capitals_is_as_good(pictures: list[str], tmp_path: Path) -> None:
    assert run(cli, ["explain", pictures[0], "--output", str(tmp_path / "STEPS.PNG")]).exit_code == 0


@pytest.mark.parametrize(
    "encoding", ["cp437", *(pytest.param(each, marks=pytest.mark.long) for each in ("ascii", "cp1252", "utf-8"))]
)
def test_a_console_that_lacks_a_character_of_a_name_shows_its_number(encoding: str, tmp_path: Path) -> None:
    names = ["七.png", "\N{THUMBS UP SIGN}.png", "sept\u0301.png"]  # CJK, an emoji, a letter with a combining mark
    for name in names:
        (tmp_path / name).write_bytes(BLANK)

    done = numeral("predict", "--table", *(str(tmp_path / name) for name in names), PYTHONIOENCODING=encoding, COLUMNS="250")

    assert done.returncode == 1
    assert b"Traceback" not in done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if b"no-digit-found" in line]
    assert len(lines) == len(names)
    for name, line in zip(names, lines, strict=True):
        assert str(tmp_path / name).encode(encoding, "backslashreplace") in line


@pytest.mark.parametrize("form", ["--json", "--table"])
def test_a_name_that_is_no_text_is_shown(form: str, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff.png"
    Path(os.fsdecode(path)).write_bytes(BLANK)

    done = numeral("predict", form, path, PYTHONIOENCODING="utf-8", COLUMNS="250")

    assert b"Traceback" not in done.stdout + done.stderr
    assert b"\\udcff.png" in done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["predict", "--help"], ["evaluate", "九"], ["predict", "--tabel"]])
def test_help_and_errors_fit_any_console(arguments: list[str]) -> None:
    done = numeral(*arguments, PYTHONIOENCODING="ascii")

    assert b"Traceback" not in done.stderr
    assert len(done.stdout + done.stderr) > 20


def test_help_names_the_commands_of_python_m_app_too() -> None:
    assert b"explain" in numeral("--help").stdout


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

    assert CliRunner().invoke(cli, ["serve", "--port", "0"]).exit_code == 0
    assert seen == [False]


def test_a_port_that_is_taken_while_the_model_is_loaded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address is free when it is tried, and no longer when uvicorn listens."""
    port = free_port()
    with socket.socket() as other:

        def listen_too_late(application: FastAPI, **_: object) -> None:
            other.bind(("127.0.0.1", port))
            other.listen()
            application.state.metrics.close()
            raise SystemExit(STARTUP_FAILURE)

        monkeypatch.setattr("uvicorn.run", listen_too_late)
        result = CliRunner().invoke(cli, ["serve", "--port", str(port)])

    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith(f"numeral: cannot start: Port {port} of 127.0.0.1 is in use.")
