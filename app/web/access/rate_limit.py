"""Requests a client may send: a sliding window of the library `limits`, counted once over all workers."""

import logging
import sqlite3
import time
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from math import ceil, floor

from limits import parse
from limits.storage import SlidingWindowCounterSupport, Storage
from limits.strategies import SlidingWindowCounterRateLimiter

from app.errors import Overloaded, RateLimited
from app.runtime.shared_state import Shared

logger = logging.getLogger(__name__)

IPV6_SUBSCRIBER = 64  # bits of an address that one subscriber has: the rest is his to vary


class RateLimiter:
    """Counts each client's requests."""

    def __init__(self, rate: str, shared: Shared) -> None:
        """rate, as limits writes it: 60/minute, 1000 per hour."""
        self._rate = parse(rate)
        self._storage = SharedStorage(shared)
        self._limiter = SlidingWindowCounterRateLimiter(self._storage)

    def check(self, client: str) -> None:
        """Counts a request of the client's.

        Raises:
            RateLimited: it was one too many.
        """
        try:
            if not self._limiter.hit(self._rate, client):
                raise RateLimited(f"One client may send {self._rate}; try again later.", self._patience(client))
        except (Overloaded, sqlite3.Error):  # the service answers although it cannot count
            logger.warning("requests could not be counted", exc_info=True)

    def _patience(self, client: str) -> int:
        """Seconds until one request of the client's counts no more."""
        window = self._rate.get_expiry()
        before, before_weighs, _, weighs = self._storage.get_sliding_window(self._rate.key_for(client), window)
        return max(1, ceil(before_weighs % (window / before) if before else weighs % window))


class SharedStorage(Storage, SlidingWindowCounterSupport):
    """Counters of `limits` in the workers' shared database, by the monotonic clock, which is the machine's."""

    STORAGE_SCHEME = None
    base_exceptions = sqlite3.Error

    def __init__(self, shared: Shared) -> None:
        super().__init__()
        self._shared = shared
        self._swept = 0
        with shared.transaction() as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS hits (client TEXT, frame INTEGER, count INTEGER, PRIMARY KEY (client, frame))"
            )

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Counts so many requests, unless that makes too many with this window's and a share of the past one's."""
        frame, passed = divmod(time.monotonic(), expiry)
        with self._shared.transaction() as database:
            self._sweep(database, int(frame))
            before, now = _counts(database, key, int(frame))
            if floor(before * (1 - passed / expiry) + now) + amount > limit:
                return False
            database.execute(
                "INSERT INTO hits VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
                (key, int(frame), amount),
            )
        return True

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Requests of the past window and for how long they weigh on, in seconds; the same of this one."""
        frame, passed = divmod(time.monotonic(), expiry)
        with self._shared.transaction() as database:
            before, now = _counts(database, key, int(frame))
        return before, expiry - passed, now, 2 * expiry - passed

    def clear_sliding_window(self, key: str, expiry: int) -> None:  # noqa: ARG002  limits' signature
        """Forgets a client."""
        self.clear(key)

    def clear(self, key: str) -> None:
        """Forgets a client."""
        with self._shared.transaction() as database:
            database.execute("DELETE FROM hits WHERE client = ?", (key,))

    def reset(self) -> int:
        """Forgets all of them, and tells how many counters they had."""
        with self._shared.transaction() as database:
            return database.execute("DELETE FROM hits").rowcount

    def check(self) -> bool:
        """Whether the database answers."""
        with self._shared.transaction():
            return True

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Of fixed windows, which are not counted here."""
        raise NotImplementedError

    def get(self, key: str) -> int:
        """Likewise."""
        raise NotImplementedError

    def get_expiry(self, key: str) -> float:
        """Likewise."""
        raise NotImplementedError

    def _sweep(self, database: sqlite3.Connection, frame: int) -> None:
        """Once a window, drops what no longer counts."""
        if frame > self._swept:
            self._swept = frame
            database.execute("DELETE FROM hits WHERE frame < ?", (frame - 1,))


def _counts(database: sqlite3.Connection, key: str, frame: int) -> tuple[int, int]:
    rows = dict(database.execute("SELECT frame, count FROM hits WHERE client = ? AND frame >= ?", (key, frame - 1)).fetchall())
    return rows.get(frame - 1, 0), rows.get(frame, 0)


@lru_cache(maxsize=1024)
def name_address(host: str) -> str:
    """What an address is counted as: itself, or, of IPv6, the network that one subscriber has."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(IPv6Address(int(address) >> IPV6_SUBSCRIBER << IPV6_SUBSCRIBER)) + f"/{IPV6_SUBSCRIBER}"
    return host
