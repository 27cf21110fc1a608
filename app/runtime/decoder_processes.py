"""The wall around decoding: processes that can be killed decode untrusted pictures.

    this process ── "start one" ──► starter (clean, small) ── fork ──► decoders
         └───── question, answer (a socket); bytes and pixels (memory that both share) ─────┘

A picture that takes too long or too much memory, or crashes its decoder, harms only that decoder. It is killed, another is
ready within milliseconds, and the picture gets an error that names the limit. All of them end with this process: its end
closes the starter's socket, and the starter's end kills the decoders (PR_SET_PDEATHSIG).
"""

import fcntl
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, LifoQueue
from threading import Lock

import numpy as np

from app.errors import DecoderCrashed, DecodingTimedOut, NotReady, StartupError, UploadTooLarge
from app.reading.decode.fast_decoders import PngHeader
from app.reading.decode.limits import Limits
from app.reading.decode.picture import Picture, decode_plain
from app.runtime.decoder_protocol import (
    HELLO,
    MARK,
    NO_FILES_OR_NETWORK,
    PACKET,
    PIXEL_BYTES,
    READY,
    START,
    STARTED,
    Costs,
    Decoded,
    Fault,
    ProtocolError,
    ask,
    ask_alive,
    read_answer,
)

logger = logging.getLogger(__name__)

STARTER_SECONDS = 20.0  # for the starter to be ready; it takes half a second on an idle machine
STARTING_SECONDS = 5.0  # for a decoder to be ready; it takes a few milliseconds
LIVING_SECONDS = 2.0  # for an idle decoder to answer
LOOK_SECONDS = 10.0  # between two such checks of a decoder
MOST_MMAP = 32 * 2**20  # bytes; the largest value that the C library accepts (mallopt(3))
KEPT_VARIABLES = ("LD_LIBRARY_PATH", "TZ")  # of the environment that Python may need; any other may be a secret

# This process passes on its import path: -I ignores the environment's, -S skips the search for site-packages.
PROGRAM = "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); from app.runtime.decoder_child import main; main()"


def starter_command() -> list[str]:
    """The command that runs the starter; two arguments are added: its parameters and, last, the import path."""
    return [sys.executable, "-I", "-S", *(["-B"] if sys.dont_write_bytecode else []), "-c", PROGRAM]


class DecoderProcesses:
    """Decodes in other processes, each one picture at a time. Safe to call from several threads, which wait without a lock."""

    def __init__(self, limits: Limits, costs: Costs, processes: int, command: Sequence[str] | None = None) -> None:
        """Begins to start the processes without waiting for them; start waits.

        command: runs the starter; starter_command() by default.
        """
        self._limits, self._costs = limits, costs
        self._starter = _Starter(limits, costs, command or starter_command())
        self._slots = [_Slot() for _ in range(processes)]
        self._idle: LifoQueue[_Slot] = LifoQueue()  # the last one's memory is still in the CPU's caches
        for slot in self._slots:
            self._idle.put(slot)

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
        confined = all(slot.process and slot.process.confined & NO_FILES_OR_NETWORK for slot in self._slots)
        logger.info(
            "%d processes decode pictures, each with %d MB and %g s for one; files and network are %s to them",
            len(self._slots),
            self._costs.memory // 10**6,
            self._costs.seconds,
            "closed" if confined else "open",
        )

    def decode_plain(self, data: bytes, header: PngHeader) -> Picture | None:
        """Decodes a plain PNG in this process, since that code is memory-safe."""
        return decode_plain(data, header, self._limits)

    def decode(self, data: bytes) -> Picture:
        """Like app.reading.decode.picture.decode, but in another process.

        Raises:
            RequestError: as there; and DecodingTimedOut, DecodingOutOfMemory or DecoderCrashed if the picture causes that.
            NotReady: no process can be started now.
        """
        if len(data) > self._limits.max_upload_bytes:
            raise UploadTooLarge(f"The picture has {len(data):,} bytes; the limit is {self._limits.max_upload_bytes:,}.")
        slot = self._idle.get()
        try:
            return self._decode(slot, data)
        finally:
            self._idle.put(slot)

    def _decode(self, slot: "_Slot", data: bytes) -> Picture:
        process = self._living(slot)
        try:
            answer = process.ask(data, self._costs.seconds, self._limits.max_pixels)
            if isinstance(answer, Decoded):
                return process.read_picture(answer)
        except TimeoutError as error:
            self._replace(slot)
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

    def _living(self, slot: "_Slot") -> "_Process":
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
        """Ends the slot's process and starts another; leaves the slot empty if that fails."""
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
        return sum(process is not None and process.lives() for process in [slot.process for slot in self._slots])

    @property
    def lives(self) -> bool:
        """Whether at least one process lives; for a watchdog."""
        return self.living > 0

    @property
    def ids(self) -> list[int]:
        """The process ids."""
        return [slot.process.id for slot in self._slots if slot.process]

    def mend(self) -> None:
        """Replaces idle processes that have died or do not answer; a watchdog calls it regularly."""
        looked_at = []
        with suppress(Empty):
            for _ in self._slots:
                looked_at.append(slot := self._idle.get_nowait())
                if slot.process is None or not slot.process.answers():
                    self._replace(slot)
        for slot in looked_at:
            self._idle.put(slot)

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
        self.process: _Process | None = None


class _Process:
    """A decoder: its socket, the memory shared with it, and its pidfd."""

    def __init__(self, number: int, link: socket.socket, memory: int, handle: int) -> None:
        self.id = number
        self._link, self._memory, self._handle = link, memory, handle
        self._looked = time.monotonic()
        self.confined = 0

    def greet(self) -> None:
        """Waits until the process is ready.

        Raises:
            OSError, ProtocolError: the process does not start.
        """
        self._link.settimeout(STARTING_SECONDS)
        packet = self._link.recv(PACKET)
        if len(packet) != HELLO.size or HELLO.unpack(packet)[0] != MARK:
            raise ProtocolError("it does not greet")
        self.confined = HELLO.unpack(packet)[1]

    def lives(self) -> bool:
        """Whether the process is still running."""
        return self._handle >= 0 and not _is_readable(
            self._handle
        )  # a pidfd is readable after its process ends (pidfd_open(2))

    def answers(self) -> bool:
        """Whether the process lives and answers; it is asked only if it has not answered for LOOK_SECONDS."""
        if not self.lives():
            return False
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return True
        try:
            return self._exchange(ask_alive(), LIVING_SECONDS, 0) is None
        except (OSError, ProtocolError):
            return False

    def ask(self, data: bytes, seconds: float, max_pixels: int) -> "Decoded | Exception | Fault | None":
        """Sends a picture and returns the answer.

        Raises:
            TimeoutError: no answer came within the given seconds.
            OSError, ProtocolError: the process has ended, or its answer is impossible.
        """
        _write(self._memory, data, PIXEL_BYTES)
        return self._exchange(ask(len(data)), seconds, max_pixels)

    def _exchange(self, question: bytes, seconds: float, max_pixels: int) -> "Decoded | Exception | Fault | None":
        self._link.settimeout(seconds)
        self._link.send(question)
        packet = self._link.recv(PACKET)
        self._looked = time.monotonic()
        if not packet:
            raise ConnectionError("it has ended")
        return read_answer(packet, max_pixels)

    def read_picture(self, decoded: Decoded) -> Picture:
        """The picture with a copy of the pixels, since the process could still change the shared ones."""
        pixels = np.empty((decoded.height, decoded.width, 3), np.uint8)
        if os.preadv(self._memory, [pixels.data.cast("B")], 0) != pixels.nbytes:
            raise ProtocolError("the pixels are not there")
        size = decoded.original_width, decoded.original_height
        return Picture(pixels, *size, decoded.frame, decoded.cpu_microseconds / 1e6)

    def end(self) -> None:
        """Kills the process; it must not be asked again."""
        handle, self._handle = self._handle, -1
        if handle < 0:
            return
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        self._link.close()
        os.close(self._memory)
        os.close(handle)


class _Starter:
    """The small process that starts the decoders. It is started by exec, so that it shares no thread and no memory."""

    def __init__(self, limits: Limits, costs: Costs, command: Sequence[str]) -> None:
        self._told = {
            "max_upload_bytes": limits.max_upload_bytes,
            "max_pixels": limits.max_pixels,
            "memory": costs.memory,
            "seconds": costs.seconds,
        }
        self._memory = PIXEL_BYTES + limits.max_upload_bytes
        self._command = list(command)
        self._turn = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._ready = False
        self._run()

    def start(self) -> _Process:
        """Starts a decoder. A starter that fails is replaced once.

        Raises:
            OSError, ProtocolError: no decoder can be started.
        """
        with self._turn:
            try:
                return self._start()
            except (OSError, ProtocolError):
                self._stop()
                self._run()
                return self._start()

    def end(self) -> None:
        """Ends the starter, and with it all decoders that it started."""
        with self._turn:
            self._stop()

    def _run(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            told = json.dumps({**self._told, "socket": theirs.fileno()})
            paths = json.dumps([path or str(Path.cwd()) for path in sys.path])
            try:
                self._process = subprocess.Popen(  # noqa: S603  the command is ours
                    [*self._command, told, paths],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env=_clean_environment(),
                    cwd="/",
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,  # Ctrl-C goes to this process only, which then ends the starter
                )
            except OSError:
                ours.close()
                raise
        self._control, self._ready = ours, False

    def _start(self) -> _Process:
        control = self._control
        if control is None:
            raise ProtocolError("the starter has ended")
        if not self._ready:
            control.settimeout(STARTER_SECONDS)
            if control.recv(PACKET) != STARTED.pack(READY):
                raise ProtocolError("the starter has ended before it was ready")
            self._ready = True
        control.settimeout(STARTING_SECONDS)
        memory = _shared_memory(self._memory)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                socket.send_fds(control, [START], [theirs.fileno(), memory])
                packet, handles, _, _ = socket.recv_fds(control, PACKET, 1)
            if len(packet) != STARTED.size or len(handles) != 1:
                raise ProtocolError("the starter starts nothing")
            process = _Process(STARTED.unpack(packet)[0], ours, memory, handles[0])
        except (OSError, ProtocolError):
            ours.close()
            os.close(memory)
            raise
        try:
            process.greet()
        except (OSError, ProtocolError):
            process.end()
            raise
        return process

    def _stop(self) -> None:
        if self._control:
            self._control.close()
            self._control = None
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


def _clean_environment() -> dict[str, str]:
    """The starter's environment. It limits each library to one thread.

    The C library reuses freed memory instead of asking the system again, which would cost as much as decoding a small picture.
    After a picture, a decoder returns what it holds in excess (decoder_child.GROWN).
    """
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_ARENA_MAX"), "1")
    reused = {"MALLOC_MMAP_THRESHOLD_": str(MOST_MMAP), "MALLOC_TRIM_THRESHOLD_": str(2 * MOST_MMAP)}
    return {**kept, **single, **reused, "LC_ALL": "C.UTF-8"}


def _shared_memory(size: int) -> int:
    """A descriptor of memory with a sealed size. It does not need /dev/shm, which is small in containers."""
    memory = os.memfd_create("numeral-picture", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(memory, size)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return memory


def _write(file: int, data: bytes, place: int) -> None:
    """Writes all of the data; Linux writes at most 2 GB per call."""
    done = 0
    while done < len(data):
        done += os.pwrite(file, memoryview(data)[done:], place + done)


def _is_readable(handle: int) -> bool:
    """Whether there is something to read. Each call creates its own poll object: two threads cannot share one."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(0))
