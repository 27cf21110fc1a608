"""Requests that no HTTP library would send, over raw sockets: none smuggles another request or causes a 5xx."""

import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.settings import Settings
from app.web.connection import MAX_PIPELINED
from benchmarks.pictures import canvas, encode
from tests import plain_http
from tests.servers import halted, serving, wait_until_in_progress
from tests.versions import SHIPPED

DRAWING = encode(canvas(3))
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"  # the service answers it, if it sees it, with 404
LAST = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
DISPOSITION = b'Content-Disposition: form-data; name="file"; filename="a"\r\n'
LENGTH = b"Content-Length: %d" % len(DRAWING)
IN_CHUNKS = b"Transfer-Encoding: chunked"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(Settings(model_version=SHIPPED)) as port:
        yield port


def post(*headers: bytes, body: bytes = b"") -> bytes:
    return b"POST /predict HTTP/1.1\r\nHost: x\r\n" + b"".join(header + b"\r\n" for header in headers) + b"\r\n" + body


def chunked(data: bytes) -> bytes:
    return b"%x\r\n" % len(data) + data + b"\r\n0\r\n\r\n"


def form(body: bytes, boundary: bytes = b"x") -> bytes:
    return post(b"Content-Type: multipart/form-data; boundary=" + boundary, b"Content-Length: %d" % len(body), body=body)


def part(head: bytes = DISPOSITION, data: bytes = DRAWING) -> bytes:
    return b"--x\r\n" + head + b"\r\n" + data + b"\r\n"


def talk(port: int, sent: bytes) -> list[int]:
    """The statuses of all answers, until the service ends the connection."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        try:
            connection.sendall(sent)
            while data := connection.recv(65_536):
                received += data
        except (BrokenPipeError, ConnectionResetError):  # it was refused while it was being sent
            pass
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", received)]


AMBIGUOUS = {
    "length and chunks": post(b"Content-Length: 5", IN_CHUNKS, body=chunked(DRAWING)),
    "chunks and length": post(IN_CHUNKS, b"Content-Length: 5", body=chunked(DRAWING)),
    "two lengths": post(LENGTH, b"Content-Length: 5", body=DRAWING),
    "one length twice": post(LENGTH, LENGTH, body=DRAWING),
    "a list of lengths": post(b"Content-Length: 5, 5", body=b"abcde"),
    "a length with a sign": post(b"Content-Length: +5", body=b"abcde"),
    "a negative length": post(b"Content-Length: -5", body=b"abcde"),
    "a length in hexadecimal": post(b"Content-Length: 0x5", body=b"abcde"),
    "a length beyond 64 bits": post(b"Content-Length: 99999999999999999999999", body=b"abcde"),
    "a length in other digits": post("Content-Length: ٥".encode(), body=b"abcde"),
    "an unknown coding": post(b"Transfer-Encoding: xchunked", body=chunked(DRAWING)),
    "a coding behind chunks": post(b"Transfer-Encoding: chunked, identity", body=chunked(DRAWING)),
    "chunks twice": post(IN_CHUNKS, IN_CHUNKS, body=chunked(DRAWING)),
    "a space before the colon": post(b"Transfer-Encoding : chunked", body=chunked(DRAWING)),
    "a vertical tab": post(b"Transfer-Encoding: \x0bchunked", body=chunked(DRAWING)),
    "a chunk without a size": post(IN_CHUNKS, body=b"zz\r\nabc\r\n0\r\n\r\n"),
    "a chunk of negative size": post(IN_CHUNKS, body=b"-1\r\nabc\r\n0\r\n\r\n"),
    "a chunk beyond 64 bits": post(IN_CHUNKS, body=b"ffffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
    "a chunk without its end": post(IN_CHUNKS, body=b"%x\r\n" % len(DRAWING) + DRAWING + b"0\r\n\r\n"),
    "chunks ended by a line feed alone": post(IN_CHUNKS, body=b"%x\n" % len(DRAWING) + DRAWING + b"\n0\n\n"),
    "a length behind the chunks": post(IN_CHUNKS, body=chunked(DRAWING)[:-2] + b"Content-Length: 5\r\n\r\n"),
    "a folded header": post(b"X: a\r\n b", LENGTH, body=DRAWING),
    "a NUL in a header": post(b"X: a\0b", LENGTH, body=DRAWING),
    "a carriage return in a header": post(b"X: a\rContent-Length: 5", LENGTH, body=DRAWING),
    "lines ended by a line feed alone": post(LENGTH, body=DRAWING).replace(b"\r\n", b"\n"),
    "a line of another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(500),
    "a tunnel": b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "a path without end": b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("sent", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_an_ambiguous_request_is_refused_and_nothing_behind_it_is_served(port: int, sent: bytes) -> None:
    assert talk(port, sent + SMUGGLED) == [400]


HARMLESS = {
    "extensions of chunks": post(IN_CHUNKS, body=chunked(DRAWING).replace(b"\r\n", b";a=b\r\n", 1)),
    "chunks of a byte": post(IN_CHUNKS, body=b"".join(b"1\r\n%c\r\n" % byte for byte in DRAWING) + b"0\r\n\r\n"),
    "two thousand headers": post(*(b"X%d: a" % number for number in range(2_000)), LENGTH, body=DRAWING),
    "a boundary in quotes": form(part().replace(b"--x", b"--x y") + b"--x y--\r\n", b'"x y"'),
    "a boundary that should have quotes": form(part().replace(b"--x", b"--a=b/c@d") + b"--a=b/c@d--\r\n", b"a=b/c@d"),
    "a file's name that should have quotes": form(part(b"Content-Disposition: form-data; name=file; filename=\xc3\xa4 (1).png\r\n") + b"--x--\r\n"),
    "a form in a slow charset": form(part(data=b"a" * 900_000, head=b'Content-Disposition: form-data; name="a"\r\n') + part() + b"--x--\r\n", b"x; charset=punycode"),
    "a form in an odd charset": form(part() + b"--x--\r\n", b"x; charset=undefined"),
    "a file's name in Latin-1": form(part(b'Content-Disposition: form-data; name="file"; filename="\xe4"\r\n') + b"--x--\r\n"),
    "lines before the form": form(b"\r\n" * 1_000_000 + part() + b"--x--\r\n"),
    "lines behind the form": form(part() + b"--x--\r\n" + b"\r\n" * 1_000_000),
}  # fmt: skip


@pytest.mark.parametrize("sent", HARMLESS.values(), ids=HARMLESS.keys())
def test_an_odd_but_clear_request_is_answered_and_the_next_one_too(port: int, sent: bytes) -> None:
    assert talk(port, sent + LAST) == [200, 200]


FORMS = {
    "no boundary": form(part() + b"--x--\r\n", b""),
    "a boundary of 60,000 letters": form(b"--" + b"b" * 60_000 + b"\r\n" + DISPOSITION + b"\r\n", b"b" * 60_000),
    "a boundary beyond ASCII": form(part() + b"--x--\r\n", b"\xff\xfe"),
    "a boundary with a line's end": form(part() + b"--x--\r\n", b"x%0d%0aX: y"),
    "no end": form(part()),
    "words before the form": form(b"words " * 1_000 + part() + b"--x--\r\n"),
    "100,000 parts": form(part(data=b"a") * 100_000 + b"--x--\r\n"),
    "a part's header of a megabyte": form(part(b"X: " + b"a" * 1_000_000 + b"\r\n" + DISPOSITION) + b"--x--\r\n"),
    "a part of 100,000 headers": form(part(b"X: a\r\n" * 100_000 + DISPOSITION) + b"--x--\r\n"),
    "a part without a header": form(part(b"") + b"--x--\r\n"),
    "a part without a name": form(part(b'Content-Disposition: form-data; filename="a"\r\n') + b"--x--\r\n"),
    "a name in another charset": form(part(b"Content-Disposition: form-data; name*=idna''%ff%ff; filename=a\r\n") + b"--x--\r\n"),
    "a name in parts": form(part(b"Content-Disposition: form-data; name*0=fi; name*9999999999=le; filename=a\r\n") + b"--x--\r\n"),
    "a NUL in the name": form(part(b'Content-Disposition: form-data; name="fi\0le"; filename="a"\r\n') + b"--x--\r\n"),
    "a name that is not UTF-8": form(part(b'Content-Disposition: form-data; name="\xff\xfe"; filename="\xff"\r\n') + b"--x--\r\n"),
    "a quote that never closes": form(part(b'Content-Disposition: form-data; name="file; filename="a\r\n') + b"--x--\r\n"),
    "half a million semicolons": form(part(b"Content-Disposition: form-data" + b";" * 500_000 + b"\r\n") + b"--x--\r\n"),
    "a form within the form": form(part(b"Content-Type: multipart/mixed; boundary=y\r\n" + DISPOSITION, b"--y\r\n\r\n" + DRAWING + b"\r\n--y--") + b"--x--\r\n"),
    "60,000 semicolons in the type": post(b"Content-Type: multipart/form-data" + b";" * 60_000, b"Content-Length: 5", body=b"abcde"),
}  # fmt: skip


@pytest.mark.parametrize("sent", FORMS.values(), ids=FORMS.keys())
def test_a_malformed_form_is_the_senders_fault_and_the_next_request_is_answered(port: int, sent: bytes) -> None:
    first, *others = talk(port, sent + LAST)

    assert first in (400, 415, 422)
    assert others == ([] if first == 400 else [200])


PATHS = [
    "/%00",
    "/%ff%fe",
    "/static-offline-docs/%00",
    "/static-offline-docs/" + "a" * 5_000,
    "/static-offline-docs/..%2f..%2f..%2fetc/passwd",
]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:40])
def test_an_odd_path_is_not_found(port: int, path: str) -> None:
    assert talk(port, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()) == [404]


HEADS = {
    "a header of ten megabytes": post(b"X: " + b"a" * 10_000_000, LENGTH, body=DRAWING),
    "100,000 headers": post(*(b"X%d: a" % number for number in range(100_000)), LENGTH, body=DRAWING),
    "a header without end": b"POST /predict HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 1_000_000,
}


@pytest.mark.parametrize("sent", HEADS.values(), ids=HEADS.keys())
def test_a_head_has_a_limit(port: int, sent: bytes) -> None:
    assert talk(port, sent) in ([400], [])  # the answer is lost where the client is still sending


def test_trailers_have_a_limit(port: int) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"%x\r\n%s\r\n0\r\n" % (len(DRAWING), DRAWING)

    assert talk(port, head + body + b"a: b\r\n" * 10 + b"\r\n" + LAST) == [200, 200]
    assert 200 not in talk(port, head + body + b"a: b\r\n" * 500_000)


def test_a_body_is_never_taken_for_headers(port: int) -> None:
    picture = DRAWING + bytes(1_000_000)
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"

    assert talk(port, head + b"Content-Length: %d\r\n\r\n%s" % (len(picture), picture) + LAST)[-1] == 200


def test_some_requests_may_be_sent_ahead_but_not_any_number(port: int) -> None:
    request = LAST.replace(b"Connection: close\r\n", b"")

    assert talk(port, request * MAX_PIPELINED + LAST) == [200] * (MAX_PIPELINED + 1)
    assert talk(port, request * 10_000).count(200) <= MAX_PIPELINED + 1


NEXT = LAST.replace(b"Connection: close\r\n", b"")
BAD = {
    "no host": NEXT.replace(b"Host: x\r\n", b""),
    "not HTTP": b"\0\0\0\0\r\n\r\n",
    "a head too large": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000,
    "a bad body": post(IN_CHUNKS, body=b"zz\r\nabc\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("good", [1, 3])
def test_a_bad_request_is_refused_behind_the_answers_to_those_before_it(
    good: int, bad: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = post(LENGTH, body=DRAWING)
    with halted(monkeypatch) as go_on, serving(Settings(model_version=SHIPPED)) as port, ThreadPoolExecutor(1) as pool:
        answers = pool.submit(talk, port, request * good + bad + SMUGGLED)
        wait_until_in_progress(f"http://127.0.0.1:{port}", 1)
        go_on.set()

        assert answers.result() == [200] * good + [400]


def test_a_request_too_many_is_refused_behind_the_answers_to_those_before_it(port: int) -> None:
    assert talk(port, NEXT * (MAX_PIPELINED + 2)) == [200] * (MAX_PIPELINED + 1) + [400]


def test_a_thousand_idle_connections_and_clients_that_never_read_keep_nobody_from_an_answer(port: int) -> None:
    idle = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(1_000)]
    deaf = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(10)]
    try:
        for connection in deaf:
            connection.sendall(LAST.replace(b"Connection: close\r\n", b"") * MAX_PIPELINED)
        answers = [
            plain_http.post(f"http://127.0.0.1:{port}/predict", content=DRAWING, timeout=60).json()["digit"] for _ in range(5)
        ]
    finally:
        for connection in idle + deaf:
            connection.close()

    assert answers == [3] * 5
