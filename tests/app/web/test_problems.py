"""Every bad input gets its own problem+json, and never a 500."""

import base64
import gzip
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.reading import batch
from app.reading.decode.fast_decoders import PngHeader, read_png_header
from app.settings import Settings
from app.web.application import create_app
from app.web.problems import describe
from benchmarks.pictures import canvas, encode
from tests.app.reading.decode.test_picture import lying_png
from tests.conftest import STUB_METADATA, MakeStore

DRAWING = encode(canvas(3))
LIMITS = Settings(max_upload_bytes=20_000, max_pixels=100_000, max_batch_files=3, max_batch_bytes=30_000)
FORM = "multipart/form-data; boundary=x"


@pytest.fixture(scope="module")
def tight() -> Iterator[TestClient]:
    """The service with small limits; what it raises becomes its answer."""
    with TestClient(create_app(LIMITS), raise_server_exceptions=False) as client:
        yield client


def part(name: str, data: bytes, filename: str | None = "a.png") -> bytes:
    disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename else "")
    return f"--x\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + data + b"\r\n"


def form(*parts: bytes) -> dict[str, Any]:
    return {"content": b"".join(parts) + b"--x--\r\n", "headers": {"Content-Type": FORM}}


def drawing(image: object) -> dict[str, Any]:
    return {"json": {"image": image}}


def compressed(data: bytes) -> dict[str, Any]:
    return {"content": gzip.compress(data), "headers": {"Content-Type": FORM, "Content-Encoding": "gzip"}}


BAD: dict[str, tuple[str, dict[str, Any], int, str]] = {
    "an empty body": ("/predict", {"content": b""}, 422, "invalid-request"),
    "a form without a file": ("/predict", form(), 422, "invalid-request"),
    "a form with another field": ("/predict", form(part("picture", DRAWING)), 422, "invalid-request"),
    "text in a part without a file's name": ("/predict", form(part("file", b"seven", None)), 415, "unsupported-image"),
    "an empty file": ("/predict", form(part("file", b"")), 422, "invalid-request"),
    "a form without a boundary": ("/predict", {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 422, "invalid-request"),
    "two files at once": ("/predict", form(part("file", DRAWING), part("file", DRAWING)), 422, "invalid-request"),
    "text that begins like a bitmap": ("/predict", {"content": b"BMW is no picture, nor is this sentence"}, 415, "unsupported-image"),
    "a compressed body": ("/predict", compressed(DRAWING), 415, "unsupported-encoding"),
    "a compressed form": ("/predict", compressed(part("file", DRAWING) + b"--x--\r\n") , 415, "unsupported-encoding"),
    "a compressed canvas": ("/predict/canvas", compressed(b"{}"), 415, "unsupported-encoding"),
    "a compressed batch": ("/predict/batch", compressed(part("files", DRAWING) + b"--x--\r\n"), 415, "unsupported-encoding"),
    "a bomb of zeros": ("/predict", compressed(bytes(10_000_000)), 415, "unsupported-encoding"),
    "an odd encoding": ("/predict", {"content": DRAWING, "headers": {"Content-Encoding": "x" * 999}}, 415, "unsupported-encoding"),
    "a malformed form": ("/predict", {"content": b"--y\r\nno", "headers": {"Content-Type": FORM}}, 422, "invalid-request"),
    "a form that breaks off": ("/predict", {"content": part("file", DRAWING)[:-9], "headers": {"Content-Type": FORM}}, 422, "invalid-request"),
    "a form of many fields": ("/predict", form(*(part(f"f{i}", b"x", None) for i in range(99))), 422, "invalid-request"),
    "an unknown include": ("/predict?include=everything", {"content": DRAWING}, 422, "invalid-request"),
    "text": ("/predict", {"content": b"seven"}, 415, "unsupported-image"),
    "text in a form": ("/predict", form(part("file", b"seven")), 415, "unsupported-image"),
    "a truncated picture": ("/predict", {"content": DRAWING[: len(DRAWING) // 2]}, 422, "unreadable-image"),
    "a blank picture": ("/predict", {"content": encode(canvas(3, ink=(255, 255, 255)))}, 422, "no-digit-found"),
    "too many bytes": ("/predict", {"content": bytes(20_001)}, 413, "upload-too-large"),
    "too many bytes in chunks": ("/predict", {"content": iter([bytes(9_000)] * 3)}, 413, "upload-too-large"),
    "too many bytes in a form": ("/predict", form(part("file", bytes(20_001))), 413, "upload-too-large"),
    "far too many bytes in a form": ("/predict", form(part("file", bytes(2_000_000))), 413, "upload-too-large"),
    "too many pixels": ("/predict", {"content": lying_png(1000, 101)}, 413, "image-too-large"),
    "a bomb": ("/predict", {"content": lying_png(60_000, 60_000)}, 413, "image-too-large"),
    "another method": ("/model", {}, 405, "method-not-allowed"),
    "another path": ("/nope", {}, 404, "not-found"),
    "no JSON": ("/predict/canvas", {"content": b"{"}, 422, "invalid-request"),
    "JSON that is not an object": ("/predict/canvas", {"json": [1]}, 422, "invalid-request"),
    "JSON of depth": ("/predict/canvas", {"content": b"[" * 10_000}, 422, "invalid-request"),
    "no UTF-8": ("/predict/canvas", {"content": b'{"image": "\xff"}'}, 422, "invalid-request"),
    "no image in the JSON": ("/predict/canvas", {"json": {}}, 422, "invalid-request"),
    "an empty canvas body": ("/predict/canvas", {"content": b""}, 422, "invalid-request"),
    "a number for an image": ("/predict/canvas", drawing(7), 422, "invalid-request"),
    "an empty image": ("/predict/canvas", drawing(""), 422, "invalid-request"),
    "an image of spaces": ("/predict/canvas", drawing("  \n "), 422, "invalid-request"),
    "a data URL of nothing": ("/predict/canvas", drawing("data:image/png;base64,"), 422, "invalid-request"),
    "no base64": ("/predict/canvas", drawing("§§§§"), 400, "invalid-base64"),
    "base64 of an impossible length": ("/predict/canvas", drawing("abcde"), 400, "invalid-base64"),
    "a data URL without base64": ("/predict/canvas", drawing("data:image/svg+xml,<svg/>"), 400, "invalid-base64"),
    "the data URL of an empty canvas": ("/predict/canvas", drawing("data:,"), 400, "invalid-base64"),
    "base64 of text": ("/predict/canvas", drawing(base64.b64encode(b"seven").decode()), 415, "unsupported-image"),
    "base64 of too many bytes": ("/predict/canvas", drawing(base64.b64encode(bytes(20_001)).decode()), 413, "upload-too-large"),
    "a canvas body without end": ("/predict/canvas", drawing("A" * 2_000_000), 413, "upload-too-large"),
    "a batch that is not a form": ("/predict/batch", {"content": DRAWING}, 422, "invalid-request"),
    "an empty batch": ("/predict/batch", form(), 422, "invalid-request"),
    "a batch under another name": ("/predict/batch", form(part("file", DRAWING)), 422, "invalid-request"),
    "too many pictures in a batch": ("/predict/batch", form(*[part("files", DRAWING)] * 4), 422, "invalid-request"),
    "too many bytes in a batch": ("/predict/batch", form(part("files", bytes(1_100_000))), 413, "upload-too-large"),
}  # fmt: skip


@pytest.mark.parametrize(("path", "request_", "status", "code"), BAD.values(), ids=BAD.keys())
def test_bad_input_gets_its_problem(tight: TestClient, path: str, request_: dict[str, Any], status: int, code: str) -> None:
    response = tight.post(path, **request_)

    problem = response.json()
    assert (response.status_code, problem["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert list(problem) == ["type", "title", "status", "detail", "code", "request_id"]
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["x-request-id"]
    assert len(problem["detail"]) > 10
    assert "Traceback" not in response.text


def test_a_wrong_method_names_the_right_one(tight: TestClient) -> None:
    assert tight.delete("/model").headers["allow"] == "GET"


def test_a_compressed_body_is_refused_by_the_name_of_its_encoding(tight: TestClient) -> None:
    bodies = {"/predict": DRAWING, "/v2/models/digits/infer": b"{}"}
    refused = [tight.post(path, content=body, headers={"Content-Encoding": "GZIP"}) for path, body in bodies.items()]

    detail = "The body's Content-Encoding is `GZIP`; send it uncompressed, without that header."
    assert [response.status_code for response in refused] == [415, 415]
    assert [response.headers["accept-encoding"] for response in refused] == ["identity", "identity"]
    assert refused[0].json()["detail"] == refused[1].json()["error"] == detail
    assert tight.post("/predict", content=DRAWING, headers={"Content-Encoding": "Identity"}).json()["digit"] == 3


def test_a_picture_over_the_limit_of_a_batch_is_that_pictures_problem(tight: TestClient) -> None:
    results = tight.post("/predict/batch", **form(part("files", bytes(20_001)), part("files", DRAWING))).json()["results"]

    assert results[0]["code"] == "upload-too-large"
    assert results[1]["digit"] == 3


def test_a_fault_in_one_picture_of_a_batch_harms_no_other(tight: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_once(data: bytes) -> PngHeader | None:
        if data == b"bad":
            raise MemoryError
        return read_png_header(data)

    monkeypatch.setattr(batch, "read_png_header", fail_once)

    results = tight.post("/predict/batch", **form(part("files", b"bad"), part("files", DRAWING))).json()["results"]

    assert [result.get("code", result.get("digit")) for result in results] == ["internal-error", 3]


def test_problems_are_logged_under_their_request_id(tight: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    tight.post("/predict", content=b"text", headers={"X-Request-ID": "find-me"})

    assert any("find-me" in line and "unsupported-image" in line for line in capsys.readouterr().err.splitlines())


def test_an_internal_error_reveals_no_details(tight: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(batch, "read_png_header", fail)

    response = tight.post("/predict", content=DRAWING, headers={"X-Request-ID": "my-id"})

    assert (response.status_code, response.json()["code"]) == (500, "internal-error")
    assert response.json()["request_id"] == response.headers["x-request-id"] == "my-id"
    assert response.headers["content-type"] == "application/problem+json"
    assert "secret" not in response.text


@pytest.mark.parametrize("given", ["abc-1.2_3", "x" * 128])
def test_a_valid_request_id_is_kept(client: TestClient, given: str) -> None:
    assert client.get("/health/live", headers={"X-Request-ID": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb"])
def test_an_odd_request_id_is_replaced(client: TestClient, given: str) -> None:
    identity = client.get("/health/live", headers={"X-Request-ID": given}).headers["x-request-id"]

    assert identity != given
    assert len(identity) == 32


def test_before_the_model_is_loaded_the_service_is_not_ready() -> None:
    client = TestClient(create_app(Settings()))  # its lifespan does not run

    for response in (client.get("/health/ready"), client.post("/predict", content=DRAWING), client.get("/model")):
        assert (response.status_code, response.json()["code"]) == (503, "not-ready")
        assert response.headers["retry-after"] == "1"
    assert client.get("/health/live").status_code == 200


def test_an_unsure_answer_is_not_accepted_and_says_so(make_store: MakeStore) -> None:
    settings = Settings(model_store=make_store(logits=(0,) * 10))
    with TestClient(create_app(settings)) as client:
        body = client.post("/predict", content=DRAWING).json()

    assert body["accepted"] is False
    assert body["confidence"] == pytest.approx(0.1)
    assert body["warnings"] == [
        {"code": "low-confidence", "value": 0.1, "detail": "The confidence is 0.1, below the model's threshold of 0.5."}
    ]


def test_ink_unlike_a_digit_is_not_accepted_and_says_so(make_store: MakeStore) -> None:
    settings = Settings(model_store=make_store(STUB_METADATA.model_copy(update={"least_energy": 10.0})))
    with TestClient(create_app(settings)) as client:
        body = client.post("/predict", content=DRAWING).json()

    assert (body["digit"], body["accepted"]) == (3, False)
    assert [(warning["code"], warning["value"]) for warning in body["warnings"]] == [
        ("unlike-a-digit", pytest.approx(9.0011, abs=1e-3))
    ]


def test_a_wrong_value_is_told_with_what_it_should_be() -> None:
    errors = [
        {"type": "value_error", "loc": ("truth",), "msg": "Value error, give a digit", "input": "x"},
        {"type": "greater_than", "loc": ("width",), "msg": "Input should be greater than 0", "input": 0},
        {"type": "too_short", "loc": (), "msg": "List should have at least 1 item after validation, not 0", "input": []},
        {"type": "value_error", "loc": ("text",), "msg": "Value error, too long", "input": "x" * 1_000},
    ]

    assert describe(errors) == (
        'truth: give a digit; it is "x"; width: Input should be greater than 0; it is 0; '
        "body: List should have at least 1 item, not 0; text: too long"
    )
