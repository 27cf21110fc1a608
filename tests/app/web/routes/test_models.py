"""GET /model/file: the model for download."""

import base64
import hashlib

import numpy as np
import onnxruntime as ort
import pytest
from fastapi.testclient import TestClient

from app.errors import StartupError
from app.reading.infer.store import find_model
from app.settings import Settings
from app.web.application import create_app
from tests.conftest import MakeStore
from tests.versions import SHIPPED

EDITIONS = {"float32": "digits/{}/model.onnx", "uint8": "digits_uint8/{}/model.uint8.onnx"}


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
    assert "'float32' or 'uint8'" in response.json()["detail"]


def test_an_edition_that_was_not_published_is_not_found(make_store: MakeStore) -> None:
    with TestClient(create_app(Settings(model_store=make_store()))) as client:
        response = client.get("/model/file?edition=uint8")
        body = client.get("/model").json()

    assert (response.status_code, response.json()["code"]) == (404, "not-found")
    assert "digits/1 was published without the edition uint8" in response.json()["detail"]
    assert list(body["editions"]) == ["float32"]


def test_an_edition_that_was_swapped_stops_the_start(make_store: MakeStore) -> None:
    store = make_store()
    record = find_model(store, "digits", "1").record
    digests = record.sha256 | {"model.uint8.onnx": hashlib.sha256(b"the published file").hexdigest()}
    (store / "digits" / "1" / "model.json").write_text(record.model_copy(update={"sha256": digests}).model_dump_json())
    (store / "digits_uint8" / "1").mkdir(parents=True)
    (store / "digits_uint8" / "1" / "model.uint8.onnx").write_bytes(b"another")

    with (
        pytest.raises(StartupError, match=r"model\.uint8\.onnx is not the file that was published"),
        TestClient(create_app(Settings(model_store=store))),
    ):
        pass
