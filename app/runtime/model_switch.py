"""Changes the model while the service answers: loads the new one next to the old, proves it, and swaps when all workers can.

The agreement is in the workers' shared database. A thread queries it, never the event loop.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial

from app.errors import ModelRejected, NotFound, Overloaded, StartupError
from app.reading.decode.picture import Decoder
from app.reading.infer.store import SERVED, find_model, read_pointer, versions
from app.reading.model import DigitModel
from app.reading.reader import Reader
from app.runtime.catalogue import ChosenBy, Models, ShadowInfo, Version
from app.runtime.shadow import Agreements, Shadow
from app.runtime.shared_state import Shared
from app.runtime.switch_votes import Switch, SwitchVotes
from app.settings import Settings

logger = logging.getLogger(__name__)

PERIOD = 0.2  # seconds between checks for the other workers' proposals
ADOPTION_SECONDS = 5.0  # a worker that has not swapped by then hangs, and its supervisor replaces it
HISTORY = 20  # versions that a rollback remembers

WHY: dict[ChosenBy, str] = {
    "pointer": "the store's pointer names it",
    "setting": "the setting names it",
    "activation": "it was activated since the start",
}

Load = Callable[[Settings], DigitModel]


class ModelSwitch:
    """One worker's models. load opens and proves a version; serve replaces the reader."""

    def __init__(
        self, settings: Settings, shared: Shared, load: Load, serve: Callable[[Reader], None], decoder: Decoder
    ) -> None:
        """decoder: shared by every reader that is served."""
        self._settings = settings
        self._ask = shared.ask
        self._load = load
        self._serve = serve
        self._decoder = decoder
        self._votes = SwitchVotes(shared)
        self._agreements = Agreements(shared)
        self._turn = asyncio.Lock()
        self._prepared: dict[
            int, tuple[Reader | None, str | None]
        ] = {}  # by the id of the proposed switch: its reader, or the refusal
        self._serving: Switch
        self._reader: Reader
        self._noted: int  # the id of the switch that the database knows this worker to serve

    def start(self, load_first: Callable[[Settings], Reader]) -> None:
        """Serves what the other workers serve; the first worker serves what the settings name.

        Raises:
            StartupError: the model cannot be served.
        """
        switch = self._votes.committed()
        if switch is None:
            self._reader = load_first(self._settings)
            switch = self._votes.open(self._reader.model.record.version)
        while True:
            reader = Reader(self._prepare_model(switch), self._decoder, self._try_to_prepare_shadow(switch))
            if self._votes.join(switch):
                break
            _end(reader)
            switch = self._votes.news()[0]
        self._put_in_place(switch, reader)
        self._noted = switch.id

    async def follow(self) -> None:
        """Takes part in the workers' agreements until it is cancelled."""
        told = ""
        while True:
            try:
                await self._step()
                told = ""
            except Overloaded as error:  # while another process holds the database or its disk is full
                if error.detail != told:
                    logger.warning("a switch of models would have to wait: %s", error.detail)
                told = error.detail
            except Exception:  # the next check may succeed, and the service continues
                logger.exception("a switch of models could not be followed")
            await asyncio.sleep(PERIOD)

    def stop(self) -> None:
        """Stops taking part."""
        try:
            self._votes.leave()
        except Overloaded:  # the others will notice that this process is gone
            logger.warning("the workers' shared database is busy: this worker ends without deregistering")
        _end(self._reader)

    async def activate(self, version: str) -> None:
        """Makes every worker answer with this version, or with ``served``, the one that the store's pointer names now.

        Raises:
            NotFound: the version is not in the store.
            ModelRejected: a worker could not load and prove it; no worker has switched.
            SwitchInProgress: another switch is in progress.
        """
        now, version = await self._ask(self._committed), await asyncio.to_thread(self._resolve, version)
        if version != now.active:
            history = (*now.history, version)[-HISTORY:]
            await self._change(now, history, None if version == now.shadow else now.shadow)

    async def roll_back(self) -> None:
        """Makes every worker answer with the version that was active before.

        Raises:
            ModelRejected: there is no earlier version, or as for activate.
            SwitchInProgress: as for activate.
        """
        now = await self._ask(self._committed)
        if len(now.history) < 2:
            raise ModelRejected("There is no earlier version to go back to since the service was started.")
        history = now.history[:-1]
        await self._change(now, history, None if history[-1] == now.shadow else now.shadow)

    async def cast_shadow(self, version: str | None) -> None:
        """Makes this version answer too, unseen; None ends the shadow.

        Raises:
            RequestError: as for activate; ModelRejected also for the active version.
        """
        now = await self._ask(self._committed)
        shadow = version and await asyncio.to_thread(self._resolve, version)
        if shadow == now.active:
            raise ModelRejected(f"Version {shadow} is the active one: it would agree with itself.")
        if shadow != now.shadow:
            await self._change(now, now.history, shadow)

    def describe(self) -> Models:
        """The versions in the store, and which of them answer."""
        now, settings = self._committed(), self._settings
        agreement = self._agreements.read(now.id)
        return Models(
            name=settings.model_name,
            active=now.active,
            chosen_by=self._chosen_by(now),
            served=self._pointer(),
            previous=now.history[-2] if len(now.history) > 1 else None,
            shadow=ShadowInfo(version=now.shadow, **vars(agreement)) if now.shadow else None,
            versions=[self._describe(version, now) for version in versions(settings.model_store, settings.model_name)],
        )

    def _describe(self, version: str, now: Switch) -> Version:
        described = Version(version=version, active=version == now.active, shadow=version == now.shadow)
        try:
            record = find_model(self._settings.model_store, self._settings.model_name, version).record
        except StartupError as error:
            return described.model_copy(update={"problem": str(error)})
        known = {name: getattr(record, name) for name in ("created", "architecture", "parameters", "accuracy")}
        return described.model_copy(update={**known, "sha256": record.editions.get("float32")})

    def _committed(self) -> Switch:
        return self._votes.news()[0]

    @property
    def chosen_by(self) -> ChosenBy:
        """Who chose the version that this worker serves."""
        return self._chosen_by(self._serving)

    def _chosen_by(self, switch: Switch) -> ChosenBy:
        if len(switch.history) > 1:
            return "activation"
        return "pointer" if self._settings.model_version == SERVED else "setting"

    def _pointer(self) -> str | None:
        try:
            return read_pointer(self._settings.model_store, self._settings.model_name)
        except StartupError:  # the next start will name the reason
            return None

    def _resolve(self, version: str) -> str:
        found = versions(self._settings.model_store, self._settings.model_name)
        try:
            wanted = read_pointer(self._settings.model_store, self._settings.model_name) if version == SERVED else version
        except StartupError as error:
            raise ModelRejected(str(error)) from error
        if wanted not in found:
            raise NotFound(f"There is no version {wanted} of the model; there is {', '.join(found) or 'none'}.")
        return wanted

    async def _change(self, now: Switch, history: tuple[str, ...], shadow: str | None) -> None:
        switch = await self._ask(partial(self._votes.propose, now, history, shadow, self._settings.switch_seconds))
        until = time.monotonic() + self._settings.switch_seconds
        while switch.status == "preparing":
            try:
                await self._step()
                switch = await self._ask(partial(self._votes.tally, switch))
            except Overloaded:  # the others may have decided meanwhile, which only the database tells
                if time.monotonic() > until:
                    raise
            if switch.status == "preparing":
                await asyncio.sleep(PERIOD / 4)
        if switch.status == "rejected":
            raise ModelRejected(switch.reason or "A worker could not load it.")
        until = time.monotonic() + ADOPTION_SECONDS
        while not await self._is_adopted(switch):
            if time.monotonic() > until:
                break
            await asyncio.sleep(PERIOD / 4)

    async def _is_adopted(self, switch: Switch) -> bool:
        """Adopts a committed switch; whether all other workers have, too, as far as is known."""
        try:
            await self._step()
            return await self._ask(partial(self._votes.is_adopted, switch))
        except Overloaded:  # the switch has taken place, and is adopted by every worker once the database is free
            return False

    async def _step(self) -> None:
        """Votes on the proposed switch and serves the committed one."""
        async with self._turn:
            committed, proposed = await self._ask(self._votes.news)
            if proposed:
                await self._vote(proposed)
                committed, proposed = await self._ask(self._votes.news)
            if committed.id != self._serving.id:
                await self._adopt(committed)
            elif committed.id != self._noted:  # the database was busy when it was adopted
                await self._note(committed)
            if not proposed:
                self._discard()

    async def _vote(self, switch: Switch) -> None:
        if switch.id not in self._prepared:
            self._prepared[switch.id] = await asyncio.to_thread(self._try_to_prepare, switch)
        refusal = self._prepared[switch.id][1]
        await self._ask(
            partial(self._votes.vote, switch, refusal)
        )  # repeated on each step: a vote that found the database busy succeeds later
        await self._ask(partial(self._votes.tally, switch))

    async def _adopt(self, switch: Switch) -> None:
        before = self._reader
        prepared, _ = self._prepared.pop(switch.id, (None, None))
        reader = await asyncio.to_thread(self._prepare, switch) if prepared is None else prepared
        self._put_in_place(switch, reader)
        try:
            await self._note(switch)
        finally:
            await asyncio.to_thread(_end, before)

    async def _note(self, switch: Switch) -> None:
        """Tells the others that this worker serves the switch."""
        await self._ask(partial(self._votes.adopt, switch))
        self._noted = switch.id

    def _put_in_place(self, switch: Switch, reader: Reader) -> None:
        self._serving, self._reader = switch, reader
        self._serve(reader)
        told = switch.active, WHY[self._chosen_by(switch)], switch.shadow or "none"
        logger.info("version %s answers: %s; shadow %s", *told)

    def _discard(self) -> None:
        for reader, _ in self._prepared.values():
            if reader:
                _end(reader)
        self._prepared.clear()

    def _try_to_prepare(self, switch: Switch) -> tuple[Reader | None, str | None]:
        """The reader that the switch would serve, or the reason why it cannot be served."""
        try:
            return self._prepare(switch), None
        except StartupError as error:
            return None, str(error)
        except Exception as error:  # a broken model may raise anything, and must not end a worker
            logger.exception("version %s cannot be loaded", switch.active)
            return None, f"A worker failed to load it: {type(error).__name__}."

    def _prepare(self, switch: Switch) -> Reader:
        """The reader that the switch serves.

        Raises:
            StartupError: the model or its shadow cannot be served.
        """
        return Reader(self._prepare_model(switch), self._decoder, self._prepare_shadow(switch))

    def _prepare_model(self, switch: Switch) -> DigitModel:
        """The model that answers, loaded and proven unless it already does."""
        now: Reader | None = getattr(self, "_reader", None)
        return now.model if now and now.model.record.version == switch.active else self._open(switch.active)

    def _prepare_shadow(self, switch: Switch) -> Shadow | None:
        if switch.shadow is None:
            return None
        return Shadow(self._open(switch.shadow), lambda agreement: self._agreements.add(switch.id, agreement))

    def _try_to_prepare_shadow(self, switch: Switch) -> Shadow | None:
        """The shadow; None if its version is gone or damaged by now, since no answer depends on it."""
        try:
            return self._prepare_shadow(switch)
        except Exception as error:  # a broken model may raise anything
            unknown = not isinstance(error, StartupError)
            logger.error("this worker serves without the shadow, version %s: %s", switch.shadow, error, exc_info=unknown)
            return None

    def _open(self, version: str) -> DigitModel:
        return self._load(self._settings.model_copy(update={"model_version": version}))


def _end(reader: Reader) -> None:
    if isinstance(reader.comparison, Shadow):
        reader.comparison.stop()
