"""The shipped model, end to end: the files in the store, and MNIST over HTTP."""

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
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


@pytest.fixture(scope="module")
def answers(client: TestClient, excerpt: Excerpt) -> list[int]:
    """Of the excerpt, through HTTP."""
    return [post(client, image) for image in excerpt[0]]


def test_the_excerpt_is_read_through_http(answers: list[int], excerpt: Excerpt) -> None:
    assert (np.array(answers) == excerpt[1]).mean() >= 0.99


def test_http_gives_the_answers_that_torch_gives_offline(answers: list[int], excerpt: Excerpt) -> None:
    assert answers == offline(torch.from_numpy(excerpt[0]))


def offline(images: torch.Tensor) -> list[int]:
    """The digits that the checkpoint's classifier sees, in torch."""
    model = find_model(Settings().model_store, "digits", SHIPPED)
    logits = infer(load_checkpoint(model.folder / "model.pth", model.record.architecture), images)
    digits: list[int] = logits[:, :10].argmax(dim=1).tolist()
    return digits


@pytest.mark.long
def test_the_checkpoint_makes_as_many_mistakes_on_mnists_test_set_as_its_record_says(full_data_dir: Path) -> None:
    test = load_digits(full_data_dir).test

    wrong = int((np.array(offline(test.images)) != test.labels.numpy()).sum())

    assert wrong == find_model(Settings().model_store, "digits", SHIPPED).record.metrics["mnist_test_errors"]


@pytest.mark.long
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_all_10000_test_digits_get_the_offline_answers_through_http(
    client: TestClient, full_data_dir: Path, chunk: int
) -> None:
    images = load_digits(full_data_dir).test.images[chunk::CHUNKS]

    assert [post(client, image.numpy()) for image in images] == offline(images)


def test_shifted_or_inverted_digits_are_read_nearly_as_well(reader: Reader, excerpt: Excerpt) -> None:
    images = excerpt[0]
    for changed in (np.pad(images, ((0, 0), (9, 2), (1, 15))), 255 - np.pad(images, ((0, 0), (3, 3), (3, 3)))):
        answers = np.array([reader.read(encode(Image.fromarray(image))).digit for image in changed])

        assert (answers == excerpt[1]).mean() >= 0.98


def test_the_files_in_the_store_match_their_record() -> None:
    model = find_model(Settings().model_store, "digits", SHIPPED)

    model.verify()
    assert (model.folder / "card.md").read_text(encoding="utf-8") == card(model.record)
    assert (model.folder.parent / "config.pbtxt").is_file()
    assert model.record.parameters <= 120_000
    assert json.loads((model.folder / "model.json").read_text())["metrics"]["mnist_test_accuracy"] >= 0.995


def test_golden_vectors_agree_with_the_checkpoint() -> None:
    model = find_model(Settings().model_store, "digits", SHIPPED)
    golden = model.read_golden()

    offline = infer(load_checkpoint(model.folder / "model.pth", model.record.architecture), torch.from_numpy(golden.glyphs))

    np.testing.assert_allclose(offline[:, :10].numpy(), golden.logits, atol=1e-4)
    np.testing.assert_allclose(offline[:, 10].numpy(), golden.no_digit, atol=1e-4)
    assert (golden.logits.argmax(axis=1) == np.arange(10)).sum() >= 9  # the first nine of validation is misread as a 4


def test_a_clone_stays_small() -> None:
    model = find_model(Settings().model_store, "digits", SHIPPED)

    assert sum((model.store / key).stat().st_size for key in model.record.sha256) < 3_500_000


def test_the_golden_pictures_are_read_as_they_were(reader: Reader) -> None:
    golden = find_model(Settings().model_store, "digits", SHIPPED).read_golden()

    read = [reader.read(picture) for picture in golden.pictures]

    assert len(read) == len(golden.glyphs)
    assert [each.digit for each in read] == golden.answers[:, 4:14].argmax(axis=1).tolist()
    boxes = [[each.box.x, each.box.y, each.box.width, each.box.height] for each in read]
    np.testing.assert_allclose(boxes, golden.answers[:, :4], atol=2)


def test_the_portable_reader_reads_the_golden_pictures_as_the_service_does(reader: Reader) -> None:
    model = find_model(Settings().model_store, "digits", SHIPPED)
    session = ort.InferenceSession(model.path("reader"), providers=["CPUExecutionProvider"])

    for picture in model.read_golden().pictures:
        scores, probabilities, accepted = session.run(["scores", "probabilities", "accepted"], {"picture": picture})
        served = reader.read(picture)

        assert (np.asarray(scores) > 0).any()
        assert np.asarray(probabilities)[0].argmax() == served.digit
        assert bool(np.asarray(accepted)[0]) == served.accepted
