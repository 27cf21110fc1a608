"""Requests a client may send in a sliding window, counted once over all workers.

Counts are kept by frames: windows that follow each other. A client's requests are those of the present frame and a share of the
past one's, as much as the window still covers of it.
"""

import asyncio
import logging
import sqlite3
import time
from dataclasses import dataclass
from functools import lru_cache, partial
from ipaddress import IPv6Address, ip_address
from math import ceil, floor

from limits import RateLimitItem, parse

from app.errors import Overloaded, RateLimited
from app.runtime.shared_state import LATE_SECONDS, Shared

logger = logging.getLogger(__name__)

IPV6_SUBSCRIBER = 64  # leading bits of an address that name one subscriber, who may vary the rest
SCHEMA = """CREATE TABLE IF NOT EXISTS counted
    (kind TEXT, client TEXT, frame INTEGER, count INTEGER, PRIMARY KEY (kind, client, frame))"""


@dataclass(frozen=True)
class Frame:
    """A stretch of time as long as the window: its number, and how many of its seconds have passed."""

    number: int
    passed: float
    length: float

    @classmethod
    def now(cls, length: float) -> "Frame":
        """The present one, by the monotonic clock, which is the machine's and so the same for all workers."""
        number, passed = divmod(time.monotonic(), length)
        return cls(int(number), passed, length)

    @property
    def left(self) -> float:
        """Seconds of it that are still to come."""
        return self.length - self.passed


@dataclass(frozen=True)
class Hits:
    """A client's requests in the past frame and in the present one."""

    past: int
    present: int

    def weight(self, frame: Frame) -> int:
        """How many requests the window counts: it covers as much of the past frame as is left of the present one."""
        return floor(self.past * frame.left / frame.length + self.present)

    def patience(self, frame: Frame) -> int:
        """Whole seconds until the window counts one request fewer, at least 1."""
        if not self.past:  # the present frame's requests count in full until it ends
            return max(1, ceil(frame.left))
        between = frame.length / self.past  # seconds, between two requests of the past frame that leave the window
        return max(1, ceil(frame.left % between))


class RateLimiter:
    """Counts each client's requests: with all workers in the shared database, or alone while that does not answer."""

    def __init__(self, rate: str, shared: Shared, kind: str = "requests") -> None:
        """rate, as the library limits writes it: 60/minute, 1000 per hour; kind: what is counted, apart from other kinds."""
        self._rate, self._kind = parse(rate), kind
        self._shared = shared
        self._swept = 0
        self._alone: dict[int, dict[str, int]] = {}  # requests by frame and client, while the database does not answer
        self._is_alone = False
        with shared.transaction() as database:
            database.execute(SCHEMA)

    async def admit(self, client: str) -> None:
        """Counts a request of the client's, which is admitted unless it is one too many.

        It waits for the database for LATE_SECONDS at most, and not at all while that is late.

        Raises:
            RateLimited: it is one too many.
        """
        frame = self._frame()
        self._judge(client, frame, None if self._shared.is_late else await self._ask(client, frame))

    def _frame(self) -> Frame:
        return Frame.now(self._rate.get_expiry())

    async def _ask(self, client: str, frame: Frame) -> Hits | None:
        try:
            async with asyncio.timeout(LATE_SECONDS):
                return await self._shared.ask(partial(self._count_shared, client, frame))
        except (TimeoutError, Overloaded, sqlite3.Error):
            return None

    def _judge(self, client: str, frame: Frame, hits: Hits | None) -> None:
        """hits: the count of all workers; None if they could not be asked."""
        self._note_whether_alone(hits is None)
        hits = hits or self._count_alone(client, frame)
        if hits.weight(frame) >= self._rate.amount:
            raise RateLimited(f"One client may send {_tell(self._rate)}; try again later.", hits.patience(frame))

    def _note_whether_alone(self, alone: bool) -> None:
        if alone and not self._is_alone:
            self._alone.clear()
            logger.warning("requests could not be counted with the other workers: until they can, this one counts alone")
        if self._is_alone and not alone:
            logger.warning("requests are counted with the other workers again")
        self._is_alone = alone

    def _count_shared(self, client: str, frame: Frame) -> Hits:
        """The number of requests that the client sent before this one, which is counted unless it exceeds the limit.

        Raises:
            Overloaded: another process holds the database.
        """
        with self._shared.transaction() as database:
            self._sweep(database, frame)
            question = "SELECT frame, count FROM counted WHERE kind = ? AND client = ? AND frame >= ?"
            counts = dict(database.execute(question, (self._kind, client, frame.number - 1)).fetchall())
            hits = Hits(counts.get(frame.number - 1, 0), counts.get(frame.number, 0))
            if hits.weight(frame) < self._rate.amount:
                count = "INSERT INTO counted VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1"
                database.execute(count, (self._kind, client, frame.number))
        return hits

    def _sweep(self, database: sqlite3.Connection, frame: Frame) -> None:
        """Once a frame, drops what no longer counts."""
        if frame.number > self._swept:
            self._swept = frame.number
            database.execute("DELETE FROM counted WHERE kind = ? AND frame < ?", (self._kind, frame.number - 1))

    def _count_alone(self, client: str, frame: Frame) -> Hits:
        self._alone = {number: counts for number, counts in self._alone.items() if number >= frame.number - 1}
        past, present = self._alone.get(frame.number - 1, {}), self._alone.setdefault(frame.number, {})
        hits = Hits(past.get(client, 0), present.get(client, 0))
        if hits.weight(frame) < self._rate.amount:
            present[client] = hits.present + 1
        return hits


@lru_cache(maxsize=1024)
def name_address(host: str) -> str:
    """The name that an address is counted under: itself, or for IPv6 the network of one subscriber."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(IPv6Address(int(address) >> IPV6_SUBSCRIBER << IPV6_SUBSCRIBER)) + f"/{IPV6_SUBSCRIBER}"
    return host


def _tell(rate: RateLimitItem) -> str:
    """A rate in words: 60 requests per minute, 20 requests per 5 minutes."""
    name, many = rate.GRANULARITY.name, rate.multiples
    return f"{rate.amount} requests per {f'{many} {name}s' if many > 1 else name}"
