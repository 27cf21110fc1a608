"""The wall around decoding: processes that can be killed decode untrusted pictures.

    this process ── "start one" ──► starter (clean, small) ── fork ──► decoders
         └───── question, answer (a socket); bytes and pixels (memory that both share) ─────┘

A picture that takes too long or too much memory, or crashes its decoder, harms only that decoder. It is killed, another is
ready within milliseconds, and the picture gets an error that names the limit. All of them end with this process: its end
closes the starter's socket, and the starter's end kills the decoders (PR_SET_PDEATHSIG).
"""

import logging
import time
from collections.abc import Iterable, Sequence
from math import inf
from threading import Condition

from app.errors import DeadlineExceeded, DecoderCrashed, DecodingTimedOut, NotReady, StartupError, UploadTooLarge
from app.reading.decode.fast_decoders import PngHeader
from app.reading.decode.limits import Limits
from app.reading.decode.picture import Picture, decode_plain
from app.runtime.decoder_handle import DecoderHandle
from app.runtime.decoder_protocol import MEMORY_LIMIT, NO_FILES_OR_NETWORK, Costs, Decoded, Fault, ProtocolError
from app.runtime.decoder_starter import DecoderStarter, starter_command

TOO_LATE = "The picture could not be decoded before the request's deadline; try again later."

logger = logging.getLogger(__name__)


class DecoderProcesses:
    """Decodes in other processes, each one picture at a time. Safe to call from several threads, which wait without a lock."""

    def __init__(self, limits: Limits, costs: Costs, processes: int, command: Sequence[str] | None = None) -> None:
        """Begins to start the processes without waiting for them; start waits.

        command: runs the starter; starter_command() by default.
        """
        self._limits, self._costs = limits, costs
        self._starter = DecoderStarter(limits, costs, command or starter_command())
        self._slots = [_Slot() for _ in range(processes)]
        self._idle = _Idle(self._slots)

    def start(self) -> None:
        """Waits until all processes are ready.

        Raises:
            StartupError: the processes cannot be started.
        """
        try:
            for slot in self._slots:
                slot.process = self._starter.start()
        except (OSError, ProtocolError) as error:
            self.close()
            raise StartupError(f"The processes that decode pictures cannot be started: {error}.") from error
        logger.info(
            "%d processes decode pictures, each with %s and %g s for one; files and network are %s to them",
            len(self._slots),
            f"{self._costs.memory // 10**6} MB" if self._are_all(MEMORY_LIMIT) else "memory that is not limited",
            self._costs.seconds,
            "closed" if self._are_all(NO_FILES_OR_NETWORK) else "open",
        )

    def _are_all(self, confined: int) -> bool:
        """Whether a measure of the protocol's took effect in each process."""
        return all(slot.process and slot.process.confined & confined for slot in self._slots)

    def decode_plain(self, data: bytes, header: PngHeader) -> Picture | None:
        """Decodes a plain PNG in this process, since that code is memory-safe."""
        return decode_plain(data, header, self._limits)

    def decode(self, data: bytes, until: float = inf) -> Picture:
        """Like app.reading.decode.picture.decode, but in another process.

        until: the deadline, by the monotonic clock. By then, the picture is given up and its process replaced.

        Raises:
            RequestError: as there; and DecodingTimedOut, DecodingOutOfMemory or DecoderCrashed if the picture causes that.
            DeadlineExceeded: the deadline has passed.
            NotReady: no process can be started now.
        """
        if len(data) > self._limits.max_upload_bytes:
            raise UploadTooLarge(f"The picture has {len(data):,} bytes; the limit is {self._limits.max_upload_bytes:,}.")
        slot = self._idle.take()
        try:
            return self._decode(slot, data, until)
        finally:
            self._idle.put(slot)

    def _decode(self, slot: "_Slot", data: bytes, until: float) -> Picture:
        left = until - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded(TOO_LATE)
        try:
            process, answer = self._ask(slot, data, min(left, self._costs.seconds))
            if isinstance(answer, Decoded):
                return process.read_picture(answer)
        except TimeoutError as error:
            self._replace(slot)
            if left < self._costs.seconds:  # the picture may be a good one
                raise DeadlineExceeded(TOO_LATE) from error
            raise DecodingTimedOut(
                f"Decoding the picture takes longer than {self._costs.seconds:g} s; save it again in a simpler form."
            ) from error
        except (OSError, ProtocolError) as error:
            logger.warning("a picture of %d bytes made its decoder fail: %s", len(data), error)
            self._replace(slot)
            raise DecoderCrashed("The picture made its decoder crash; save it again, or in another format.") from error
        if answer is None or isinstance(answer, Fault):
            logger.error("a decoder failed at a picture of %d bytes: %s", len(data), answer)
            raise DecoderCrashed("The picture made its decoder fail; save it again, or in another format.")
        raise answer

    def _ask(self, slot: "_Slot", data: bytes, seconds: float) -> "tuple[DecoderHandle, Decoded | Exception | Fault | None]":
        """The slot's process, and its answer.

        If that process ends, it may have been dying before, so a second one is asked, within what is left of the seconds. If
        that ends, too, the picture is to blame: one that crashes its decoder costs two of them, and never more.

        Raises:
            DeadlineExceeded: too little was left for the second one.
            TimeoutError, OSError, ProtocolError: as DecoderHandle.ask.
            NotReady: none can be started.
        """
        process, began = self._living(slot), time.monotonic()
        try:
            return process, process.ask(data, seconds, self._limits.max_pixels)
        except ConnectionError as error:
            logger.info("a decoder ended before it answered: %s; another one is asked", error)
        process.end()
        process = self._living(slot)
        left = began + seconds - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded(TOO_LATE)
        try:
            return process, process.ask(data, left, self._limits.max_pixels)
        except TimeoutError as error:  # the picture may be a good one, which had less time than others
            self._replace(slot)
            raise DeadlineExceeded(TOO_LATE) from error

    def _living(self, slot: "_Slot") -> DecoderHandle:
        """The slot's process; a new one if it has died.

        Raises:
            NotReady: none can be started.
        """
        if slot.process is None or not slot.process.lives():
            self._replace(slot)
        if slot.process is None:
            raise NotReady("No process that decodes pictures can be started now; try again in a moment.")
        return slot.process

    def _replace(self, slot: "_Slot") -> None:
        """Ends the slot's process and starts another. Leaves the slot empty if that fails."""
        process, slot.process = slot.process, None
        if process:
            process.end()
        try:
            slot.process = self._starter.start()
        except (OSError, ProtocolError) as error:
            logger.error("no process that decodes pictures can be started: %s", error)

    @property
    def living(self) -> int:
        """The number of live processes."""
        return sum(process.lives() for process in self._processes)

    @property
    def lives(self) -> bool:
        """Whether at least one process lives; for a watchdog."""
        return self.living > 0

    @property
    def ids(self) -> list[int]:
        """The process ids."""
        return [process.id for process in self._processes]

    @property
    def _processes(self) -> list[DecoderHandle]:
        return [process for process in [slot.process for slot in self._slots] if process]

    def mend(self) -> None:
        """Replaces idle processes that have died or do not answer; a watchdog calls it regularly.

        It looks at one at a time, which may take seconds, so that the others can be asked meanwhile.
        """
        for slot in self._slots:
            place = self._idle.take_out(slot)
            if place is None:
                continue
            try:
                if slot.process is None or not slot.process.answers():
                    self._replace(slot)
            finally:
                self._idle.put(slot, place)
        self._starter.reap()

    def close(self) -> None:
        """Ends all processes."""
        for slot in self._slots:
            if slot.process:
                slot.process.end()
            slot.process = None
        self._starter.end()


class _Slot:
    """A place for a process; None while there is none."""

    def __init__(self) -> None:
        self.process: DecoderHandle | None = None


class _Idle:
    """The slots that nobody uses. The one that came last is taken first: its memory is still in the CPU's caches."""

    def __init__(self, slots: Iterable[_Slot]) -> None:
        self._slots, self._changed = list(slots), Condition()

    def take(self) -> _Slot:
        """Waits for a slot."""
        with self._changed:
            self._changed.wait_for(lambda: self._slots)
            return self._slots.pop()

    def take_out(self, slot: _Slot) -> int | None:
        """Takes this slot and returns its place among the others; None if it is in use."""
        with self._changed:
            if slot not in self._slots:
                return None
            place = self._slots.index(slot)
            del self._slots[place]
            return place

    def put(self, slot: _Slot, place: int | None = None) -> None:
        """Puts a slot back, at its place or as the last one."""
        with self._changed:
            self._slots.insert(len(self._slots) if place is None else place, slot)
            self._changed.notify()
