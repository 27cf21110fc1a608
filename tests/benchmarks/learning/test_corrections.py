"""The benchmark of corrections: what writers send, and what is left to judge by."""

from email.message import Message
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import numpy as np
import pytest
from fastapi.testclient import TestClient

pytest.importorskip("sqlalchemy")
pytest.importorskip("torch")

from app.corrections.journal import Journal
from app.settings import Settings
from app.web.application import create_app
from benchmarks.learning.corrections import Writer, correct, others
from benchmarks.pictures import canvas
from tests.versions import SHIPPED

THREE, BLANK = np.asarray(canvas(3).convert("RGB")), np.full((280, 280, 3), 255, np.uint8)


def test_half_of_a_writers_digits_are_corrected_and_the_other_half_judged(tmp_path: Path) -> None:
    writer = Writer("first", [THREE, BLANK, THREE, THREE, THREE, BLANK], np.array([3, 1, 8, 4, 5, 6]))
    settings = Settings(model_version=SHIPPED, keep="glyphs", data_dir=tmp_path)
    with TestClient(create_app(settings)) as client:

        def call(_: str, path: str, body: bytes) -> Any:
            response = client.post(path, content=body)
            if response.is_error:
                raise HTTPError(path, response.status_code, response.text, Message(), None)
            return response.json()

        wrong = correct(call, [writer])
    journal = Journal.open(settings)
    found = journal.corrected(oldest_first=True)
    journal.close()

    assert wrong == 1
    assert [(each.entry.text, each.correction.truth) for each in found] == [("3", "3"), ("3", "8")]
    assert others("first", [writer]).labels.tolist() == [4, 5, 6]
