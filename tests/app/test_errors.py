"""One function says what a person may know of an error, so that every door says the same of a picture."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from app.bulk.run import open_run
from app.cli.app import cli
from app.errors import FAULT, InternalError, NoDigitFound, UnreadableFile, to_request_error
from app.evaluation.labels import Row
from app.evaluation.report import run as evaluate
from app.reading.reader import Reader
from app.settings import Settings
from app.web.application import create_app
from benchmarks.pictures import canvas, encode
from tests.versions import SHIPPED

Door = Callable[[Path, Reader], tuple[str, str]]


def over_http(path: Path, reader: Reader) -> tuple[str, str]:
    with TestClient(create_app(Settings(model_version=SHIPPED), lambda _: reader)) as client:
        problem = client.post("/predict", content=path.read_bytes()).json()
    return problem["code"], problem["detail"]


def in_a_batch(path: Path, reader: Reader) -> tuple[str, str]:
    with TestClient(create_app(Settings(model_version=SHIPPED), lambda _: reader)) as client:
        (problem,) = client.post("/predict/batch", files=[("files", path.read_bytes())]).json()["results"]
    return problem["code"], problem["detail"]


def in_bulk(path: Path, reader: Reader) -> tuple[str, str]:
    source, output = path.with_suffix(".parquet"), path.parent / "out.parquet"
    pq.write_table(pa.table({"path": [path.name]}), source)
    with open_run(str(source), output, Settings(model_version=SHIPPED)) as opened:
        for piece in opened.remaining():
            opened.task.answer(reader, piece)
        opened.finish()
    (row,) = pq.read_table(output).to_pylist()
    return row["code"], row["detail"]


def in_an_evaluation(path: Path, reader: Reader) -> tuple[str, str]:
    (result,) = evaluate(reader, path.parent, [Row(path.name, "7")])
    assert result.code
    assert result.detail
    return result.code, result.detail


def on_the_command_line(path: Path, _: Reader) -> tuple[str, str]:
    result = CliRunner().invoke(cli, ["predict", str(path)])
    line = json.loads(result.stdout)
    return line["code"], line["detail"]


HTTP: dict[str, Door] = {"HTTP": over_http, "a batch": in_a_batch}
FILES: dict[str, Door] = {"bulk": in_bulk, "evaluation": in_an_evaluation, "command line": on_the_command_line}


def test_every_door_says_the_same_of_a_bad_picture(tmp_path: Path, reader: Reader) -> None:
    (tmp_path / "text.png").write_bytes(b"seven")

    told = {door(tmp_path / "text.png", reader) for door in (HTTP | FILES).values()}

    assert [code for code, _ in told] == ["unsupported-image"]


def test_every_door_hides_the_words_of_a_fault(tmp_path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret")

    for module in ("app.reading.reader", "app.reading.batch"):
        monkeypatch.setattr(f"{module}.judge", fail)
    (tmp_path / "three.png").write_bytes(encode(canvas(3)))

    assert {door(tmp_path / "three.png", reader) for door in (HTTP | FILES).values()} == {("internal-error", FAULT)}


def test_doors_that_open_files_say_why_one_cannot_be_read(tmp_path: Path, reader: Reader) -> None:
    told = {door(tmp_path / "gone.png", reader) for door in FILES.values()}

    assert {code for code, _ in told} == {"unreadable-file"}
    assert all(detail.endswith("No such file or directory") for _, detail in told)


def test_what_the_system_says_is_for_those_whose_file_it_is() -> None:
    error = PermissionError(13, "Permission denied", "/etc/shadow")

    assert isinstance(to_request_error(error), InternalError)
    assert isinstance(known := to_request_error(error, of_file=True), UnreadableFile)
    assert "shadow" not in known.detail


def test_an_error_for_the_sender_stays_as_it_is() -> None:
    error = NoDigitFound("Nothing stands out.")

    assert to_request_error(error) is to_request_error(error, of_file=True) is error
