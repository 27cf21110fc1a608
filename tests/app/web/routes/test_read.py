"""Whole numbers over HTTP."""

import base64

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.settings import Settings
from app.web.application import create_app
from benchmarks.pictures import canvas, encode, row
from tests.versions import SHIPPED

ROW = encode(row("3520", 24))
BLANK = encode(Image.new("L", (50, 50), 255))


def test_every_route_gives_the_same_reading(client: TestClient) -> None:
    expected = client.post("/read", content=ROW).json()

    assert expected["text"] == "3520"
    assert client.post("/read", files={"file": ("row.png", ROW)}).json() == expected
    assert client.post("/read/canvas", json={"image": base64.b64encode(ROW).decode()}).json() == expected
    assert client.post("/read/batch", files=[("files", ROW)]).json() == {"results": [expected]}


def test_a_reading_has_the_public_form(client: TestClient) -> None:
    body = client.post("/read", content=ROW).json()

    assert list(body) == [
        "text", "confidence", "accepted", "lines", "digits", "alternatives", "marks", "warnings", "model",
    ]  # fmt: skip
    assert list(body["lines"][0]) == ["text", "confidence", "accepted", "box", "digits"]
    assert list(body["digits"][0]) == [
        "digit", "confidence", "probabilities", "accepted", "warnings", "box", "line", "glyph",
    ]  # fmt: skip
    assert all(digit["glyph"] is None for digit in body["digits"])


def test_glyphs_come_where_they_are_asked_for(client: TestClient) -> None:
    body = client.post("/read?include=glyph", content=ROW).json()

    assert all(digit["glyph"].startswith("data:image/png;base64,") for digit in body["digits"])


def test_each_picture_of_a_batch_has_its_reading_or_its_problem(client: TestClient) -> None:
    files = [("files", ROW), ("files", BLANK), ("files", b"no picture"), ("files", encode(canvas(3)))]

    first, blank, broken, single = client.post("/read/batch", files=files).json()["results"]

    assert first["text"] == "3520"
    assert blank["code"] == "no-digit-found"
    assert broken["code"] == "unsupported-image"
    assert single["text"] == "3"


def test_a_count_is_kept(client: TestClient) -> None:
    assert len(client.post("/read?count=3", content=ROW).json()["digits"]) == 3
    assert len(client.post("/read?count=4", content=ROW).json()["digits"]) == 4


@pytest.mark.parametrize("count", ["0", "-1", "201", "1.5", "x", "", "٣", "1" * 5000], ids=lambda each: each[:5])
@pytest.mark.parametrize("path", ["/read", "/read/batch"])
def test_an_impossible_count_is_refused(client: TestClient, path: str, count: str) -> None:
    response = client.post(path, params={"count": count}, content=ROW)

    assert response.status_code == 422
    assert response.json()["code"] == "invalid-request"
    assert "count" in response.json()["detail"]


def test_the_number_of_digits_is_a_setting() -> None:
    with TestClient(create_app(Settings(model_version=SHIPPED, max_digits=2))) as small:
        body = small.post("/read", content=ROW).json()
        assert len(body["digits"]) <= 2
        assert "many-digits" in [each["code"] for each in body["warnings"]]
        assert small.post("/read?count=3", content=ROW).status_code == 422


def test_predict_names_read_where_there_are_several_digits(client: TestClient) -> None:
    body = client.post("/predict", content=ROW).json()

    (several,) = [each for each in body["warnings"] if each["code"] == "several-digits"]
    assert "POST /read" in several["detail"]
    assert not body["accepted"]


def test_a_page_without_digits_is_a_problem(client: TestClient) -> None:
    noise = np.random.default_rng(0).integers(118, 138, (200, 300), np.uint8)

    for data in (BLANK, encode(Image.fromarray(noise))):
        response = client.post("/read", content=data)
        assert response.status_code == 422
        assert response.json()["code"] == "no-digit-found"


def test_each_digit_of_a_reading_is_counted() -> None:
    with TestClient(create_app(Settings(model_version=SHIPPED))) as fresh:
        assert fresh.post("/read", content=ROW, params={"count": 150}).json()["text"] == "3520"
        counted = fresh.get("/metrics").text

    for digit in "3520":
        assert f'numeral_predictions_total{{digit="{digit}"}} 1.0' in counted
    assert 'numeral_warnings_total{code="other-count"} 1.0' in counted
    assert 'route="/read",status="200"' in counted
