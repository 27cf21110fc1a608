"""A small HTTP client that loads a server, with a closed loop of connections or an open loop of constant arrivals."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np

BOUNDARY = "numeral"
GIVE_UP = 30.0  # seconds for an answer
MOST_OPEN = 2_000  # connections of an open loop


@dataclass
class Load:
    """What a load saw: answers by status (0 where the connection broke), seconds from sending to the answer, and CPU time.

    latencies: by status; an open loop counts from when the request was due, so that waiting is not left out. late: those of
    the answers, by status, that came when an open loop had stopped sending, after these seconds.
    """

    seconds: float = 0
    client_cpu: float = 0
    latencies: dict[int, list[float]] = field(default_factory=dict)
    late: Counter[int] = field(default_factory=Counter)

    def add(self, status: int, latency: float) -> None:
        """Notes an answer."""
        self.latencies.setdefault(status, []).append(latency)

    @property
    def statuses(self) -> Counter[int]:
        """Answers by status."""
        return Counter({status: len(values) for status, values in self.latencies.items()})

    def rate(self, status: int = 200) -> float:
        """Answers of this status a second, without those that were late: a queue that is emptied at the end is no rate."""
        return (self.statuses[status] - self.late[status]) / self.seconds

    def percentile(self, percent: float, status: int = 200) -> float:
        """Of the latencies, in milliseconds; not a number where there are none."""
        values = self.latencies.get(status)
        return 1000 * float(np.percentile(values, percent)) if values else float("nan")


def post(path: str, body: bytes, content_type: str) -> bytes:
    """The bytes of a POST."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def post_file(path: str, data: bytes, name: str = "file", times: int = 1) -> bytes:
    """The bytes of a POST of multipart/form-data, with the same file so many times."""
    part = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="digit.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    ).encode() + data
    body = b"\r\n".join([part] * times) + f"\r\n--{BOUNDARY}--\r\n".encode()
    return post(path, body, f"multipart/form-data; boundary={BOUNDARY}")


def get(path: str) -> bytes:
    """The bytes of a GET."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


class Connection(asyncio.Protocol):
    """One connection that is kept; asks one thing at a time."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._waiting: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Ends what waits with status 0."""
        self._transport = None
        self._answer(0)

    def data_received(self, data: bytes) -> None:
        """Collects until the answer is whole."""
        self._received += data
        head, found, body = bytes(self._received).partition(b"\r\n\r\n")
        if found and _is_whole(head.lower(), body):
            self._received.clear()
            self._answer(int(head[9:12]))
            if b"connection: close" in head.lower() and self._transport:
                self._transport.close()

    def _answer(self, status: int) -> None:
        if self._waiting and not self._waiting.done():
            self._waiting.set_result(status)

    @property
    def is_open(self) -> bool:
        """Whether it can be asked."""
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: bytes) -> int:
        """The status of the answer, 0 where the connection broke or nothing came."""
        if not self._transport:
            return 0
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            async with asyncio.timeout(GIVE_UP):
                return await self._waiting
        except TimeoutError:
            self.close()
            return 0

    def close(self) -> None:
        """Ends the connection."""
        if self._transport:
            self._transport.abort()


def _is_whole(head: bytes, body: bytes) -> bool:
    _, found, rest = head.partition(b"content-length:")
    if found:
        return len(body) >= int(rest.split(b"\r\n", 1)[0])
    return b"transfer-encoding: chunked" not in head or body.endswith(b"0\r\n\r\n")


async def connect(port: int) -> Connection:
    """An open connection."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection


def closed_loop(port: int, request: bytes, connections: int, seconds: float) -> Load:
    """Each of the connections asks again as soon as it is answered."""
    return closed_loops(port, [request], connections, seconds)[0]


def closed_loops(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> list[Load]:
    """Several requests at the same time, each on so many connections; a load for each."""

    async def run() -> list[Load]:
        return await asyncio.gather(*(_closed_loop(port, request, connections, seconds) for request in requests))

    return asyncio.run(run())


async def _closed_loop(port: int, request: bytes, connections: int, seconds: float) -> Load:
    load = Load()
    opened = [await connect(port) for _ in range(connections)]
    started, cpu = time.perf_counter(), time.process_time()
    end = started + seconds

    async def ask_on(connection: Connection) -> None:
        while (asked := time.perf_counter()) < end:
            status = await connection.ask(request)
            load.add(status, time.perf_counter() - asked)
            if not connection.is_open:
                connection = await connect(port)
        connection.close()

    await asyncio.gather(*map(ask_on, opened))
    load.seconds, load.client_cpu = time.perf_counter() - started, time.process_time() - cpu
    return load


def open_loops(port: int, rates: Mapping[bytes, float], seconds: float) -> list[Load]:
    """Several requests at the same time, each at its own constant rate a second; a load for each."""

    async def run() -> list[Load]:
        return await asyncio.gather(*(_open_loop(port, request, rate, seconds) for request, rate in rates.items()))

    return asyncio.run(run())


async def _open_loop(port: int, request: bytes, rate: float, seconds: float) -> Load:
    load, free, tasks, opened = Load(), list[Connection](), set[asyncio.Task[None]](), 0

    async def ask(due: float) -> None:
        nonlocal opened
        connection = free.pop() if free else None
        if connection is None or not connection.is_open:
            if opened >= MOST_OPEN:
                load.add(0, 0)
                return
            opened += 1
            connection = await connect(port)
        load.add(await connection.ask(request), time.perf_counter() - due)
        if connection.is_open:
            free.append(connection)
        else:
            opened -= 1

    started, cpu = time.perf_counter(), time.process_time()
    for number in range(round(rate * seconds)):
        due = started + number / rate
        if (early := due - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        task = asyncio.create_task(ask(due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    load.seconds, in_time = time.perf_counter() - started, load.statuses
    await asyncio.gather(*tasks)
    load.late = load.statuses - in_time
    load.client_cpu = time.process_time() - cpu
    for connection in free:
        connection.close()
    return load
