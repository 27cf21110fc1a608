"""The parts of a service: what has started ends, also where a later part cannot start."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.errors import StartupError
from app.runtime.shared_state import Shared
from app.settings import Settings
from app.web import service
from app.web.application import create_app
from tests.versions import SHIPPED


def test_where_a_part_cannot_start_those_before_it_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Shared] = []

    class Watched(Shared):
        def close(self) -> None:
            super().close()
            closed.append(self)

    monkeypatch.setattr(service, "Shared", Watched)
    (tmp_path / "corrections.sqlite").write_bytes(b"no database at all" * 100)
    app = create_app(Settings(model_version=SHIPPED, keep="glyphs", data_dir=tmp_path))

    with pytest.raises(StartupError, match="corrections"), TestClient(app):
        pass

    assert len(closed) == 1
    assert app.state.keeper is None
