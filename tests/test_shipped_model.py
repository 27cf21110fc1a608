"""The shipped model, end to end: the files in the store, and MNIST over HTTP."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

from app.reading.infer.store import find_model
from app.reading.reader import Reader
from app.settings import Settings
from benchmarks.pictures import encode
from tests.versions import SHIPPED
from training.data.mnist import load_digits
from training.learning.checkpoints import load_checkpoint
from training.learning.evaluate import infer
from training.publishing.card import card

Excerpt = tuple[NDArray[np.uint8], NDArray[np.uint8]]
CHUNKS = 8  # so that the tests of all digits share the cores


def post(client: TestClient, image: NDArray[np.uint8]) -> int:
    response = client.post("/predict", content=encode(Image.fromarray(image)))
    assert response.status_code == 200
    digit: int = response.json()["digit"]
    return digit


def test_the_excerpt_is_read_through_http(client: TestClient, excerpt: Excerpt) -> None:
    answers = np.array([post(client, image) for image in excerpt[0]])

    assert (answers == excerpt[1]).mean() >= 0.99


def test_http_gives_the_answers_that_torch_gives_offline(client: TestClient, excerpt: Excerpt) -> None:
    model = find_model(Settings().model_store, "digits", SHIPPED)
    offline = infer(load_checkpoint(model.folder / "model.pth", model.record.architecture), torch.from_numpy(excerpt[0]))

    answers = [post(client, image) for image in excerpt[0]]

    assert answers == offline.argmax(dim=1).tolist()


@pytest.mark.parametrize("chunk", [0, *(pytest.param(chunk, marks=pytest.mark.long) for chunk in range(1, CHUNKS))])
def test_all_10000_test_digits_get_the_offline_answers_through_http(
    client: TestClient, full_data_dir: Path, chunk: int
) -> None:
    model = find_model(Settings().model_store, "digits", SHIPPED)
    test = load_digits(full_data_dir).test
    offline = infer(load_checkpoint(model.folder / "model.pth", model.record.architecture), test.images).argmax(dim=1)
    wrong = int((offline != test.labels).sum())

    answers = [post(client, image.numpy()) for image in test.images[chunk::CHUNKS]]

    assert answers == offline[chunk::CHUNKS].tolist()
    assert wrong == model.record.metrics["mnist_test_errors"]


def test_shifted_or_inverted_digits_are_read_nearly_as_well(reader: Reader, excerpt: Excerpt) -> None:
    images = excerpt[0]
    for changed in (np.pad(images, ((0, 0), (9, 2), (1, 15))), 255 - np.pad(images, ((0, 0), (3, 3), (3, 3)))):
        answers = np.array([reader.read(encode(Image.fromarray(image))).digit for image in changed])

        assert (answers == excerpt[1]).mean() >= 0.98


def test_the_files_in_the_store_match_their_record() -> None:
    model = find_model(Settings().model_store, "digits", SHIPPED)

    for name, digest in model.record.sha256.items():
        assert hashlib.sha256(model.path(name).read_bytes()).hexdigest() == digest
    assert (model.folder / "card.md").read_text(encoding="utf-8") == card(model.record)
    assert (model.folder.parent / "config.pbtxt").is_file()
    assert model.record.parameters <= 120_000
    assert json.loads((model.folder / "model.json").read_text())["metrics"]["mnist_test_accuracy"] >= 0.996


def test_golden_vectors_agree_with_the_checkpoint() -> None:
    model = find_model(Settings().model_store, "digits", SHIPPED)
    glyphs, logits = model.read_golden()

    offline = infer(load_checkpoint(model.folder / "model.pth", model.record.architecture), torch.from_numpy(glyphs))

    np.testing.assert_allclose(offline.numpy(), logits, atol=1e-4)
    assert (logits.argmax(axis=1) == np.arange(10)).sum() >= 9  # the first nine of validation is misread as a 4


def test_a_clone_stays_small() -> None:
    folder = find_model(Settings().model_store, "digits", SHIPPED).folder

    assert sum(path.stat().st_size for path in folder.iterdir()) < 2_000_000
