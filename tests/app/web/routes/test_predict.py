"""Pictures over HTTP: every route gives the same answer, in the public form."""

import base64
import io
import json
import tempfile
from collections.abc import Callable
from urllib.parse import quote

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.web.routes.predict import MOST_PLAIN
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
    "a data URL in white space": lambda client, data: answer(
        client, "/predict/canvas", json={"image": "\n data:image/png; base64 ,\r\n" + base64.encodebytes(data).decode() + " "}
    ),
    "a data URL with percents": lambda client, data: answer(
        client, "/predict/canvas", json={"image": "data:image/png;base64," + quote(in_base64(data), safe="")}
    ),
    "a data URL of percents": lambda client, data: answer(
        client, "/predict/canvas", json={"image": quote("data:image/png;base64," + in_base64(data), safe="")}
    ),
    "a data URL behind a byte order mark": lambda client, data: answer(
        client, "/predict/canvas", json={"image": "\ufeffdata:image/png;base64," + in_base64(data)}
    ),
    "JSON behind a byte order mark": lambda client, data: answer(
        client, "/predict/canvas", content=b"\xef\xbb\xbf" + json.dumps({"image": in_base64(data)}).encode()
    ),
    "large JSON behind a byte order mark": lambda client, data: answer(
        client, "/predict/canvas", content=b"\xef\xbb\xbf" + json.dumps({"image": in_base64(data) + " " * MOST_PLAIN}).encode()
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


PARTS: dict[str, tuple[str, bytes]] = {
    "a file": ('form-data; name="files"; filename="a.png"', DRAWING),
    "an empty file": ('form-data; name="files"; filename="a.png"', b""),
    "a field that was left empty": ('form-data; name="files"; filename=""', b""),
    "a part without a file's name": ('form-data; name="files"', DRAWING),
    "such a part without quotes, as C# sends it": ("form-data; name=files", DRAWING),
    "one of files[]": ('form-data; name="files[]"; filename="a.png"', DRAWING),
    "one of files[1]": ('form-data; name="files[1]"; filename="a.png"', PHOTO),
    "text": ('form-data; name="files"', b"seven"),
}
ANSWERS = [3, "invalid-request", "invalid-request", 3, 3, 3, 7, "unsupported-image"]


def form(*parts: tuple[str, bytes]) -> dict[str, object]:
    """A request with these parts: of each, its disposition and data."""
    written = (f"--x\r\nContent-Disposition: {head}\r\n\r\n".encode() + data + b"\r\n" for head, data in parts)
    return {"content": b"".join(written) + b"--x--\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}


def told(result: dict[str, object]) -> object:
    """The digit, or the problem's code."""
    return result.get("digit", result.get("code"))


@pytest.mark.parametrize("turned", range(len(PARTS)))
def test_a_batch_has_a_result_for_each_part_in_order(client: TestClient, turned: int) -> None:
    parts = [*PARTS.values()]

    results = answer(client, "/predict/batch", **form(*parts[turned:], *parts[:turned]))["results"]

    assert isinstance(results, list)
    assert [told(result) for result in results] == ANSWERS[turned:] + ANSWERS[:turned]


def test_a_batch_passes_over_fields_that_are_no_files(client: TestClient) -> None:
    note = ('form-data; name="note"', b"x")

    results = answer(client, "/predict/batch", **form(note, PARTS["a file"], note))["results"]

    assert isinstance(results, list)
    assert [told(result) for result in results] == [3]


@pytest.mark.parametrize("disposition", ["form-data; name=file", 'form-data; name="file"'])
def test_a_file_needs_no_name_of_its_own(client: TestClient, disposition: str) -> None:
    assert answer(client, "/predict", **form((disposition, DRAWING)))["digit"] == 3


WRONG_FIELDS: dict[str, tuple[str, list[str], str]] = {
    "another name": ("/predict", ["image"], "The form has `image`; send pictures in the field `file`."),
    "another name twice": ("/predict", ["image", "image"], "The form has `image`; send pictures in the field `file`."),
    "two names": ("/predict", ["image", "photo"], "The form has `image`, `photo`; send pictures in the field `file`."),
    "no name": ("/predict", [""], "The form has a part without a name; send pictures in the field `file`."),
    "an odd name": ("/predict", ["a\tb" + "c" * 99], f"The form has `ab{'c' * 37}`; send pictures in the field `file`."),
    "the batch's name": ("/predict", ["files"], "The form has `files`; send pictures in the field `file`, or call /predict/batch."),
    "that of one picture": ("/predict/batch", ["file"], "The form has `file`; send pictures in the field `files`, or call /predict."),
    "a file among others": ("/predict/batch", ["files", "scan"], "The form has `scan`; send pictures in the field `files`."),
    "many names": (
        "/predict/batch",
        [f"f{place}" for place in range(9)],
        "The form has `f0`, `f1`, `f2`, `f3`, `f4`, …; send pictures in the field `files`.",
    ),
    "far too many names": (
        "/predict/batch",
        [f"f{place}" for place in range(99)],
        "The form has more than 16 parts in other fields: `f0`, `f1`, `f2`, `f3`, `f4`, ….",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("path", "names", "detail"), WRONG_FIELDS.values(), ids=WRONG_FIELDS.keys())
def test_a_wrong_field_is_told_with_the_names_that_came(client: TestClient, path: str, names: list[str], detail: str) -> None:
    response = client.post(path, **form(*((f'form-data; name="{name}"; filename="a.png"', DRAWING) for name in names)))  # type: ignore[arg-type]

    assert (response.status_code, response.json()["code"]) == (422, "invalid-request")
    assert response.json()["detail"] == detail


@pytest.mark.parametrize("count", [65, 80, 81, 82, 500])
def test_too_many_files_are_told_alike_whatever_their_number(client: TestClient, count: int) -> None:
    response = client.post("/predict/batch", **form(*[PARTS["a file"]] * count))  # type: ignore[arg-type]

    assert (response.status_code, response.json()["code"]) == (422, "invalid-request")
    assert response.json()["detail"] == "The form has more than 64 files, the most in a batch; send them in several requests."


@pytest.mark.parametrize("count", [2, 3, 17, 40, 500])
def test_several_files_where_one_is_read_are_told_alike(client: TestClient, count: int) -> None:
    response = client.post("/predict", files=[("file", DRAWING)] * count)

    assert response.status_code == 422
    assert response.json()["detail"] == (
        "The form has several files in its field `file`; send one, or several in `files` to /predict/batch."
    )


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
    detail = "There is more than one digit; the most prominent was read. POST /read reads all of them."
    assert body["warnings"] == [{"code": "several-digits", "value": 2, "detail": detail}]
