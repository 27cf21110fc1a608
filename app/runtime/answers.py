"""The answers that a request waits for. The wait ends with the last answer, at the deadline, or when the client hangs up."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn

from app.errors import HungUp
from app.reading.requests import PictureOutcome, PictureRequest, TensorOutcome, TensorRequest

PATIENCE = 0.5  # seconds before it is worth watching for a hang-up; most requests are answered by then


def _gone() -> NoReturn:
    raise HungUp


RELEASED = PictureRequest(_gone)  # in the place of what needs no answer any more: it holds no bytes


class Answers:
    """The answers to one request so far, and a future that is done when the wait ends.

    asked: the pictures or tensors whose answers are missing. Their bytes are here alone, so that they can be let go of while
    jobs for them are still in the queue.
    """

    def __init__(self, asked: Sequence[PictureRequest | TensorRequest], client: str, loop: asyncio.AbstractEventLoop) -> None:
        self.client = client
        self.asked = list(asked)
        self.outcomes: list[Any] = [None] * len(asked)
        self.missing = len(asked)
        self.over: asyncio.Future[None] = loop.create_future()

    def open(self, place: int, opened: PictureRequest) -> None:
        """Puts a picture whose bytes have been read in its place. Workers call this, at any time."""
        self.asked[place] = opened
        if self.over.done():  # the event loop may have let go of everything a moment before
            self.let_go()

    def take(self, place: int, outcome: PictureOutcome | TensorOutcome) -> None:
        """Notes an answer."""
        self.outcomes[place] = outcome
        self.asked[place] = RELEASED
        self.missing -= 1
        if not self.missing:
            self.end()

    def end(self) -> None:
        """Ends the wait, even if answers are missing."""
        if not self.over.done():
            self.over.set_result(None)

    def let_go(self) -> None:
        """Ends the wait for good: workers skip what is left of the request, and its bytes are freed."""
        self.over.cancel()
        self.asked[:] = [RELEASED] * len(self.asked)


class Wait:
    """Ends the wait at the deadline or when the client hangs up, which is checked only after PATIENCE."""

    def __init__(
        self, answers: Answers, gone: Callable[[], Awaitable[object]], longest: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        """gone: returns when the client has hung up. longest: seconds until the deadline."""
        self._answers, self._gone, self._longest, self._loop = answers, gone, longest, loop
        self._watcher: asyncio.Future[object] | None = None
        self._timer = loop.call_later(min(PATIENCE, longest), self._look)

    def _look(self) -> None:
        if self._longest <= PATIENCE:
            self._answers.end()
            return
        self._timer = self._loop.call_later(self._longest - PATIENCE, self._answers.end)
        self._watcher = asyncio.ensure_future(self._gone())
        self._watcher.add_done_callback(lambda _: self._answers.end())

    @property
    def hung_up(self) -> bool:
        """Whether the client has hung up."""
        return self._watcher is not None and self._watcher.done()

    def end(self) -> None:
        """Stops watching."""
        self._timer.cancel()
        if self._watcher:
            self._watcher.cancel()
