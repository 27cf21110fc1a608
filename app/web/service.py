"""What a process serves with: one typed object, made with the application and filled while it runs."""

import asyncio
import os
import signal
import sys
import threading
import warnings
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from fastapi import Request

from app.errors import NotReady, StartupError
from app.reading.decode.picture import Decoder
from app.reading.reader import Reader
from app.runtime.loading import load_model, open_decoder, start_decoder
from app.runtime.model_switch import ModelSwitch
from app.runtime.places import Place
from app.runtime.process import SWITCH_SECONDS, MemoryTrimmer, drain_before_the_end, spare_collections, watch_parent
from app.runtime.queue import Batcher
from app.runtime.shared_state import Shared
from app.runtime.watchdog import LoopHeartbeat, Watchdog, Watched, end_process
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.web.access.keys import Keyring
from app.web.access.rate_limit import RateLimiter
from app.web.endpoints import Endpoint

if TYPE_CHECKING:  # its packages are an extra
    from app.corrections.keeper import Keeper

Part = TypeVar("Part")


class Service:
    """Settings, keys and metrics from the start; reader, queue, model switch and limits while it runs."""

    def __init__(self, settings: Settings, keyring: Keyring | None, metrics: Metrics) -> None:
        self.settings = settings
        self.keyring = keyring
        self.metrics = metrics
        self.draining = False  # /health/ready says 503, and everything else is answered as before
        self.limiter: RateLimiter | None = None
        self.keeper: Keeper | None = None  # where keeping is on
        self.correction_limiter: RateLimiter | None = None
        self._reader: Reader | None = None
        self._batcher: Batcher | None = None
        self._switch: ModelSwitch | None = None
        self._watchdog: Watchdog | None = None

    @property
    def reader(self) -> Reader:
        """What reads now; the model may be exchanged at any time.

        Raises:
            NotReady: the model is not loaded yet.
        """
        return _ready(self._reader)

    @property
    def batcher(self) -> Batcher:
        """The queue.

        Raises:
            NotReady: as for reader.
        """
        return _ready(self._batcher)

    @property
    def switch(self) -> ModelSwitch:
        """What exchanges the model.

        Raises:
            NotReady: as for reader.
        """
        return _ready(self._switch)

    @property
    def watchdog(self) -> Watchdog:
        """What sees that workers and decoders live.

        Raises:
            NotReady: as for reader.
        """
        return _ready(self._watchdog)

    def admit(self, length: int, client: str) -> Place:
        """A place in the queue for a client's request with a body of so many bytes.

        Raises:
            NotReady: as for reader.
            Overloaded: there is none.
        """
        return self.batcher.admit(length, client)

    def limiter_of(self, endpoint: Endpoint) -> RateLimiter | None:
        """What limits how often a client calls an endpoint, if anything does."""
        return self.correction_limiter if endpoint.corrects and self.correction_limiter else self.limiter

    @asynccontextmanager
    async def run(self, load: Callable[[Settings], Reader]) -> AsyncGenerator[None]:
        """Loads the model and takes part in what the workers share, until the end.

        Raises:
            StartupError: the model cannot be served, decoders cannot start, or the workers' folder cannot be written to.
        """
        _tune_process()
        with open_decoder(self.settings) as decoder:  # they start while the model is loaded
            async with self._run(load, decoder):
                yield

    @asynccontextmanager
    async def _run(self, load: Callable[[Settings], Reader], decoder: Decoder) -> AsyncGenerator[None]:
        """Starts the parts one after the other. Each ends after those that start later, even if one of those cannot start."""
        memory = MemoryTrimmer() if _owns_process() else None
        async with AsyncExitStack() as ends:
            ends.callback(self._let_go)
            ends.callback(self.metrics.close)
            shared = Shared(self.settings.runtime_dir)
            ends.push_async_callback(asyncio.to_thread, shared.close)
            self.keeper = self._open_keeper()
            if self.keeper:
                ends.push_async_callback(asyncio.to_thread, self.keeper.stop)
                self.correction_limiter = RateLimiter(self.settings.correction_limit, shared, "corrections")
            switch = self._switch = ModelSwitch(self.settings, shared, load_model, self._serve, decoder)
            switch.start(load)
            ends.push_async_callback(asyncio.to_thread, switch.stop)
            start_decoder(decoder)
            batcher = self._batcher = Batcher(self.reader, self.settings, self.metrics)
            ends.callback(batcher.stop)
            self.limiter = RateLimiter(self.settings.rate_limit, shared) if self.settings.rate_limit else None
            self.draining = False
            if _owns_process():
                self._own_process()
            ends.push_async_callback(_cancel, asyncio.create_task(switch.follow()))
            self._watchdog = _watch(batcher, decoder, memory, self.settings)
            ends.callback(self._watchdog.stop)
            yield

    def _let_go(self) -> None:
        self._reader = self._batcher = self._switch = self._watchdog = self.limiter = None
        self.keeper = self.correction_limiter = None

    def _open_keeper(self) -> "Keeper | None":
        """What keeps answers, where the settings say so.

        Raises:
            StartupError: it cannot be opened.
        """
        if self.settings.keep == "off":
            return None
        try:
            from app.corrections.journal import Journal  # noqa: PLC0415  an extra
            from app.corrections.keeper import Keeper  # noqa: PLC0415  as above
        except ImportError as error:
            raise StartupError(f"To keep answers, install numeral-digits[corrections]: {error.name} is missing.") from error
        return Keeper(self.settings, Journal.open(self.settings), self.metrics, keyed=self.keyring is not None)

    def _serve(self, reader: Reader) -> None:
        """Puts a reader in the place of the one before; what is being read is read to its end by that one."""
        self._reader = reader
        self.metrics.serve(reader.model)
        if self._batcher:
            self._batcher.reader = reader

    def _own_process(self) -> None:
        drain_before_the_end(self._begin_draining, self.settings.drain_seconds)
        spare_collections()
        watch_parent(partial(os.kill, os.getpid(), signal.SIGTERM))  # of one worker among several

    def _begin_draining(self) -> bool:
        """Whether draining begins now."""
        begins = not self.draining
        self.draining = True
        return begins


def service_of(request: Request) -> Service:
    """The service that a request came to: the state of its application."""
    service: Service = request.app.state
    return service


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


def _ready(part: Part | None) -> Part:
    if part is None:
        raise NotReady("The model is being loaded.")
    return part


def _watch(batcher: Batcher, decoder: Decoder, memory: MemoryTrimmer | None, settings: Settings) -> Watchdog:
    """Watches what reads; ends the process where it is this application's own, and past recovery."""
    watched: dict[str, Watched] = {"worker threads": batcher}
    if isinstance(decoder, Watched):
        watched["decoder processes"] = decoder
    if memory:
        watched["memory"] = memory
    if _owns_process():
        watched["event loop"] = LoopHeartbeat(asyncio.get_running_loop())
    last = settings.drain_seconds + settings.deadline_seconds
    return Watchdog(watched, partial(end_process, last) if _owns_process() else lambda: None)


def _owns_process() -> bool:
    """Whether the service runs in the main thread; elsewhere, as in a test, the process is another's."""
    return threading.current_thread() is threading.main_thread()


def _tune_process() -> None:
    sys.setswitchinterval(SWITCH_SECONDS)
    warnings.filterwarnings("ignore", module="PIL")  # damaged files would fill the log, and memory, with them
