"""A body sent to the wrong endpoint gets an error that names the right one."""

import base64
import gzip
import io
import json
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.web.wrong_endpoint import advise
from benchmarks.pictures import canvas, encode
from tests.app.web.test_strokes import ink

DRAWING = encode(canvas(3))
BASE64 = base64.b64encode(DRAWING)
URL = b"data:image/png;base64," + BASE64
GLYPH = np.arange(784).reshape(28, 28) % 256
FLAT = GLYPH.ravel().tolist()
TENSOR = {"inputs": [{"name": "glyph", "datatype": "UINT8", "shape": [1, 28, 28], "data": FLAT}]}
FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + DRAWING + b"\r\n--x--\r\n"

PREDICT, BATCH, DRAWN, STROKES = "/predict", "/predict/batch", "/predict/canvas", "/predict/strokes"
AS_CANVAS = 'This is JSON: send it to /predict/canvas, as {"image": "<base64>"}.'
A_DRAWING = "This is a drawing in JSON: send it to /predict/canvas."
AS_BASE64 = 'This is base64: send it to /predict/canvas, as {"image": "<base64>"}, or the bytes that it stands for to /predict.'
AS_TENSOR = (
    "These are the numbers of a glyph: send them as a tensor to /v2/models/digits_uint8/infer, or as a picture to /predict."
)
AS_PICTURE = "This is a picture: send its bytes to /predict."
AS_INK = "This is ink as points: send it to /predict/strokes."
AS_PROTOCOL = "This is a request of the Open Inference Protocol: send it to /v2/models/digits/infer."
AS_FORM = (
    "This is a form, for /predict or /predict/batch; its Content-Type is multipart/form-data with the boundary, which HTTP "
    "libraries add by themselves."
)
AS_GZIP = "These bytes are gzip: send the picture as it is."

CSV = ",".join(map(str, FLAT)).encode()
DOORS: dict[str, tuple[str, bytes, str]] = {
    "JSON": (PREDICT, b'{"picture": "abc"}', AS_CANVAS),
    "a drawing in JSON": (PREDICT, json.dumps({"image": BASE64.decode()}).encode(), A_DRAWING),
    "JSON behind a byte order mark": (PREDICT, b"\xef\xbb\xbf\n[]", AS_CANVAS),
    "base64": (PREDICT, BASE64, AS_BASE64),
    "base64 of a JPEG": (PREDICT, base64.b64encode(encode(canvas(3), "JPEG")), AS_BASE64),
    "URL-safe base64 in quotes": (PREDICT, b'"' + base64.urlsafe_b64encode(DRAWING) + b'"', AS_BASE64),
    "a data URL": (PREDICT, URL, AS_BASE64),
    "a data URL in a form's field": (PREDICT, b"image=" + quote(URL).encode(), AS_BASE64),
    "base64 to the canvas": (DRAWN, BASE64, AS_BASE64),
    "a data URL to the canvas": (DRAWN, URL, AS_BASE64),
    "a picture to the canvas": (DRAWN, DRAWING, AS_PICTURE),
    "a large picture to the canvas": (DRAWN, encode(canvas(3, size=900), "BMP"), AS_PICTURE),
    "a picture to the strokes": (STROKES, DRAWING, AS_PICTURE),
    "a drawing to the strokes": (STROKES, json.dumps({"image": BASE64.decode()}).encode(), A_DRAWING),
    "a form to the canvas": (DRAWN, FORM, AS_FORM),
    "a form of another type": (PREDICT, FORM, AS_FORM),
    "strokes": (PREDICT, json.dumps({"strokes": ink(3)}).encode(), AS_INK),
    "strokes to the canvas": (DRAWN, json.dumps({"strokes": ink(3)}).encode(), AS_INK),
    "a compressed picture": (PREDICT, gzip.compress(DRAWING), AS_GZIP),
    "a tensor": (PREDICT, json.dumps(TENSOR).encode(), AS_PROTOCOL),
    "a tensor to the canvas": (DRAWN, json.dumps(TENSOR).encode(), AS_PROTOCOL),
} | {
    f"784 numbers {how} to {path}": (path, body, AS_TENSOR)
    for path in (PREDICT, DRAWN, STROKES)
    for how, body in {
        "in a list": json.dumps(FLAT).encode(),
        "in rows": json.dumps(GLYPH.tolist(), indent=1).encode(),
        "as fractions": json.dumps((GLYPH / 255).tolist()).encode(),
        "for an image": json.dumps({"image": FLAT}).encode(),
        "under another name": json.dumps({"shape": [28, 28], "instances": [FLAT]}).encode(),
        "in a line": CSV,
        "in bytes": GLYPH.astype(np.uint8).tobytes(),
    }.items()
}  # fmt: skip


@pytest.mark.parametrize(("path", "body", "told"), DOORS.values(), ids=DOORS.keys())
def test_an_error_names_the_endpoint_that_takes_the_body(client: TestClient, path: str, body: bytes, told: str) -> None:
    response = client.post(path, content=body)

    assert response.status_code in (400, 415, 422)
    assert response.json()["detail"].endswith(f". {told}")


PARTS = {name: (body, told) for name, (path, body, told) in DOORS.items() if path == PREDICT and told != AS_FORM}


@pytest.mark.parametrize(("body", "told"), PARTS.values(), ids=PARTS.keys())
def test_a_batch_part_of_the_wrong_kind_names_the_right_endpoint(client: TestClient, body: bytes, told: str) -> None:
    results = client.post(BATCH, files=[("files", body), ("files", DRAWING)]).json()["results"]

    assert results[0]["code"] == "unsupported-image"
    assert results[0]["detail"].endswith(f". {told}")
    assert results[1]["digit"] == 3


READ, READ_BATCH, READ_DRAWN = "/read", "/read/batch", "/read/canvas"
TO_READ = {
    "base64": (READ, BASE64, AS_BASE64),
    "a picture to the canvas": (READ_DRAWN, DRAWING, AS_PICTURE),
    "a drawing in JSON": (READ, json.dumps({"image": BASE64.decode()}).encode(), A_DRAWING),
    "a form of another type": (READ, FORM, AS_FORM),
    "numbers": (READ, CSV, AS_TENSOR),
}


@pytest.mark.parametrize(("path", "body", "told"), TO_READ.values(), ids=TO_READ.keys())
def test_who_asks_for_all_digits_is_led_to_where_all_are_read(client: TestClient, path: str, body: bytes, told: str) -> None:
    detail = client.post(path, content=body).json()["detail"]

    assert detail.endswith(f". {told.replace('/predict', '/read')}")


def test_so_is_who_mistakes_a_batch_for_a_picture(client: TestClient) -> None:
    posts = [
        client.post(READ_BATCH, content=DRAWING),
        client.post(READ, files=[("files", DRAWING)]),
        client.post(READ, files=[("file", DRAWING), ("file", DRAWING)]),
        client.post(READ_BATCH, files=[("file", DRAWING)]),
    ]
    one, field, several, batch = (post.json()["detail"] for post in posts)

    assert one.endswith("the bytes of one picture go to /read, and a drawing in JSON to /read/canvas.")
    assert field.endswith("in the field `file`, or call /read/batch.")
    assert several.endswith("or several in `files` to /read/batch.")
    assert batch.endswith("in the field `files`, or call /read.")


def test_a_batch_that_is_not_a_form_is_told_where_one_picture_goes(client: TestClient) -> None:
    detail = client.post(BATCH, content=DRAWING).json()["detail"]

    assert detail.startswith("Send multipart/form-data with files in fields `files`; the bytes of one picture go to /predict")


@pytest.mark.parametrize("body", [json.dumps(FLAT).encode(), CSV, DRAWING, b'{"image": "a"}', b'{"instances": []}'])
@pytest.mark.parametrize(("name", "shape"), [("digits", "FP32"), ("digits_uint8", "UINT8")])
def test_the_inference_protocol_shows_its_form(client: TestClient, body: bytes, name: str, shape: str) -> None:
    response = client.post(f"/v2/models/{name}/infer", content=body)

    example = {
        "FP32": '{"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 1, 28, 28], "data": […]}]}',
        "UINT8": '{"inputs": [{"name": "glyph", "datatype": "UINT8", "shape": [1, 28, 28], "data": […]}]}',
    }[shape]
    assert response.status_code == 400
    assert response.json()["error"].endswith(f"; send {example}. A picture goes to /predict.")


AT_HOME: dict[str, tuple[str, bytes, str]] = {
    "text": (PREDICT, b"seven", "The bytes are not a PNG, JPEG, "),
    "a wrong field": (DRAWN, b'{"img": "abc"}', "image: Field required; the object has `img`"),
    "a drawing of text": (DRAWN, json.dumps({"image": base64.b64encode(b"seven").decode()}).encode(), "The bytes are not"),
    "no base64": (DRAWN, b'{"image": "!"}', "The image is not valid base64"),
    "wrong strokes": (STROKES, b'{"strokes": 1}', "strokes: Input should be a valid array"),
    "a wrong field of strokes": (STROKES, b'{"points": 1}', "strokes: Field required"),
    "a damaged picture": (PREDICT, DRAWING[:200], "The PNG file is truncated or corrupt"),
}  # fmt: skip


@pytest.mark.parametrize(("path", "body", "told"), AT_HOME.values(), ids=AT_HOME.keys())
def test_the_right_endpoint_names_no_other(client: TestClient, path: str, body: bytes, told: str) -> None:
    detail = client.post(path, content=body).json()["detail"]

    assert detail.startswith(told)
    assert "send it to" not in detail
    assert "This is" not in detail


@pytest.mark.parametrize(
    ("path", "body", "advice"),
    [
        (PREDICT, b"seven", "Give the file itself, not its path, its address or a page that shows it."),
        ("/read", b"<html></html>", "Give the file itself, not its path, its address or a page that shows it."),
        (DRAWN, b"[]", 'Send {"image": "<base64>"}.'),
        ("/read/canvas", b'{"image": 5}', 'Send {"image": "<base64>"}.'),
        ("/predict/batch", b'{"image": "aGk="}', "and a drawing in JSON to /predict/canvas."),
        ("/read/batch", b'{"image": "aGk="}', "and a drawing in JSON to /read/canvas."),
    ],
)
def test_a_message_ends_with_what_to_send(client: TestClient, path: str, body: bytes, advice: str) -> None:
    assert client.post(path, content=body).json()["detail"].endswith(advice)


@pytest.mark.parametrize(
    ("query", "came"), [("include=all", '; it is "all"'), ("count=foo", '; it is "foo"'), ("count=0", '; it is "0"')]
)
def test_a_wrong_query_is_told_back(client: TestClient, query: str, came: str) -> None:
    assert client.post(f"/read?{query}", content=DRAWING).json()["detail"].endswith(came)


@given(
    st.binary(max_size=300), st.sampled_from([b"", b"[", b"{", b"data:", b"data%3A", b"image=", b"--", b'"', b"\xef\xbb\xbf"])
)
def test_any_bytes_may_come(data: bytes, head: bytes) -> None:
    for operation in ("predict", "predictCanvas", "predictStrokes", "predictBatch"):
        advise(head + data, operation, "digits")


def black(mode: str, kind: str) -> bytes:
    """A transparent canvas with black ink, as it leaves an encoder that knows no transparency."""
    drawn = canvas(3, ground=None)
    assert np.asarray(drawn)[..., :3].max() == 0
    file = io.BytesIO()
    drawn.convert(mode).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(("mode", "kind"), [("RGB", "JPEG"), ("L", "JPEG"), ("RGB", "PNG"), ("RGB", "WEBP")])
def test_a_transparent_canvas_that_became_black_is_explained(client: TestClient, mode: str, kind: str) -> None:
    data = black(mode, kind)
    answers: list[dict[str, Any]] = [
        client.post(PREDICT, content=data).json(),
        client.post(DRAWN, json={"image": f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"}).json(),
    ]

    for problem in answers:
        assert problem["code"] == "no-digit-found"
        assert problem["detail"] == (
            "The picture is black all over. A transparent canvas becomes black in a JPEG, and black ink on it vanishes: send a PNG, "
            "or fill the canvas with white first."
        )


def test_another_blank_picture_is_not_said_to_be_black(client: TestClient) -> None:
    for colour in ("white", "gray"):
        problem = client.post(PREDICT, content=encode(Image.new("RGB", (90, 90), colour), "JPEG")).json()
        assert (problem["code"], problem["detail"][:20]) == ("no-digit-found", "The picture is blank")
