"""onnxruntime: one build of it is needed, and no device id is written."""

import os
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import onnxruntime
import pytest

from app.errors import StartupError
from app.reading import onnx_session
from app.reading.onnx_session import ONNXRUNTIME, load_runtime

PROJECT = Path(__file__).parents[3] / "pyproject.toml"


@pytest.mark.parametrize(
    ("installed", "message"),
    [
        (set(), rf"onnxruntime is not installed\. Install it by pip install '{ONNXRUNTIME}'"),
        ({"onnxruntime", "onnxruntime-gpu"}, "both installed and overwrite each other"),
    ],
    ids=["neither", "both"],
)
def test_a_missing_runtime_and_two_runtimes_are_refused(
    monkeypatch: pytest.MonkeyPatch, installed: set[str], message: str
) -> None:
    pretend(monkeypatch, installed)

    with pytest.raises(StartupError, match=message):
        load_runtime()


def test_the_message_names_what_the_extra_cpu_installs() -> None:
    extras = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]

    assert extras["cpu"] == [ONNXRUNTIME]


@pytest.mark.parametrize("name", ["onnxruntime", "onnxruntime-gpu"])
def test_a_single_runtime_is_accepted(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    pretend(monkeypatch, {name})

    assert load_runtime() is onnxruntime
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


def pretend(monkeypatch: pytest.MonkeyPatch, installed: set[str]) -> None:
    def version(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(onnx_session, "version", version)
