"""Lets a second version read the same pictures, unseen, in its own thread, and counts how often both agree."""

import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Literal

import numpy as np

from app.errors import NoDigitFound, Overloaded
from app.reading.decode.picture import Picture
from app.reading.find.steps import find_digits
from app.reading.model import DigitModel
from app.reading.numbers.read import read_number
from app.reading.requests import Compared
from app.runtime.shared_state import Shared
from app.runtime.worker_thread import LAST_NICENESS, lower_priority

logger = logging.getLogger(__name__)

WAITING = 256  # pictures that may wait for the shadow, and
WAITING_BYTES = 32 * 2**20  # most that their pixels may take; more are dropped


@dataclass(frozen=True)
class Agreement:
    """Counts of pictures: read by both versions, read the same, skipped, and failed by the shadow."""

    compared: int = 0
    agreed: int = 0
    dropped: int = 0
    failed: int = 0


class Agreements:
    """The sums over all workers, by the id of the switch that began them."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        columns = "switch INTEGER PRIMARY KEY, compared INTEGER, agreed INTEGER, dropped INTEGER, failed INTEGER"
        with shared.transaction() as database:
            database.execute(f"CREATE TABLE IF NOT EXISTS agreements ({columns})")

    def add(self, switch: int, agreement: Agreement) -> None:
        """Adds what one worker compared."""
        with self._shared.transaction() as database:
            database.execute(
                "INSERT INTO agreements VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " compared = compared + excluded.compared, agreed = agreed + excluded.agreed,"
                " dropped = dropped + excluded.dropped, failed = failed + excluded.failed",
                (switch, *astuple(agreement)),
            )

    def read(self, switch: int) -> Agreement:
        """The sums so far."""
        with self._shared.transaction() as database:
            row = database.execute("SELECT * FROM agreements WHERE switch = ?", (switch,)).fetchone()
        return Agreement(*row[1:]) if row else Agreement()


class Shadow:
    """The version that answers unseen, finder and classifier; its thread calls record with the outcome of each batch."""

    def __init__(self, model: DigitModel, record: Callable[[Agreement], None]) -> None:
        self.model = model
        self._record = record
        self._batches: SimpleQueue[list[Compared] | None] = SimpleQueue()
        self._lock = Lock()
        self._waiting = self._bytes = self._dropped = 0
        self._ending = False
        self._thread = Thread(target=self._work, daemon=True)
        self._thread.start()

    def compare(self, read: Sequence[Compared]) -> None:
        """Queues pictures with what the active version read in each; neither blocks nor raises."""
        batch = [each for each in read if self._has_room(each.picture)]
        if batch:
            self._batches.put(batch)

    def stop(self) -> None:
        """Ends the thread after the picture that it reads; those that wait count as dropped."""
        self._ending = True
        self._batches.put(None)
        self._thread.join()

    def _has_room(self, picture: Picture) -> bool:
        """Whether the picture may wait; it then counts as waiting, and else as dropped."""
        with self._lock:
            room = self._waiting < WAITING and self._bytes + picture.pixels.nbytes <= WAITING_BYTES
            self._waiting += room
            self._bytes += picture.pixels.nbytes * room
            self._dropped += not room
        return room

    def _work(self) -> None:
        lower_priority(LAST_NICENESS)
        outcomes = Counter[str]()
        while batch := self._batches.get():
            outcomes.update(map(self._compare, batch))
            with self._lock:
                self._waiting -= len(batch)
                self._bytes -= sum(each.picture.pixels.nbytes for each in batch)
            if not self._ending:  # otherwise all of them at once, after the last
                self._tell(outcomes)
                outcomes.clear()
        self._tell(outcomes)

    def _tell(self, outcomes: Counter[str]) -> None:
        """Has these outcomes recorded, with what was dropped since the last time."""
        with self._lock:
            dropped, self._dropped = outcomes["dropped"] + self._dropped, 0
        compared = outcomes["agreed"] + outcomes["differed"]
        agreement = Agreement(compared, outcomes["agreed"], dropped, outcomes["failed"])
        if agreement == Agreement():
            return
        try:
            self._record(agreement)
        except (Overloaded, sqlite3.Error):
            logger.warning("the shadow's agreement could not be recorded", exc_info=True)

    def _compare(self, read: Compared) -> Literal["agreed", "differed", "failed", "dropped"]:
        if self._ending:
            return "dropped"
        try:
            return "agreed" if self._read(read) == read.text else "differed"
        except Exception:  # no answer depends on it
            logger.exception("the shadow failed")
            return "failed"

    def _read(self, read: Compared) -> str | None:
        """What it reads in the picture in the same way; None where it finds no digit."""
        try:
            if read.number:
                return read_number(self.model, read.picture, read.number).reading.text
            (steps,) = find_digits(self.model.finder, read.picture)
        except NoDigitFound:
            return None
        return str(self.model.classifier.infer(steps.glyph.pixels[np.newaxis]).digits.argmax())
