"""What a request costs the event loop, in turns with another checkout of the project.

    git worktree add /tmp/before COMMIT
    python -m benchmarks.serving.event_loop /tmp/before

Each checkout gets a process of its own, which calls its application in ASGI, on uvloop, with its log and metrics. A turn is the
CPU time of the loop's thread alone, over some hundred requests one after the other. The workers' answer to the first is
given to all others, unless --workers has them read each: then waking and being woken counts too. The checkouts take turns, and
begin by turns. Figures are the least, which a busy machine does not disturb, and the median of the ratios of neighbouring
turns with their range.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import IO, Annotated, Any, TypedDict

import typer

CHILD = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='turns')"  # with -c, modules come from the working folder
WARM_UP = 200  # requests before the first turn


class Call(TypedDict):
    """A request, as it is handed to a checkout's process; the body in base64."""

    method: str
    path: str
    content_type: str
    body: str
    workers: bool


def main(
    before: Annotated[Path, typer.Argument(help="Folder of the other checkout.", exists=True, file_okay=False)],
    rounds: Annotated[int, typer.Option(help="Turns of both.", min=1)] = 30,
    requests: Annotated[int, typer.Option(help="In a turn.", min=1)] = 300,
    workers: Annotated[bool, typer.Option("--workers", help="Has the workers read each picture.")] = False,
) -> None:
    """Prints, for each kind of request, microseconds of the event loop before and now, and the ratio."""
    with ExitStack() as stack:
        now, then = (stack.enter_context(_process(folder)) for folder in (Path.cwd(), before))
        for name, call in _calls().items():
            call["workers"] = workers
            for process in (now, then):
                _measure(process, call, WARM_UP)
            turns = list(_turns(now, then, call, rounds, requests))
            ratios = sorted(after / old for after, old in turns)
            after, old = (min(each) for each in zip(*turns, strict=True))
            typer.echo(
                f"{name}: {old:.1f} µs before, {after:.1f} µs now, {after / old:.3f} of it; median of {rounds} ratios "
                f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
            )


def _calls() -> dict[str, Call]:
    from benchmarks.pictures import canvas, encode  # noqa: PLC0415  in the other checkout it is elsewhere

    picture = encode(canvas(5))
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    form = head + picture + b"\r\n--x--\r\n"
    glyph = {"name": "glyph", "datatype": "UINT8", "shape": [1, 28, 28], "data": [0] * 784}
    tensor = json.dumps({"inputs": [glyph]}).encode()

    def post(path: str, content_type: str, body: bytes) -> Call:
        return {
            "method": "POST",
            "path": path,
            "content_type": content_type,
            "body": b64encode(body).decode("ascii"),
            "workers": False,
        }

    return {
        "280×280 canvas, multipart": post("/predict", "multipart/form-data; boundary=x", form),
        "28×28 PNG, raw": post("/predict", "image/png", encode(canvas(5, size=28, pen=2))),
        "health": {"method": "GET", "path": "/health/live", "content_type": "", "body": "", "workers": False},
        "one glyph to /v2 infer": post("/v2/models/digits_uint8/infer", "application/json", tensor),
    }


@contextmanager
def _process(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    environment = {**os.environ, "NUMERAL_LOG_FORMAT": "json"}
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", CHILD, __file__],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        yield process
        _pipe(process.stdin).close()


def _turns(
    now: "subprocess.Popen[bytes]", then: "subprocess.Popen[bytes]", call: Call, rounds: int, requests: int
) -> Iterator[tuple[float, float]]:
    """Microseconds a request now and before."""
    for number in range(rounds):
        order = (now, then) if number % 2 else (then, now)
        spent = {process.pid: _measure(process, call, requests) for process in order}
        yield spent[now.pid], spent[then.pid]


def _measure(process: "subprocess.Popen[bytes]", call: Call, requests: int) -> float:
    told, asked = _pipe(process.stdin), _pipe(process.stdout)
    told.write(json.dumps({**call, "requests": requests}).encode() + b"\n")
    told.flush()
    return float(asked.readline())


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise RuntimeError("The process was started without its pipes.")
    return pipe


async def _take_turns() -> None:
    """Of a checkout's process: measures one call a line of the standard input."""
    from app.main import create_app  # noqa: PLC0415  the checkout's

    app = create_app()
    async with app.router.lifespan_context(app):
        batcher = app.state.batcher
        ways = {name: getattr(batcher, name) for name in ("read", "infer")}
        while line := await asyncio.to_thread(sys.stdin.readline):
            call = json.loads(line)
            for name, way in ways.items():
                setattr(batcher, name, way if call["workers"] else _given(way))
            print(await _spend(app, call, b64decode(call["body"])), flush=True)  # noqa: T201


def _given(way: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
    """Gives the first answer to everybody after."""
    answers: list[object] = []

    async def give(*asked: object) -> object:
        if not answers:
            answers.append(await way(*asked))
        return answers[0]

    return give


async def _spend(app: Any, call: dict[str, Any], body: bytes) -> float:
    """Microseconds of this thread's CPU a request."""
    headers = [(b"host", b"127.0.0.1:8000"), (b"user-agent", b"numeral"), (b"accept", b"*/*")]
    if body:
        headers += [(b"content-type", call["content_type"].encode()), (b"content-length", b"%d" % len(body))]
    fixed = {"type": "http", "http_version": "1.1", "query_string": b"", "root_path": "", "client": ("127.0.0.1", 1)}
    started = time.thread_time()
    for _ in range(call["requests"]):
        state = dict[str, Any]()
        await _ask(app, {**fixed, "method": call["method"], "path": call["path"], "headers": headers, "state": state}, body)
    requests: int = call["requests"]
    return 1e6 * (time.thread_time() - started) / requests


async def _ask(app: Any, scope: dict[str, Any], body: bytes) -> None:
    pieces = [body]

    async def receive() -> dict[str, Any]:
        if pieces:
            return {"type": "http.request", "body": pieces.pop(), "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        if message.get("status", 200) != HTTPStatus.OK:
            raise RuntimeError(f"{scope['path']} was answered with {message['status']}.")

    await app(scope, receive, send)


if __name__ == "__main__":
    typer.run(main)
elif __name__ == "turns":
    import uvloop

    uvloop.run(_take_turns())
