"""Keeps answers behind their sending: the event loop puts them into a queue, and a thread writes them now and then.

A request does not wake the thread, and a transaction costs as much as many entries. What cannot be written is tried again if no
other process shares the database. What finds no room is lost, but no answer is. The worker that reads a picture encodes it.
"""

import asyncio
import logging
import os
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from queue import SimpleQueue
from threading import Event, Thread
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from app.corrections.entry import Answered, Corrected, Entry, Glyphs, Status, epoch_seconds, is_doubtful
from app.corrections.journal import DAY, PAUSE, STEP, Journal, Sent, digest
from app.corrections.pictures import ByteBudget, Encoded
from app.errors import NotFound, NumeralError, Overloaded
from app.reading.answer import Prediction, Reading
from app.reading.decode.picture import Picture
from app.reading.find.glyph import SIZE
from app.reading.find.steps import Glyph
from app.settings import MIB, Settings

logger = logging.getLogger(__name__)

WAITING = 1_024  # answers that may wait to be written, and
WAITING_BYTES = 32 * MIB  # most that they and their glyphs may take; more are lost
PICTURE_BYTES = 64 * MIB  # that encoded pictures may take until they are written: 64 photos take about 10, 64 of noise all
DIGIT_BYTES = SIZE**2 + 3_500  # of a glyph, and about what Python's objects take that tell of its digit
GATHER_SECONDS = 0.5  # between two writes: what comes meanwhile is written together
ASKED = 100  # questions to the journal that may wait, and
ASKED_SECONDS = 3.0  # for how long; one that has begun is waited for, as it may change something
PATIENCE = 5.0  # seconds that a correction waits for its answer to be written,
RECENT = 10.0  # if its id is at most so many seconds old: twice PATIENCE, for what was being written before, and for itself
PRUNE_SECONDS = 60.0  # between two looks for what is too old or too much
TIME_BYTES, RANDOM_BYTES = 6, 10  # of an id
IDS_AHEAD = 256  # whose random bytes are drawn at once

BUSY = "The database of corrections is busy; try again later."
UNWRITTEN = "Some answers are not written yet, and this may be one of them; try again later."

Answer = TypeVar("Answer")


class KeptObserver(Protocol):
    """Who counts what is kept."""

    def count_kept(self, count: int) -> None:
        """So many answers were written."""

    def count_unkept(self, count: int) -> None:
        """So many answers were to be kept and were lost."""


@dataclass(slots=True)
class _Amount:
    """So many answers, and the bytes that they take of memory."""

    answers: int = 0
    bytes: int = 0


class _Waiting(NamedTuple):
    """An answer in the queue, its id, when it was given, to whom, and the bytes that it takes of memory.

    glyphs: of many digits, which are taken out of answered.
    """

    id: str
    created: float
    client: str
    answered: Answered
    bytes: int
    glyphs: Glyphs | None = None


class Ids:
    """Ids that nobody guesses: milliseconds, so that neighbours in time are neighbours in the index, and 80 random bits.

    For one thread alone. The system gives the bits of many ids at a time: each call of it releases Python's lock.
    """

    def __init__(self) -> None:
        self._ahead: list[bytes] = []

    def make(self, now: float) -> str:
        """The id of an answer. now: seconds since 1970."""
        if not self._ahead:
            drawn = os.urandom(IDS_AHEAD * RANDOM_BYTES)
            self._ahead = [drawn[start : start + RANDOM_BYTES] for start in range(0, len(drawn), RANDOM_BYTES)]
        return (int(1000 * now).to_bytes(TIME_BYTES, "big") + self._ahead.pop()).hex()


class Keeper:
    """The queue, its thread, and another thread for questions to the journal."""

    def __init__(self, settings: Settings, journal: Journal, observer: KeptObserver, *, keyed: bool) -> None:
        """keyed: whether all clients have keys; else they are named by a digest of their addresses."""
        self._settings, self._journal, self._observer, self.keyed = settings, journal, observer, keyed
        self._questions, self._asked = ThreadPoolExecutor(1, "corrections"), 0
        self._room = ByteBudget(PICTURE_BYTES)
        self._queue: SimpleQueue[_Waiting | Future[None]] = SimpleQueue()
        self._ids = Ids()
        self._taken_in, self._done_with = _Amount(), _Amount()  # each is changed by one thread alone
        self._ending = Event()
        self._held: list[_Waiting | Future[None]] = []  # what could not be written, and who waits for it
        self._is_failing = False
        # Other processes could not see what is held here, and would tell a client that all of its answers are deleted.
        self._is_alone = settings.workers == 1 and settings.database_url is None
        self._salt: tuple[int, bytes] | None = None
        self._pruned = float("-inf")
        self._thread = Thread(target=self._work, name="keeper", daemon=True)
        self._thread.start()

    @property
    def wants_pictures(self) -> bool:
        """Whether pictures are kept, not only their glyphs."""
        return self._settings.keep == "pictures"

    def encode(self, result: tuple[Prediction, ...] | Reading, picture: Picture) -> Encoded | None:
        """The picture of an answer as it is kept; None if the answer is not to be kept or there is no room. Does not raise.

        For the threads that read, where pictures are kept: decoded, they would take too much memory until they are written.
        """
        if not self._is_wanted(result[0] if isinstance(result, tuple) else result):
            return None
        try:
            encoded = self._room.encode(picture)
        except Exception:  # no answer depends on it
            logger.warning("a picture cannot be encoded, and is lost", exc_info=True)
            encoded = None
        if encoded is None:
            self._observer.count_unkept(1)
        return encoded

    def keep(self, answered: Answered, client: str) -> str | None:
        """Queues an answer to be kept, if it is to be; gives the id under which it will be. Neither blocks nor raises.

        For one thread alone, which is the event loop's. Whatever can wait is left to the thread that writes. Where pictures are
        kept, an answer without one is not to be kept.
        """
        if not (answered.picture if self.wants_pictures else self._is_wanted(answered.answer)):
            return None
        now = epoch_seconds()
        size = len(answered.glyphs) * DIGIT_BYTES
        if not self._has_room(size):
            self._observer.count_unkept(1)
            return None
        identity, glyphs = self._ids.make(now), None
        if not isinstance(answered.answer, Prediction):  # its glyphs lie among those of all places that were looked at
            glyphs = _join(answered.glyphs)
            answered = answered._replace(glyphs=())
        self._queue.put(_Waiting(identity, now, client, answered, size, glyphs))
        return identity

    async def correct(self, identity: str, truth: str, client: str) -> Sent:
        """As the journal's; an answer that was given just now may still be on its way there, from another worker too.

        Raises:
            NotFound, InvalidRequest, Overloaded: as the journal's; or it still cannot be written.
        """

        def correct() -> Sent:
            return self._journal.correct(identity, truth, self._name(client, int(epoch_seconds() // DAY)), owned=self.keyed)

        return await self._patiently(identity, correct)

    async def forget(self, identity: str, client: str) -> None:
        """As the journal's.

        Raises:
            NotFound, Overloaded: as correct.
        """
        await self._patiently(identity, lambda: self._journal.forget(identity, client, owned=self.keyed))

    async def forget_client(self, client: str) -> int:
        """As the journal's, for a client with a key; what waits to be written goes too, in other workers as well.

        Raises:
            Overloaded: as the journal's; or what waits still cannot be written.
        """
        if not await self._settle():
            raise Overloaded(UNWRITTEN)
        total = 0
        while (count := await self._ask(lambda: self._journal.forget_some(client))) == STEP:
            total += count
            await asyncio.sleep(PAUSE)  # in which others ask
        return total + count

    async def corrected(self, status: Status | None, most: int) -> list[Corrected]:
        """As the journal's.

        Raises:
            Overloaded: as the journal's.
        """
        return await self._ask(lambda: self._journal.corrected(status, most))

    async def review(self, identity: str, truth: str, status: Status) -> bool:
        """As the journal's.

        Raises:
            Overloaded: as the journal's.
        """
        return await self._ask(lambda: self._journal.review(identity, truth, status))

    def flush(self, seconds: float | None = None) -> None:
        """Returns when all that waits now is written or lost, or after so many seconds."""
        with suppress(TimeoutError):
            self._mark().result(seconds)

    def stop(self) -> None:
        """Writes what waits, and ends the threads."""
        self._ending.set()
        self._thread.join()
        self._questions.shutdown()
        self._journal.close()

    async def _patiently(self, identity: str, question: Callable[[], Answer]) -> Answer:
        """Asks again, later, about an answer that is not there and may still be on its way."""
        try:
            return await self._ask(question)
        except NotFound:
            if not (is_recent(identity, epoch_seconds()) or self._is_failing):
                raise
        settled = await self._settle()
        try:
            return await self._ask(question)
        except NotFound as error:
            if settled:
                raise
            raise Overloaded(UNWRITTEN) from error

    async def _settle(self) -> bool:
        """Waits until all answers that wait now are written, in any worker; tells whether they were within PATIENCE.

        No thread waits meanwhile.
        """
        await asyncio.sleep(2 * GATHER_SECONDS)  # in which other workers write theirs
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(self._mark()), PATIENCE)
            return True
        return False

    def _mark(self) -> Future[None]:
        """What is done when all that is in the queue now is written or lost."""
        mark: Future[None] = Future()
        self._queue.put(mark)
        return mark

    async def _ask(self, question: Callable[[], Answer]) -> Answer:
        """The answer of the journal. A question is either not asked or answered: nothing happens behind an error.

        Raises:
            Overloaded: too many questions wait, or this one has waited too long.
        """
        if self._asked >= ASKED:
            raise Overloaded(BUSY)
        self._asked += 1
        asked = self._questions.submit(question)
        answer = asyncio.wrap_future(asked)
        try:
            await asyncio.wait({answer}, timeout=ASKED_SECONDS)
            if asked.cancel():  # it has not begun
                raise Overloaded(BUSY)
            return await answer
        finally:
            asked.cancel()  # whoever asked may be gone
            answer.cancel()
            self._asked -= 1

    def _is_wanted(self, answer: Prediction | Reading) -> bool:
        """Whether the settings have an answer kept; for any thread."""
        if self._settings.keep_which == "doubtful" and not is_doubtful(answer):
            return False
        return self._settings.keep_share >= 1 or random.random() < self._settings.keep_share  # noqa: S311  no secret

    def _has_room(self, size: int) -> bool:
        ours, theirs = self._taken_in, self._done_with
        if ours.answers - theirs.answers >= WAITING or ours.bytes + size - theirs.bytes > WAITING_BYTES:
            return False
        ours.answers += 1
        ours.bytes += size
        return True

    def _work(self) -> None:
        ending = False
        while not ending:
            ending = self._ending.wait(GATHER_SECONDS)
            self._prune()
            self._write([self._queue.get() for _ in range(self._queue.qsize())])
        if self._held:
            self._lose()

    def _write(self, taken: list[_Waiting | Future[None]]) -> None:
        """Writes what was taken and what was held; what the database does not take is held for another try, or lost."""
        self._held += taken
        waiting = [each for each in self._held if isinstance(each, _Waiting)]
        try:
            if waiting:
                self._store(waiting)
        except Exception as error:  # noqa: BLE001  no answer depends on it
            self._fail(error)
            if self._is_alone and isinstance(error, Overloaded):
                self._held = [each for each in self._held if isinstance(each, _Waiting) or not each.cancelled()]
            else:
                self._lose()
        else:
            self._let_go(waiting)

    def _store(self, waiting: Sequence[_Waiting]) -> None:
        name = cache(self._name)  # a batch is of few clients, and of one day or two
        self._journal.add(_to_entry(each, name(each.client, int(each.created // DAY))) for each in waiting)
        self._observer.count_kept(len(waiting))
        if self._is_failing:
            logger.warning("answers are written again")
        self._is_failing = False

    def _fail(self, error: Exception) -> None:
        if not self._is_failing:
            logger.warning("answers cannot be written; some wait, more are lost: %s", error, exc_info=_unless_known(error))
        self._is_failing = True

    def _lose(self) -> None:
        """Gives up what could not be written."""
        waiting = [each for each in self._held if isinstance(each, _Waiting)]
        self._observer.count_unkept(len(waiting))
        self._let_go(waiting)

    def _let_go(self, waiting: Sequence[_Waiting]) -> None:
        """Makes room for others than those that were held, and tells those who wait for them."""
        self._done_with.bytes += sum(each.bytes for each in waiting)
        self._done_with.answers += len(waiting)
        marks = [each for each in self._held if isinstance(each, Future)]
        self._held = []
        for mark in marks:
            if mark.set_running_or_notify_cancel():
                mark.set_result(None)

    def _name(self, client: str, day: int) -> str:
        """The name that a client is kept under: its key's, or the digest of the day, since 1970."""
        if self.keyed:
            return client
        known = self._salt
        if known is None or known[0] != day:
            self._salt = known = day, self._journal.salt(day)
        return digest(client, known[1])

    def _prune(self) -> None:
        """Deletes what is too old or too much, and salts of earlier days, now and then; where that is much, a step a turn."""
        now = time.monotonic()
        if now - self._pruned < PRUNE_SECONDS:
            return
        self._pruned = now
        if self._salt and self._salt[0] < int(epoch_seconds() // DAY):
            self._salt = None
        try:
            if self._journal.prune(self._settings.keep_days, self._settings.keep_megabytes * MIB) >= STEP:
                self._pruned = float("-inf")
        except Exception as error:  # the next time may succeed
            logger.warning("kept answers could not be pruned: %s", error, exc_info=_unless_known(error))


def is_recent(identity: str, now: float) -> bool:
    """Whether an id was made within RECENT of a time, seconds since 1970; or as long after it: replicas' clocks may differ."""
    made = int.from_bytes(bytes.fromhex(identity)[:TIME_BYTES], "big") / 1000
    return abs(now - made) <= RECENT


def _to_entry(waiting: _Waiting, client: str) -> Entry:
    answer, glyphs, picture = waiting.answered
    if isinstance(answer, Prediction):
        text, boxes = str(answer.digit), [answer.box]
    else:
        text, boxes = answer.text, [digit.box for digit in answer.digits]
    return Entry(
        id=waiting.id,
        created=waiting.created,
        client=client,
        model=f"{answer.model.name}/{answer.model.version}",
        text=text,
        single=isinstance(answer, Prediction),
        confidence=answer.confidence,
        accepted=answer.accepted,
        boxes=tuple(boxes),
        glyphs=_join(glyphs) if waiting.glyphs is None else waiting.glyphs,
        picture=picture.data if picture else None,
    )


def _join(glyphs: Sequence[Glyph]) -> Glyphs:
    """Their pixels, copied."""
    return np.array([glyph.pixels for glyph in glyphs])


def _unless_known(error: Exception) -> Exception | None:
    """What a traceback is worth having of."""
    return None if isinstance(error, NumeralError) else error
