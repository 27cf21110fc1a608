"""``python -m tests.service.attack_fair``: one client takes what it can get, while another, of another address, asks for little.

For some seconds each: batches of heavy pictures, uploads that stand still, photos on many connections, JSON of megabytes. The
other posts a photo and a drawing and asks for the service's health, five times a second each. Asked are: no answer but 200,
none after more than MOST_SECONDS. ``--tree`` starts the service of another checkout, for figures before and after.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.pictures import canvas, encode, photo
from tests.fuzz.nasty import png
from tests.servers import free_port, wait_for

GREEDY, MODEST = "127.0.0.1", "127.0.0.2"
PERIOD = 0.2  # seconds between two requests of a kind
PATIENCE = 20.0
MOST_SECONDS = 2.0  # on a busy machine
BODY = 27_000_000  # bytes

Attack = Callable[[int], Awaitable[object]]


def request(path: str, body: bytes, kind: str = "application/octet-stream") -> bytes:
    """A POST."""
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


PHOTO, DRAWING = request("/predict", encode(photo(3), "JPEG")), request("/predict", encode(canvas(3)))
HEALTH = b"GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n"


async def ask(port: int, address: str, sent: bytes) -> int:
    """The status of the answer on a connection of its own; 0 where there is none."""
    writer = None
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
            writer.write(sent)
            return int((await reader.readuntil(b"\r\n\r\n")).split()[1])
    except (OSError, asyncio.IncompleteReadError, TimeoutError):
        return 0
    finally:
        if writer:
            writer.close()


async def repeat(port: int, sent: bytes) -> None:
    """Asks again and again."""
    while True:
        if await ask(port, GREEDY, sent) != 200:
            await asyncio.sleep(0.05)


async def together(port: int, sent: bytes, times: int) -> None:
    """As repeat, on so many connections."""
    await asyncio.gather(*(repeat(port, sent) for _ in range(times)))


def heavy_batch() -> bytes:
    """64 PNGs that are legal and take a second each."""
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n' + png(7_000, 7_000, colour=2) + b"\r\n"
    return request("/predict/batch", part * 64 + b"--x--\r\n", "multipart/form-data; boundary=x")


async def heavy(port: int) -> None:
    """Two batches of heavy pictures at any time."""
    await together(port, heavy_batch(), 2)


async def stall(port: int) -> None:
    """300 uploads at any time that say nothing about their length and stand still."""
    head = b"POST /predict/batch HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    begun = head + b"Transfer-Encoding: chunked\r\n\r\n5\r\n--x\r\n\r\n"
    await together(port, begun, 300)


async def flood(port: int) -> None:
    """Photos on 300 connections."""
    await together(port, PHOTO, 300)


async def megabytes(port: int) -> None:
    """Two bodies of JSON of 27 MB at any time, of brackets and of escapes."""
    bodies = (b'{"image": [' + b"[]," * (BODY // 3) + b"[]]}", b'{"image": "' + b"\\n" * (BODY // 2) + b'"}')
    await asyncio.gather(*(repeat(port, request("/predict/canvas", body, "application/json")) for body in bodies))


ATTACKS: dict[str, Attack] = {"heavy batches": heavy, "stalled uploads": stall, "photos": flood, "JSON": megabytes}


@dataclass
class Seen:
    """What the modest client saw of one kind of request."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def __str__(self) -> str:
        median, p99 = np.percentile(self.seconds, (50, 99))
        return f"median {median:.3f} s, p99 {p99:.3f} s, most {max(self.seconds):.3f} s, {dict(self.statuses)}"


async def be_modest(port: int, sent: bytes, until: float) -> Seen:
    """Asks now and then."""
    seen = Seen()
    while time.monotonic() < until:
        began = time.monotonic()
        seen.statuses[await ask(port, MODEST, sent)] += 1
        seen.seconds.append(time.monotonic() - began)
        await asyncio.sleep(max(0.0, PERIOD - seen.seconds[-1]))
    return seen


def be_greedy(name: str, port: int) -> None:
    """An attack, in a process of its own, until it is ended."""
    with suppress(KeyboardInterrupt):
        asyncio.run(_run(ATTACKS[name], port))


async def _run(attack: Attack, port: int) -> None:
    await attack(port)


async def watch(port: int, seconds: float) -> dict[str, Seen]:
    """What the modest client sees for so many seconds."""
    until = time.monotonic() + seconds
    kinds = {"photo": PHOTO, "drawing": DRAWING, "health": HEALTH}
    return dict(zip(kinds, await asyncio.gather(*(be_modest(port, sent, until) for sent in kinds.values())), strict=True))


@contextmanager
def service(tree: Path) -> Iterator[int]:
    """The service of a checkout, with default settings: its port."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMERAL_")}
    command = [sys.executable, "-m", "app", "serve", "--port", str(port)]
    with subprocess.Popen(command, cwd=tree, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(f"http://127.0.0.1:{port}/health/ready", 200)
            yield port
        finally:
            process.terminate()


def main(
    seconds: Annotated[float, typer.Option(help="Of each attack.")] = 15,
    tree: Annotated[Path, typer.Option(help="The checkout whose service is tried.")] = Path(),
    only: Annotated[str, typer.Option(help="The attacks alone whose name holds this.")] = "",
) -> None:
    """Tries each attack on a service of its own; exits with 1 if something was not as asked."""
    failed = False
    for name in ATTACKS:
        if only not in name:
            continue
        with (
            service(tree) as port,
            subprocess.Popen(
                [sys.executable, "-c", f"from tests.service.attack_fair import be_greedy; be_greedy({name!r}, {port})"]
            ) as greedy,
        ):
            time.sleep(2)  # it begins
            seen = asyncio.run(watch(port, seconds))
            greedy.kill()
        for kind, each in seen.items():
            typer.echo(json.dumps({"attack": name, "asked": kind, "seen": str(each)}))
            failed |= set(each.statuses) != {200} or max(each.seconds) > MOST_SECONDS
    raise typer.Exit(failed)


if __name__ == "__main__":
    typer.run(main)
