"""Places: bounded, shared between clients, and taken back from uploads that stand still."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress

import pytest

from app.errors import Overloaded, RequestError, RequestTimeout
from app.runtime import places as module
from app.runtime.places import Place, Places


class Request:
    """A request that holds a place until it is told to end, and what became of it."""

    def __init__(self, places: Places, client: str, length: int = 0, *, complete: bool = True) -> None:
        self.place: Place | None = None
        self.error: RequestError | None = None
        self._end = asyncio.Event()
        self._held = (places, client, length, complete)
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        places, client, length, complete = self._held
        try:
            with places.admit(0, client) as self.place:
                self.place.grow(length)
                if complete:
                    self.place.complete()
                await self._end.wait()
        except RequestError as error:
            self.error = error

    async def end(self) -> None:
        self._end.set()
        await self._task


def run(use: Callable[[Places], Awaitable[None]], most: int = 4, most_bytes: int = 100) -> list[int]:
    """Uses places; returns the changes that were counted."""
    counted: list[int] = []
    asyncio.run(_run(Places(most, most_bytes, counted.append), use))
    return counted


async def _run(places: Places, use: Callable[[Places], Awaitable[None]]) -> None:
    await use(places)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_one_client_alone_may_hold_all_places() -> None:
    async def use(places: Places) -> None:
        requests = [Request(places, "a") for _ in range(5)]
        await settle()
        assert [type(each.error) for each in requests] == [type(None)] * 4 + [Overloaded]
        for each in requests:
            await each.end()

    assert sum(run(use)) == 0


def test_another_that_comes_gets_its_share_at_once_and_the_first_keeps_half() -> None:
    async def use(places: Places) -> None:
        greedy = [Request(places, "a") for _ in range(4)]
        await settle()
        others = [Request(places, "b") for _ in range(3)]
        await settle()

        assert [type(each.error) for each in greedy] == [type(None)] * 2 + [Overloaded] * 2  # the newest go
        assert [type(each.error) for each in others] == [type(None)] * 2 + [Overloaded]
        for each in (*greedy, *others):
            await each.end()

    assert sum(run(use)) == 0


def test_a_client_gets_no_more_than_half_the_places_as_long_as_others_want_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WANTED_SECONDS", 0.1)

    async def use(places: Places) -> None:
        await Request(places, "b").end()
        requests = [Request(places, "a") for _ in range(3)]
        await settle()
        assert [type(each.error) for each in requests] == [type(None)] * 2 + [Overloaded]
        assert places.is_full(0, "a")
        assert not places.is_full(0, None)
        await asyncio.sleep(0.15)
        assert not places.is_full(0, "a")
        for each in requests:
            await each.end()

    run(use)


def test_nor_more_than_half_of_the_bytes() -> None:
    async def use(places: Places) -> None:
        greedy = [Request(places, "a", 40) for _ in range(2)]
        await settle()
        other = Request(places, "b", 30)
        await settle()

        assert [type(each.error) for each in (*greedy, other)] == [type(None), Overloaded, type(None)]
        third = Request(places, "a", 11)
        await settle()
        assert isinstance(third.error, Overloaded)
        for each in (*greedy, other, third):
            await each.end()

    assert sum(run(use)) == 0


def test_a_single_request_may_be_of_any_size() -> None:
    async def use(places: Places) -> None:
        large = Request(places, "a", 1_000)
        await settle()
        assert large.error is None
        await large.end()

    run(use)


def test_bytes_count_as_they_come_not_as_they_may() -> None:
    async def use(places: Places) -> None:
        with ExitStack() as held:
            for _ in range(3):
                held.enter_context(places.admit(90, "a"))  # each may become 90 of 100
            with places.admit(0, "a") as small:
                small.grow(100)

    run(use)


def test_a_stalled_upload_gives_its_place_to_another_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALLED_SECONDS", 0.05)

    async def use(places: Places) -> None:
        stalled = [Request(places, "a", complete=False) for _ in range(2)]
        whole = [Request(places, "a") for _ in range(2)]
        await asyncio.sleep(0.1)
        assert not places.is_full(0, "a")
        new = [Request(places, "a") for _ in range(3)]
        await settle()

        assert [type(each.error) for each in stalled] == [RequestTimeout] * 2
        assert [type(each.error) for each in whole] == [type(None)] * 2
        assert [type(each.error) for each in new] == [type(None)] * 2 + [Overloaded]
        for each in (*stalled, *whole, *new):
            await each.end()

    assert sum(run(use)) == 0


def test_slow_uploads_hold_half_of_the_places_at_most_where_others_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOW_SECONDS", 0.05)

    async def use(places: Places) -> None:
        slow = [Request(places, str(number), 1 + number, complete=False) for number in range(4)]
        await asyncio.sleep(0.1)
        new = [Request(places, "new") for _ in range(3)]
        await settle()

        assert [type(each.error) for each in slow] == [RequestTimeout] * 2 + [type(None)] * 2  # the slowest go
        assert [type(each.error) for each in new] == [type(None)] * 2 + [Overloaded]
        for each in (*slow, *new):
            await each.end()

    assert sum(run(use)) == 0


def test_whose_answer_has_begun_keeps_its_place() -> None:
    async def use(places: Places) -> None:
        greedy = [Request(places, "a") for _ in range(4)]
        await settle()
        for each in greedy:
            assert each.place
            each.place.keep()
        other = Request(places, "b")
        await settle()

        assert isinstance(other.error, Overloaded)
        assert not any(each.error for each in greedy)
        for each in (*greedy, other):
            await each.end()

    run(use)


def test_a_request_that_is_cancelled_from_outside_stays_cancelled() -> None:
    async def use(places: Places) -> None:
        async def hold() -> None:
            with places.admit(0, "a"):
                await asyncio.Event().wait()

        task = asyncio.ensure_future(hold())
        await settle()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()

    assert sum(run(use)) == 0
