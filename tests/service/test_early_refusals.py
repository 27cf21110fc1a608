"""A body that is too long is refused while it is being sent, or before it is."""

import json
import socket

import pytest

from app.settings import Settings
from tests.servers import receive, serving

LIMITS = Settings(max_upload_bytes=20_000)


@pytest.mark.parametrize("chunked", [False, True], ids=["length declared", "chunked"])
def test_an_early_refusal_reaches_a_client_that_is_still_sending(chunked: bool) -> None:
    body = bytes(8_000_000)
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    with serving(LIMITS) as port, socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n{length}\r\n\r\n".encode())
        if chunked:
            connection.sendall(b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n")
        else:
            connection.sendall(body)
        head, rest = receive(connection)

    assert head.startswith(b"HTTP/1.1 413 ")
    assert json.loads(rest)["code"] == "upload-too-large"


def test_nothing_is_read_past_a_declared_length() -> None:
    with serving(LIMITS) as port, socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\nExpect: 100-continue\r\n\r\n")
        head, _ = receive(connection)

    assert head.startswith(b"HTTP/1.1 413 ")  # and not 100, which would ask for the body
