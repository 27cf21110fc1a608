"""Places for requests that bring work, and the bytes of their bodies: both bounded, and neither held by one client alone.

A place is taken by a request's headers; its bytes count as they come. Where there is no place left, one is taken back: from an
upload that stands still, from a client that holds more than half of them, or from the slowest upload where slow ones hold
more than half. One client alone may hold all of them.
"""

import asyncio
import time
from asyncio import CancelledError
from collections.abc import Callable
from types import TracebackType

from app.errors import Overloaded, RequestError, RequestTimeout

STALLED_SECONDS = 1.0  # after which an upload that stands still gives its place to another request that wants one
SLOW_SECONDS = 3.0  # after which an upload is slow; at 10 Mbit/s a photo takes as long
LOOK_SECONDS = 0.05  # between two looks for stalled uploads; under overload, each refusal would look
WANTED_SECONDS = 2.0  # after its last request that a client still competes for places; a refused one may try again after 1 s


class Place:
    """A request's, from its headers to the end of its answer: a context manager; contextlib's take several times as long."""

    __slots__ = ("_places", "_task", "began", "bytes", "client", "held", "moved", "receiving", "revoked")

    def __init__(self, places: "Places", client: str) -> None:
        self._places, self.client = places, client
        self._task: asyncio.Task[object] | None = None
        self.bytes = 0  # of its body, so far
        self.held = self.receiving = False
        self.began = self.moved = 0.0  # monotonic: since when it is held, and when bytes last came
        self.revoked: RequestError | None = None

    def __enter__(self) -> "Place":
        try:
            self._task = asyncio.current_task()
        except RuntimeError:  # outside of an event loop, nobody can take it back
            self._task = None
        self._places.hold(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self._places.release(self)
        task, self._task = self._task, None
        if kind is CancelledError and self.revoked and task:
            task.uncancel()
            raise self.revoked

    def grow(self, length: int) -> None:
        """More bytes of the body have come.

        Raises:
            Overloaded: there is no room for them.
        """
        self._places.grow(self, length)

    def complete(self) -> None:
        """The body is here."""
        self._places.complete(self)

    def keep(self) -> None:
        """The answer begins: the place cannot be taken back any more."""
        self._task = None

    @property
    def revocable(self) -> bool:
        """Whether it can be taken back."""
        return self._task is not None and self.held

    def revoke(self, error: RequestError) -> None:
        """Takes it back: the request ends with this error."""
        self.revoked = error
        self._places.release(self)
        if self._task:
            self._task.cancel()


class _Held:
    """What one client holds."""

    __slots__ = ("bytes", "places")

    def __init__(self) -> None:
        self.places: dict[Place, None] = {}  # oldest first
        self.bytes = 0


class Places:
    """For the event loop alone."""

    def __init__(self, most: int, most_bytes: int, count: Callable[[int], None]) -> None:
        """count: is told how many requests were let in, or, below 0, have ended."""
        self._most, self._most_bytes, self._count = most, most_bytes, count
        self._half, self._half_bytes = max(1, most // 2), max(1, most_bytes // 2)
        self._clients: dict[str, _Held] = {}
        self._receiving: dict[Place, None] = {}
        self._requests = self._bytes = 0
        self._latest: tuple[str | None, float] = (None, 0.0)  # who asked last, and when
        self._other: tuple[str | None, float] = (None, 0.0)  # who asked last besides that one
        self._next_look = 0.0

    def admit(self, length: int, client: str) -> Place:
        """A place for a request with a body of so many bytes, 0 where that is not known; to be held as a context manager.

        Raises:
            Overloaded: there is none.
        """
        self._note(client)
        if self._is_beyond_share(client, length):
            raise refusal()
        while not self._fits(length):
            self._take_back(client)
        return Place(self, client)

    def is_full(self, length: int, client: str | None) -> bool:
        """Whether admit would refuse a client; None if the client is not known."""
        if client is not None:
            self._note(client)
            if self._is_beyond_share(client, length):
                return True
        return not self._fits(length) and self._find_revocable(client) is None

    def hold(self, place: Place) -> None:
        """A request has begun."""
        place.held = place.receiving = True
        place.began = place.moved = time.monotonic()
        self._requests += 1
        held = self._clients.get(place.client)
        if held is None:
            held = self._clients[place.client] = _Held()
        held.places[place] = None
        self._receiving[place] = None
        self._count(1)

    def release(self, place: Place) -> None:
        """A request has ended, or its place was taken back."""
        if not place.held:
            return
        place.held = False
        held = self._clients[place.client]
        del held.places[place]
        held.bytes -= place.bytes
        if not held.places:
            del self._clients[place.client]
        self._receiving.pop(place, None)
        self._requests -= 1
        self._bytes -= place.bytes
        self._count(-1)

    def grow(self, place: Place, length: int) -> None:
        """More bytes of a body have come.

        Raises:
            Overloaded: there is no room for them.
        """
        if not place.held:
            return
        if self._is_beyond_share(place.client, length, place):
            raise refusal()
        while self._requests > 1 and self._bytes + length > self._most_bytes:
            self._take_back(place.client, place)
        place.bytes += length
        place.moved = time.monotonic()
        self._bytes += length
        self._clients[place.client].bytes += length

    def complete(self, place: Place) -> None:
        """A body is here."""
        place.receiving = False
        self._receiving.pop(place, None)

    def _note(self, client: str) -> None:
        now = time.monotonic()
        if self._latest[0] != client:
            self._other = self._latest
        self._latest = (client, now)

    def _is_wanted_besides(self, client: str) -> bool:
        """Whether others hold places, or have asked for some just now."""
        if len(self._clients) > (client in self._clients):
            return True
        other, since = self._other if self._latest[0] == client else self._latest
        return other is not None and time.monotonic() - since < WANTED_SECONDS

    def _is_beyond_share(self, client: str, length: int, growing: Place | None = None) -> bool:
        """Whether a client would hold more than its half, while others want some. A single request may be of any size."""
        held = self._clients.get(client)
        if held is None or (growing and len(held.places) == 1):
            return False
        more = len(held.places) + (growing is None) > self._half or held.bytes + length > self._half_bytes
        return more and self._is_wanted_besides(client)

    def _fits(self, length: int) -> bool:
        return not self._requests or (self._requests < self._most and self._bytes + length <= self._most_bytes)

    def _take_back(self, client: str, besides: Place | None = None) -> None:
        """Makes room.

        Raises:
            Overloaded: nothing can be taken back.
        """
        found = self._find_revocable(client, besides)
        if found is None:
            raise refusal()
        place, error = found
        self._next_look = 0.0  # there may be more of its kind
        place.revoke(error)

    def _find_revocable(self, client: str | None, besides: Place | None = None) -> tuple[Place, RequestError] | None:
        """A place that another has more right to, and what its request is told."""
        place = self._find_slow(besides)
        if place:
            return place, RequestTimeout("The body came too slowly while others waited for its place; send it again.")
        place = self._find_beyond_share(client, besides)
        return (place, refusal()) if place else None

    def _find_slow(self, besides: Place | None) -> Place | None:
        """The upload that has stood still longest; else, where slow ones have more than half of the places, the slowest."""
        now = time.monotonic()
        if now < self._next_look:
            return None
        self._next_look = now + LOOK_SECONDS
        uploads = [each for each in self._receiving if each.revocable and each is not besides]
        stalled = [each for each in uploads if now - each.moved > STALLED_SECONDS]
        if stalled:
            self._next_look = 0.0
            return min(stalled, key=lambda each: each.moved)
        slow = [each for each in uploads if now - each.began > SLOW_SECONDS]
        if len(slow) <= self._half:
            return None
        self._next_look = 0.0
        return min(slow, key=lambda each: each.bytes / (now - each.began))

    def _find_beyond_share(self, client: str | None, besides: Place | None) -> Place | None:
        """The newest place of another client that holds more than half."""
        for other, held in self._clients.items():
            beyond = len(held.places) > self._half or (held.bytes > self._half_bytes and len(held.places) > 1)
            if beyond and other != client:
                return next((each for each in reversed(held.places) if each.revocable and each is not besides), None)
        return None


def refusal() -> Overloaded:
    """The error for a request without a place."""
    return Overloaded("More requests are waiting than can be answered soon; try again in a moment.")
