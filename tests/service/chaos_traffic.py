"""The clients of tests/service/chaos.py: each sends one kind of request, now and then, and notes what comes of it.

A user keeps its connection for some requests and then opens another, which either worker may accept. Nothing is sent twice:
a request whose connection breaks is noted with the local port of that connection.
"""

import asyncio
import base64
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from benchmarks.pictures import canvas, encode, photo
from tests.fuzz.nasty import CHEAP, HURTFUL

PATIENCE = 60.0  # seconds for an answer; more than any deadline of the service
KEPT = 8  # requests on one connection
HUNG_UP = "hung up"  # the outcome of a request that its own client broke off


def post(path: str, body: bytes, kind: str = "application/octet-stream") -> bytes:
    """The bytes of a POST."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def get(path: str) -> bytes:
    """The bytes of a GET."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def form(pictures: list[bytes], name: str) -> bytes:
    """A form with these files."""
    parts = (f'--x\r\nContent-Disposition: form-data; name="{name}"; filename="a"\r\n\r\n'.encode() + each for each in pictures)
    return b"\r\n".join(parts) + b"\r\n--x--\r\n"


@dataclass(frozen=True)
class Kind:
    """A kind of request, the seconds between two of them, and the outcomes that are right: a status, with its code if it fails.

    sent: the share of its bytes that is sent before the client hangs up; 1 for clients that wait for the answer.
    """

    request: bytes
    period: float
    expected: frozenset[str] = frozenset({"200"})
    sent: float = 1.0


def make_kinds() -> Mapping[str, Kind]:
    """Good and bad requests, some 20 a second in all."""
    drawing, jpeg, large = encode(canvas(3)), encode(photo(3), "JPEG"), encode(photo(3).resize((4000, 3000)), "JPEG")
    canvas_json = json.dumps({"image": base64.b64encode(drawing).decode()}).encode()
    glyph = {"inputs": [{"name": "glyph", "datatype": "UINT8", "shape": [1, 28, 28], "data": [0] * 784}]}
    multipart = "multipart/form-data; boundary=x"

    def only(*outcomes: str) -> frozenset[str]:
        return frozenset(outcomes)

    return {
        "drawing in a form": Kind(post("/predict", form([drawing], "file"), multipart), 0.25),
        "drawing in JSON": Kind(post("/predict/canvas", canvas_json, "application/json"), 0.33),
        "photo": Kind(post("/predict", jpeg), 0.5),
        "another photo": Kind(post("/predict", encode(photo(7), "WEBP")), 0.5),
        "photo of 12 megapixels": Kind(post("/predict", large), 4.0),
        "batch": Kind(post("/predict/batch", form([drawing, jpeg] * 3, "files"), multipart), 2.0),
        "glyph": Kind(post("/v2/models/digits_uint8/infer", json.dumps(glyph).encode(), "application/json"), 0.5),
        "health": Kind(get("/health/ready"), 0.5),
        "model": Kind(get("/model"), 1.0),
        "metrics": Kind(get("/metrics"), 5.0),
        "models": Kind(get("/models"), 2.0, only("200", "503 overloaded")),  # they are in the database that is locked at times
        "no picture": Kind(post("/predict", b"no picture"), 1.0, only("415 unsupported-image")),
        "cut photo": Kind(post("/predict", jpeg[: len(jpeg) // 8]), 1.0, only("422 unreadable-image", "200")),
        "picture that takes too long": Kind(
            post("/predict", HURTFUL["bmp of one-pixel runs"]()), 30.0, only("422 decoding-timed-out")
        ),
        "too many pixels": Kind(post("/predict", CHEAP["png bomb over the limit"]()), 2.0, only("413 image-too-large")),
        "not JSON": Kind(post("/predict/canvas", b'{"image": [', "application/json"), 2.0, only("422 invalid-request")),
        "no form": Kind(post("/predict/batch", b"--x", multipart), 2.0, only("422 invalid-request")),
        "nowhere": Kind(get("/nowhere"), 2.0, only("404 not-found")),
        "hung up within the picture": Kind(post("/predict", jpeg), 2.0, only(HUNG_UP), 0.5),
        "hung up before the answer": Kind(post("/predict", large), 5.0, only(HUNG_UP), 0.999),
    }


@dataclass
class Seen:
    """What came of all requests: outcomes by kind, and of each broken connection the kind, when (monotonic), and its port."""

    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    broken: list[tuple[str, float, int]] = field(default_factory=list)

    def add(self, kind: str, outcome: str) -> None:
        """Notes an outcome."""
        self.outcomes.setdefault(kind, Counter())[outcome] += 1

    @property
    def requests(self) -> int:
        """How many were sent."""
        return sum(counts.total() for counts in self.outcomes.values()) + len(self.broken)


class Connection:
    """One connection to the service."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.port: int = writer.get_extra_info("sockname")[1]
        self.left = KEPT

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """A new connection."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, kind: Kind) -> str:
        """Sends a request and returns its outcome.

        Raises:
            OSError, EOFError: the connection broke.
        """
        self.left -= 1
        if kind.sent < 1:
            self._writer.write(kind.request[: int(len(kind.request) * kind.sent)])
            await self._writer.drain()
            self.left = 0
            return HUNG_UP
        self._writer.write(kind.request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
        body = await self._reader.readexactly(length)
        if b"connection: close" in head:
            self.left = 0
        return _outcome(int(head[9:12]), body if b"json" in head else b"{}")

    @property
    def is_closed(self) -> bool:
        """Whether the service has closed it, as when its worker was killed while nothing was asked."""
        return self._reader.at_eof() or self._reader.exception() is not None

    def close(self) -> None:
        """Closes the connection."""
        self._writer.close()


def _outcome(status: int, body: bytes) -> str:
    """The status, with the code of a problem, or of the first problem of a batch."""
    answer = json.loads(body)
    answers = [answer, *answer.get("results", ())] if isinstance(answer, dict) else []
    codes = [each["code"] for each in answers if "code" in each]
    return " ".join([str(status), *codes[:1]])


async def use(port: int, name: str, kind: Kind, seen: Seen, over: asyncio.Event) -> None:
    """A user: sends requests of one kind until it is over."""
    connection: Connection | None = None
    due = time.monotonic() + random.uniform(0, kind.period)
    while not await _passes(over, due - time.monotonic()):
        due = max(due + kind.period, time.monotonic())
        try:
            async with asyncio.timeout(PATIENCE):
                if connection is None or connection.is_closed:
                    connection = await Connection.open(port)
                seen.add(name, await connection.ask(kind))
        except TimeoutError:
            seen.add(name, "no answer")
        except (OSError, EOFError):
            seen.broken.append((name, time.monotonic(), connection.port if connection else 0))
        else:
            if connection.left > 0:
                continue
        if connection:
            connection.close()
        connection = None
    if connection:
        connection.close()


async def _passes(over: asyncio.Event, seconds: float) -> bool:
    """Whether it is over within so many seconds."""
    with suppress(TimeoutError):
        await asyncio.wait_for(over.wait(), max(0.0, seconds))
    return over.is_set()


async def use_all(port: int, kinds: Mapping[str, Kind], seen: Seen, ends: Callable[[], object]) -> None:
    """One user of each kind, until ends returns."""
    over = asyncio.Event()
    async with asyncio.TaskGroup() as users:
        for name, kind in kinds.items():
            users.create_task(use(port, name, kind, seen, over))
        await asyncio.to_thread(ends)
        over.set()
