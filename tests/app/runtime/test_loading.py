"""Where the wall is, and what is there instead of it."""

import logging
import sys

import pytest
from fastapi.testclient import TestClient

from app.errors import StartupError
from app.reading.decode.picture import InProcessDecoder
from app.runtime.loading import open_decoder, open_reader, start_decoder
from app.settings import Settings
from app.web.application import create_app
from benchmarks.pictures import canvas, encode, photo
from tests.versions import SHIPPED

SETTINGS = Settings(model_version=SHIPPED)
DRAWING, PHOTO = encode(canvas(3)), encode(photo(3), "JPEG")


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_on_other_systems_the_process_decodes_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, system: str
) -> None:
    monkeypatch.setattr("app.runtime.loading.sys.platform", system)

    with caplog.at_level(logging.WARNING), open_decoder(SETTINGS) as decoder:
        start_decoder(decoder)
        assert isinstance(decoder, InProcessDecoder)
        assert decoder.decode(PHOTO).width == 640

    assert "decoded in the service's own process" in caplog.text


def test_on_other_systems_the_service_reads_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.runtime.loading.sys.platform", "darwin")

    with TestClient(create_app(SETTINGS)) as client:
        assert [client.post("/predict", content=data).json()["digit"] for data in (DRAWING, PHOTO)] == [3, 3]
        assert client.get("/health/ready").status_code == 200


@pytest.mark.skipif(sys.platform != "linux", reason="the wall is Linux's")
def test_a_reader_of_the_command_line_is_behind_the_wall_and_ends_with_it() -> None:
    with open_reader(SETTINGS) as reader:
        assert not isinstance(reader.decoder, InProcessDecoder)
        assert reader.decoder.living == 1  # type: ignore[attr-defined]
        assert [reader.read(data).digit for data in (DRAWING, PHOTO)] == [3, 3]

    assert reader.decoder.living == 0  # type: ignore[attr-defined]


@pytest.mark.skipif(sys.platform != "linux", reason="the wall is Linux's")
def test_without_python_to_start_there_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with pytest.raises(StartupError, match="cannot be started"), open_reader(SETTINGS):
        pass
