"""onnxruntime: one build of it is needed, and no device id is written."""

import os
from importlib.metadata import PackageNotFoundError

import onnxruntime
import pytest

from app.errors import StartupError
from app.reading import onnx_session
from app.reading.onnx_session import load_runtime


@pytest.mark.parametrize(
    ("installed", "message"),
    [
        (set(), r"onnxruntime is not installed\. Install Numeral with its extra cpu"),
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
