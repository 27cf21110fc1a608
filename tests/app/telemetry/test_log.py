"""Log lines: their form, and what they never contain."""

import json
import logging
import sys

import pytest

from app.settings import LogFormat, Settings
from app.telemetry.log import make_formatter, open_log


def lost_none() -> None:
    raise AssertionError("a line was lost")


def faulty() -> logging.LogRecord:
    pixels = b"SECRETPIXELS"
    try:
        raise RuntimeError("broken while it had pixels")
    except RuntimeError:
        assert pixels
        return logging.LogRecord("app.x", logging.ERROR, "x.py", 1, "request %s failed", ("an-id",), sys.exc_info())


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_is_logged_without_the_values_of_variables(log_format: LogFormat) -> None:
    text = make_formatter(log_format).format(faulty())

    assert "request an-id failed" in text
    assert "RuntimeError: broken" in text
    assert "SECRET" not in text.replace('pixels = b"SECRETPIXELS"', "")  # as the source's line, perhaps, but not as a value


def test_json_is_one_line_with_time_level_and_event_first() -> None:
    text = make_formatter("json").format(faulty())

    assert list(json.loads(text))[:3] == ["time", "level", "event"]
    assert "\n" not in text


def test_a_value_with_a_line_break_stays_on_one_console_line(capsys: pytest.CaptureFixture[str]) -> None:
    open_log(Settings(log_format="console"), lost_none).info("request", detail="one\ntwo")

    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_pipe_gets_json_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    open_log(Settings(), lost_none).info("request", status=200)

    assert json.loads(capsys.readouterr().err)["status"] == 200


def test_lines_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    open_log(Settings(log_level="warning"), lost_none).info("request")

    assert capsys.readouterr().err == ""
