"""The service that the clients call, and one that first refuses."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from app.settings import Settings
from tests.servers import serving
from tests.versions import SHIPPED

Refusal = tuple[int, dict[str, str]]  # status and headers


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Where the service with the shipped model listens."""
    with serving(Settings(model_version=SHIPPED, cors_origins=["*"])) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def refusing(refusals: Sequence[Refusal], body: bytes = b"") -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers with each refusal in turn and then with a digit: its address, and the bodies that it got."""
    waiting, bodies = list(refusals), list[bytes]()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            answer = body if waiting else json.dumps({"digit": 3}).encode()
            status, headers = waiting.pop(0) if waiting else (200, {})
            self.send_response(status)
            for name, value in {"Content-Length": str(len(answer)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", bodies
        finally:
            server.shutdown()
            thread.join()
