"""GET /model/file: the model for download; activation over HTTP."""

import base64
import hashlib
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.errors import StartupError
from app.reading.infer.record import Edition
from app.settings import Settings
from app.web.application import create_app
from benchmarks.pictures import canvas, encode
from tests.conftest import MakeStore
from tests.versions import SHIPPED, add_version, change_record, onnx_file, point_to, seal

LOCAL: dict[str, Any] = {"client": ("127.0.0.1", 1), "base_url": "http://127.0.0.1"}  # who administers without a key
EDITIONS = {
    "float32": "digits/{}/model.onnx",
    "uint8": "digits_uint8/{}/model.uint8.onnx",
    "finder": "digits_finder/{}/model.onnx",
    "reader": "digits_reader/{}/model.onnx",
}


@pytest.mark.parametrize("edition", EDITIONS)
def test_each_edition_is_the_published_file_with_its_digest(client: TestClient, edition: str) -> None:
    published = (Settings().model_store / EDITIONS[edition].format(SHIPPED)).read_bytes()
    digest = hashlib.sha256(published)

    response = client.get(f"/model/file?edition={edition}")

    assert response.content == published
    assert response.headers["etag"] == f'"{digest.hexdigest()}"'
    assert response.headers["repr-digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert response.headers["content-disposition"] == f'attachment; filename="digits-{SHIPPED}.{edition}.onnx"'
    assert response.headers["content-type"] == "application/octet-stream"


def test_the_served_edition_is_sent_by_default(client: TestClient) -> None:
    assert client.get("/model/file").headers["etag"] == f'"{client.get("/model").json()["sha256"]}"'


def test_the_downloaded_reader_reads_a_picture(client: TestClient) -> None:
    session = ort.InferenceSession(client.get("/model/file?edition=reader").content)
    drawing = np.asarray(Image.open(BytesIO(encode(canvas(3)))).convert("RGB"))

    scores, probabilities = session.run(["scores", "probabilities"], {"picture": drawing})

    assert np.asarray(scores)[0] > 0.5
    assert np.asarray(probabilities)[0].argmax() == client.post("/predict", content=encode(canvas(3))).json()["digit"] == 3


def test_the_downloaded_model_reads_digits(client: TestClient) -> None:
    session = ort.InferenceSession(client.get("/model/file?edition=uint8").content)

    probabilities = np.asarray(session.run(["probabilities"], {"glyph": np.zeros((3, 28, 28), np.uint8)})[0])

    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("known", ['"{}"', 'W/"{}"', '"other", "{}"', "*"], ids=["tag", "weak", "among others", "any"])
def test_a_client_that_has_the_file_does_not_get_it_again(client: TestClient, known: str) -> None:
    digest = client.get("/model").json()["editions"]["uint8"]

    response = client.get("/model/file?edition=uint8", headers={"If-None-Match": known.format(digest)})

    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == f'"{digest}"'


@pytest.mark.parametrize("known", ['"other"', "", '"{}'], ids=["another version", "nothing", "a broken tag"])
def test_a_client_that_has_another_file_gets_the_new_one(client: TestClient, known: str) -> None:
    digest = client.get("/model").json()["editions"]["uint8"]

    response = client.get("/model/file?edition=uint8", headers={"If-None-Match": known.format(digest)})

    assert response.status_code == 200


def test_an_unknown_edition_is_refused(client: TestClient) -> None:
    response = client.get("/model/file?edition=int8")

    assert (response.status_code, response.json()["code"]) == (422, "invalid-request")
    assert "'float32', 'uint8', 'finder' or 'reader'" in response.json()["detail"]


def test_an_edition_that_was_not_published_is_not_found(make_store: MakeStore) -> None:
    with TestClient(create_app(Settings(model_store=make_store()))) as client:
        response = client.get("/model/file?edition=uint8")
        body = client.get("/model").json()

    assert (response.status_code, response.json()["code"]) == (404, "not-found")
    assert "digits/1 was published without the edition uint8" in response.json()["detail"]
    assert list(body["editions"]) == ["float32", "finder"]


@pytest.mark.parametrize("swapped", ["uint8", "reader"])
def test_an_edition_that_was_swapped_stops_the_start(make_store: MakeStore, swapped: Edition) -> None:
    store = make_store()
    edition = onnx_file(store, "1", swapped)
    edition.parent.mkdir(parents=True)
    edition.write_bytes(b"the published file")
    seal(store / "digits" / "1")
    edition.write_bytes(b"another")

    with (
        pytest.raises(StartupError, match=rf"{re.escape(str(edition))} is not the file that was published"),
        TestClient(create_app(Settings(model_store=store))),
    ):
        pass


def test_a_version_is_activated_and_rolled_back_with_all_its_files(tmp_path: Path) -> None:
    store = tmp_path / "store"
    add_version(store, "3")
    add_version(store, "4", threshold=0.25)

    def files(client: TestClient) -> dict[str, str]:
        return {edition: client.get(f"/model/file?edition={edition}").headers["etag"].strip('"') for edition in EDITIONS}

    with TestClient(create_app(Settings(model_store=store)), **LOCAL) as client:
        first, before = client.get("/model").json(), files(client)
        activated = client.post("/admin/models/4/activate").json()
        second, after = client.get("/model").json(), files(client)
        client.post("/admin/models/rollback")
        third, last = client.get("/model").json(), files(client)

    assert (first["version"], first["chosen_by"]) == ("3", "pointer")
    assert (activated["active"], activated["chosen_by"], activated["served"], activated["previous"]) == (
        "4",
        "activation",
        "3",
        "3",
    )
    assert (second["version"], second["chosen_by"]) == ("4", "activation")
    assert second["metadata"]["threshold"] == 0.25
    assert (first["editions"], second["editions"]) == (before, after)
    assert [edition for edition in EDITIONS if before[edition] == after[edition]] == ["reader"]
    assert (third["version"], third["chosen_by"], last) == ("3", "pointer", before)


def test_what_the_pointer_names_now_can_be_activated(tmp_path: Path) -> None:
    store = tmp_path / "store"
    add_version(store, "3")
    with TestClient(create_app(Settings(model_store=store)), **LOCAL) as client:
        add_version(store, "4", threshold=0.25)
        point_to(store, "4")
        before = client.get("/models").json()
        after = client.post("/admin/models/served/activate").json()
        point_to(store, "newest")
        refused = client.post("/admin/models/served/activate")

    assert (before["active"], before["served"]) == ("3", "4")
    assert (after["active"], after["served"]) == ("4", "4")
    assert (refused.status_code, refused.json()["code"]) == (409, "model-rejected")
    assert "'newest' is served, which is not the number of a version" in refused.json()["detail"]


@pytest.mark.parametrize("path", ["activate", "shadow"])
def test_a_version_of_the_reader_before_is_refused_by_name_and_reason(tmp_path: Path, path: str) -> None:
    store = tmp_path / "store"
    add_version(store, "3")
    change_record(add_version(store, "2"), reader=1)
    reason = "Model digits/2: it was made for reader 1, which found digits by rules; this is reader 2."

    with TestClient(create_app(Settings(model_store=store)), **LOCAL) as client:
        refused = client.post(f"/admin/models/2/{path}")
        models = client.get("/models").json()

    assert (refused.status_code, refused.json()["code"]) == (409, "model-rejected")
    assert reason in refused.json()["detail"]
    assert [(each["version"], each["problem"] is None) for each in models["versions"]] == [("2", False), ("3", True)]
    assert reason in models["versions"][0]["problem"]
    assert (models["active"], models["shadow"]) == ("3", None)
