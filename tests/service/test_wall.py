"""A picture that harms its decoder gets a 4xx with a code, and delays nobody else."""

import json
import os
import signal
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import httpx2
import pytest

from app.settings import Settings
from benchmarks.pictures import canvas, encode, photo
from tests import plain_http
from tests.fuzz.nasty import bmp, png
from tests.servers import decoders_of, serving, wait_until_in_progress
from tests.service.attack import many_keys, nested_json

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="decoder processes are Linux's")

DRAWING, PHOTO = encode(canvas(3)), encode(photo(3), "JPEG")
SLOW = bmp(3_000, 3_000, 8, 1, b"\1\0" * 9_000_000)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A service with two decoders and tight limits on memory and time."""
    with serving(Settings(decoder_processes=2, decoder_bytes=64 * 2**20, decoder_seconds=2, deadline_seconds=100)) as port:
        yield f"http://127.0.0.1:{port}"


def post(url: str, data: bytes) -> httpx2.Response:
    return plain_http.post(f"{url}/predict", content=data, timeout=100)


def drawn(data: bytes) -> bytes:
    return json.dumps({"image": b64encode(data).decode()}).encode()


@pytest.mark.parametrize(
    ("data", "seconds", "code"),
    [(SLOW, 1, "decoding-timed-out"), (png(7_000, 7_000, colour=6), 100, "decoding-out-of-memory")],
    ids=["time", "memory"],
)
def test_a_picture_beyond_a_limit_gets_the_code_of_that_limit(data: bytes, seconds: float, code: str) -> None:
    with serving(Settings(decoder_bytes=64 * 2**20, decoder_seconds=seconds, deadline_seconds=100)) as port:
        response = post(f"http://127.0.0.1:{port}", data)
        answer = post(f"http://127.0.0.1:{port}", PHOTO).json()

    assert (response.status_code, response.json()["code"]) == (422, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert answer["digit"] == 3


@pytest.mark.parametrize("path", ["/predict", "/predict/canvas"])
def test_while_decoders_are_busy_a_drawing_is_answered_at_once(url: str, path: str) -> None:
    body = SLOW if path == "/predict" else drawn(SLOW)
    with ThreadPoolExecutor(4) as pool:
        slow: list[Future[httpx2.Response]] = [
            pool.submit(plain_http.post, f"{url}{path}", content=body, timeout=100) for _ in range(4)
        ]  # two for each decoder
        wait_until_in_progress(url, 4)
        answered = [post(url, DRAWING), plain_http.post(f"{url}/predict/canvas", content=drawn(DRAWING), timeout=100)]
        under_way = [each for each in slow if not each.done()]
        codes = [each.result().json()["code"] for each in slow]

    assert [answer.json()["digit"] for answer in answered] == [3, 3]
    assert under_way  # the drawings did not wait for all of them
    assert codes == ["decoding-timed-out"] * 4


def test_a_photo_waits_for_a_decoder_and_is_answered(url: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        slow = [pool.submit(post, url, SLOW) for _ in range(2)]
        wait_until_in_progress(url, 2)
        assert post(url, PHOTO).json()["digit"] == 3
        assert [each.result().status_code for each in slow] == [422, 422]


def test_one_bad_picture_of_a_batch_does_not_harm_the_others(url: str) -> None:
    files = [("files", ("a", data)) for data in (DRAWING, SLOW, PHOTO)]

    results = plain_http.post(f"{url}/predict/batch", files=files, timeout=100).json()["results"]

    assert [result.get("digit", result.get("code")) for result in results] == [3, "decoding-timed-out", 3]


def test_a_batch_of_heavy_pictures_does_not_hold_up_a_photo(url: str) -> None:
    heavy = png(3_500, 3_500, colour=2)
    files = [("files", ("a", heavy))] * 20
    with ThreadPoolExecutor(1) as pool:
        batch = pool.submit(plain_http.post, f"{url}/predict/batch", files=files, timeout=600)
        while "numeral_queue_depth 0.0\n" in plain_http.get(f"{url}/metrics", timeout=60).text:  # its pictures do not wait yet
            assert not batch.done()
            time.sleep(0.01)
        assert post(url, PHOTO).json()["digit"] == 3
        assert not batch.done()
        assert batch.result().status_code in (200, 504)


@pytest.mark.parametrize("body", [nested_json(), many_keys()], ids=["nested", "of many names"])
def test_json_of_megabytes_is_refused_before_it_is_parsed(url: str, body: bytes) -> None:
    began = time.process_time()  # CPU time of service and client, so that a busy machine does not matter

    response = plain_http.post(f"{url}/predict/canvas", content=body, timeout=100)

    assert (response.status_code, response.json()["code"]) == (422, "invalid-request")
    assert time.process_time() - began < 2


def test_a_picture_whose_request_has_expired_no_longer_occupies_a_decoder() -> None:
    settings = Settings(decoder_processes=1, decoder_seconds=1_000, deadline_seconds=1)
    others = set(decoders_of(os.getpid()))
    with serving(settings) as port:
        url = f"http://127.0.0.1:{port}"
        (decoder,) = set(decoders_of(os.getpid())) - others
        os.kill(decoder, signal.SIGSTOP)  # it would take for ever
        expired = plain_http.post(f"{url}/predict", content=PHOTO, timeout=60)
        until = time.monotonic() + 60
        while decoder in decoders_of(os.getpid()) and time.monotonic() < until:
            time.sleep(0.05)
        answer = plain_http.post(f"{url}/predict", content=PHOTO, timeout=60).json()

    assert (expired.status_code, expired.json()["code"]) == (504, "deadline-exceeded")
    assert answer["digit"] == 3
