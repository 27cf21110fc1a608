"""The whole circle, small: answers are corrected over HTTP, reviewed, learned from, and the version that comes of it answers.

Its steps are tested by themselves: tests/app/web/routes, tests/training/test_learn.py and publishing/test_candidate.py.
"""

import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

pytest.importorskip("sqlalchemy")
pytest.importorskip("torch")

from app.settings import Settings
from app.web.application import create_app
from tests.training.commands import training
from tests.versions import SHIPPED, copy_shipped

COUNT = 60
LOCAL = ("127.0.0.1", 1)


def png(glyph: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(glyph).save(file, "PNG")
    return file.getvalue()


@pytest.mark.long
def test_corrections_become_a_version_that_answers(
    tmp_path: Path, mnist_dir: Path, excerpt: tuple[np.ndarray, np.ndarray]
) -> None:
    store = tmp_path / "store"
    copy_shipped(store)
    served = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    pictures, labels = [png(glyph) for glyph in excerpt[0][:COUNT]], excerpt[1][:COUNT].tolist()
    settings = Settings(model_store=store, keep="glyphs", data_dir=tmp_path / "data", correction_limit="1000/minute")

    with TestClient(create_app(settings), client=LOCAL, base_url="http://127.0.0.1") as client:
        sent = client.post("/predict/batch", files=[("files", picture) for picture in pictures]).json()["results"]
        for answer, label in zip(sent, labels, strict=True):
            assert client.post("/corrections", json={"id": answer["id"], "truth": label}).status_code == 201
        waiting = client.get("/admin/corrections?status=new&most=1000").json()["corrections"]
        for each in waiting:
            review = {"truth": each["truth"], "status": "accepted"}
            assert client.post(f"/admin/corrections/{each['id']}", json=review).status_code == 200

        places = ("--store", store, "--candidates", tmp_path / "candidates", "--run", tmp_path / "run")
        learned = training("learn", "--smoke", "--corrections", tmp_path / "data", *places, "--data-dir", mnist_dir)
        before = client.get("/models").json()
        changed = [path for path, content in served.items() if path.read_bytes() != content]
        if "stays a candidate" in learned.stdout.replace("\n", " "):  # a smoke run improves nothing, and a person may overrule
            training("promote", tmp_path / "candidates" / "digits-4", "--store", store)
        report = (store / "digits" / "4" / "report.md").read_text(encoding="utf-8")
        shadow = client.post("/admin/models/4/shadow").json()["shadow"]["version"]
        activated = client.post("/admin/models/4/activate").json()["active"]
        answered = client.post("/predict", content=pictures[0]).json()
        rolled_back = client.post("/admin/models/rollback").json()["active"]

    assert len(waiting) == COUNT
    assert changed == []  # nothing that is served, the pointer included: learning only adds
    told = re.search(r"learns from (\d+) glyphs of 1 clients; (\d+) are held out", learned.stdout.replace("\n", " "))
    assert told
    assert int(told[1]) + int(told[2]) == COUNT
    assert f"| corrections, held out | {told[2]} |" in report
    assert "| MNIST | 20 |" in report
    assert (before["active"], shadow, activated, rolled_back) == (SHIPPED, "4", "4", SHIPPED)
    assert answered["model"]["version"] == "4"
