"""A second version answers too, unseen, in its own thread; only the counts of agreement are kept."""

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import astuple, dataclass
from queue import Full, Queue
from threading import Thread

import numpy as np
from numpy.typing import NDArray

from app.errors import Overloaded
from app.reading.model import DigitModel
from app.runtime.shared_state import Shared

logger = logging.getLogger(__name__)

WAITING = 32  # batches that may wait for the shadow; more are dropped


@dataclass(frozen=True)
class Agreement:
    """Counts of glyphs: read by both versions, read the same, skipped, and failed by the shadow."""

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
    """The version that answers unseen; its thread calls record with the outcome of each batch."""

    def __init__(self, model: DigitModel, record: Callable[[Agreement], None]) -> None:
        self.model = model
        self._record = record
        self._batches: Queue[tuple[NDArray[np.uint8], NDArray[np.intp]] | None] = Queue(WAITING)
        self._dropped = 0
        self._thread = Thread(target=self._work, daemon=True)
        self._thread.start()

    def compare(self, glyphs: NDArray[np.uint8], digits: NDArray[np.intp]) -> None:
        """Queues glyphs (N, 28, 28) and the digits (N,) that the active version read; neither blocks nor raises."""
        try:
            self._batches.put_nowait((glyphs, digits))
        except Full:
            self._dropped += len(glyphs)

    def stop(self) -> None:
        """Ends the thread after it has compared the waiting batches."""
        self._batches.put(None)
        self._thread.join()

    def _work(self) -> None:
        while batch := self._batches.get():
            dropped, self._dropped = self._dropped, 0
            compared, agreed, failed = self._compare(*batch)
            try:
                self._record(Agreement(compared, agreed, dropped, failed))
            except (Overloaded, sqlite3.Error):
                logger.warning("the shadow's agreement could not be recorded", exc_info=True)

    def _compare(self, glyphs: NDArray[np.uint8], digits: NDArray[np.intp]) -> tuple[int, int, int]:
        try:
            agreed = int((self.model.classifier.infer(glyphs).digits.argmax(axis=1) == digits).sum())
        except Exception:  # no answer depends on it
            logger.exception("the shadow failed")
            return 0, 0, len(glyphs)
        return len(glyphs), agreed, 0
