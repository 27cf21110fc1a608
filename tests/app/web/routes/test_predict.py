"""Pictures over HTTP: every route gives the same answer, in the public form."""

import base64
import io
import tempfile
from collections.abc import Callable

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from benchmarks.pictures import canvas, encode, photo, row

PHOTO = encode(photo(7), "JPEG")
DRAWING = encode(canvas(3, ground=None))

Post = Callable[[TestClient, bytes], dict[str, object]]


def answer(client: TestClient, path: str, **request: object) -> dict[str, object]:
    response = client.post(path, **request)  # type: ignore[arg-type]
    assert response.status_code == 200, response.text
    body: dict[str, object] = response.json()
    return body


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


DOORS: dict[str, Post] = {
    "a multipart field": lambda client, data: answer(client, "/predict", files={"file": ("seven.jpg", data, "image/jpeg")}),
    "a multipart field of a lying type": lambda client, data: answer(client, "/predict", files={"file": ("a.txt", data, "text/plain")}),
    "a multipart field among others": lambda client, data: answer(client, "/predict", data={"note": "x"}, files={"file": data}),
    "a body": lambda client, data: answer(client, "/predict", content=data, headers={"Content-Type": "image/jpeg"}),
    "a body of curl's type": lambda client, data: answer(
        client, "/predict", content=data, headers={"Content-Type": "application/x-www-form-urlencoded"}
    ),
    "a body of no type": lambda client, data: answer(client, "/predict", content=data),
    "a body in chunks": lambda client, data: answer(client, "/predict", content=iter([data[:100], data[100:]])),
    "base64": lambda client, data: answer(client, "/predict/canvas", json={"image": in_base64(data)}),
    "base64 without padding": lambda client, data: answer(client, "/predict/canvas", json={"image": in_base64(data).rstrip("=")}),
    "base64 in lines": lambda client, data: answer(client, "/predict/canvas", json={"image": base64.encodebytes(data).decode()}),
    "URL-safe base64": lambda client, data: answer(client, "/predict/canvas", json={"image": base64.urlsafe_b64encode(data).decode()}),
    "a data URL": lambda client, data: answer(client, "/predict/canvas", json={"image": "data:image/png;base64," + in_base64(data)}),
    "a data URL with parameters": lambda client, data: answer(
        client, "/predict/canvas", json={"image": "data:image/png;charset=utf-8;base64," + in_base64(data).rstrip("=")}
    ),
}  # fmt: skip


@pytest.mark.parametrize("post", DOORS.values(), ids=DOORS.keys())
@pytest.mark.parametrize("data", [PHOTO, PHOTO + b"\0", PHOTO + b"\0\0"], ids=["padding 0", "padding 1", "padding 2"])
def test_every_route_gives_the_same_answer(client: TestClient, post: Post, data: bytes) -> None:
    expected = answer(client, "/predict", content=PHOTO)

    assert post(client, data) == expected


def test_an_answer_has_the_public_form(client: TestClient) -> None:
    body = answer(client, "/predict", content=PHOTO)

    probabilities = body["probabilities"]
    assert isinstance(probabilities, list)
    assert list(body) == ["digit", "confidence", "probabilities", "accepted", "warnings", "box", "model", "glyph"]
    assert body["digit"] == 7
    assert body["confidence"] == probabilities[7] == max(probabilities)
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)
    assert body["accepted"] is True
    assert body["warnings"] == []
    assert body["model"] == {"name": "digits", "version": client.get("/model").json()["version"]}
    assert body["glyph"] is None


def test_the_box_frames_the_ink(client: TestClient) -> None:
    drawing = canvas(3)
    expected = Image.fromarray(255 - np.asarray(drawing)).getbbox()

    box = answer(client, "/predict", content=encode(drawing))["box"]

    assert isinstance(box, dict)
    assert expected is not None
    assert np.abs(np.array([box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]]) - expected).max() <= 3


@pytest.mark.parametrize("digit", range(10))
def test_made_photos_and_drawings_are_read(client: TestClient, digit: int) -> None:
    assert answer(client, "/predict", content=encode(photo(digit), "JPEG"))["digit"] == digit
    image = "data:image/png;base64," + in_base64(encode(canvas(digit, ground=None)))
    assert answer(client, "/predict/canvas", json={"image": image})["digit"] == digit


def test_the_glyph_that_the_model_saw_is_returned_on_request(client: TestClient) -> None:
    url = answer(client, "/predict?include=glyph", content=DRAWING)["glyph"]

    assert isinstance(url, str)
    prefix, _, data = url.partition(",")
    glyph = Image.open(io.BytesIO(base64.b64decode(data)))
    assert prefix == "data:image/png;base64"
    assert (glyph.size, glyph.mode) == ((28, 28), "L")
    again = answer(client, "/predict", content=base64.b64decode(data))
    assert again["digit"] == 3


def test_a_batch_answers_in_order_and_a_bad_picture_does_not_affect_the_others(client: TestClient) -> None:
    pictures = [PHOTO, b"no picture", DRAWING, encode(Image.new("RGB", (50, 50), "white"))]

    results = answer(client, "/predict/batch", files=[("files", data) for data in pictures])["results"]

    assert isinstance(results, list)
    assert [result.get("digit", result.get("code")) for result in results] == [7, "unsupported-image", 3, "no-digit-found"]
    assert results[0] == answer(client, "/predict", content=PHOTO)
    assert results[1]["status"] == 415
    assert results[1]["request_id"]


def test_a_batch_returns_glyphs_on_request(client: TestClient) -> None:
    results = answer(client, "/predict/batch?include=glyph", files=[("files", PHOTO)])["results"]

    assert isinstance(results, list)
    assert results[0]["glyph"].startswith("data:image/png;base64,")


def test_a_large_form_never_touches_the_disk(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    drawing = encode(canvas(3, size=1500, pen=90), "BMP")
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")

    assert len(drawing) > 5_000_000
    assert answer(client, "/predict", files={"file": drawing})["digit"] == 3


def test_of_several_digits_one_is_read_and_not_accepted(client: TestClient) -> None:
    body = answer(client, "/predict", content=encode(row("38", 30)))

    assert body["digit"] in (3, 8)
    assert body["accepted"] is False
    assert body["warnings"] == [
        {"code": "several-digits", "value": 2, "detail": "There is more than one digit; the most prominent was read."}
    ]
