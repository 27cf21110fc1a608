"""A worker gives way to the event loop if the loop has work waiting, and only then."""

import asyncio
import os
import selectors
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import uvloop

from app.runtime.worker_thread import LoopPriority

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nothing is done elsewhere")


@pytest.mark.parametrize("make", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_worker_yields_while_the_loop_has_something_to_do(
    make: Callable[[], asyncio.AbstractEventLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    yields: list[None] = []
    monkeypatch.setattr(os, "sched_yield", lambda: yields.append(None))
    loop, (ours, theirs) = make(), socket.socketpair()

    def read() -> None:
        ours.recv(9)
        loop.stop()

    with ours, theirs, ThreadPoolExecutor(1) as worker:  # whose thread alone becomes nicer
        loop.add_reader(ours, read)
        loop.call_soon(loop.stop)
        loop.run_forever()
        priority = worker.submit(LoopPriority, loop).result()

        worker.submit(priority.yield_to_loop).result()
        assert len(yields) == 0

        theirs.send(b"x")
        worker.submit(priority.yield_to_loop).result()
        assert len(yields) == 1

        loop.run_forever()
        worker.submit(priority.yield_to_loop).result()
        assert len(yields) == 1

        loop.call_soon_threadsafe(loop.stop)
        worker.submit(priority.yield_to_loop).result()
        assert len(yields) == 2
        loop.run_forever()
        loop.remove_reader(ours)
    loop.close()


@pytest.mark.parametrize(
    "make",
    [lambda: asyncio.SelectorEventLoop(selectors.SelectSelector()), asyncio.AbstractEventLoop],
    ids=["select", "another"],
)
def test_another_kind_of_event_loop_is_left_to_the_scheduler(
    make: Callable[[], asyncio.AbstractEventLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_yield")
    loop = make()

    with ThreadPoolExecutor(1) as worker:
        worker.submit(lambda: LoopPriority(loop).yield_to_loop()).result()

    if isinstance(loop, asyncio.SelectorEventLoop):
        loop.close()
