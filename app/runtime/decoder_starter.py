"""Starts decoders: runs the small clean process that forks them, and replaces it when it fails."""

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Lock

from app.reading.decode.limits import Limits
from app.runtime.decoder_handle import STARTING_SECONDS, DecoderHandle
from app.runtime.decoder_protocol import PACKET, PIXEL_BYTES, READY, REFUSED, START, STARTED, Costs, ProtocolError
from app.runtime.orphan_processes import reap_orphans

STARTER_SECONDS = 20.0  # for the starter to be ready; it takes half a second on an idle machine
MOST_MMAP = 32 * 2**20  # bytes; the largest value that the C library accepts (mallopt(3))
TRIES = 2  # to start a decoder before the starter is blamed, whose end is the end of every other decoder
FAILED = (ConnectionError, TimeoutError, ProtocolError)  # other OSErrors are this process's own: it may have no file to spare
KEPT_VARIABLES = ("LD_LIBRARY_PATH", "TZ")  # of the environment that Python may need; any other may be a secret

# This process passes on its import path: -I ignores the environment's, -S skips the search for site-packages.
PROGRAM = "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); from app.runtime.decoder_child import main; main()"


def starter_command() -> list[str]:
    """The command that runs the starter; two arguments are added: its parameters and, last, the import path."""
    return [sys.executable, "-I", "-S", *(["-B"] if sys.dont_write_bytecode else []), "-c", PROGRAM]


class DecoderStarter:
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

    def start(self) -> DecoderHandle:
        """Starts a decoder. One that fails at its start is replaced by another, and a starter that fails by another one, once.

        Raises:
            OSError, ProtocolError: no decoder can be started.
        """
        with self._turn:
            try:
                return self._start(TRIES)
            except FAILED:
                self._stop()
                self._run()
                return self._start(1)

    def end(self) -> None:
        """Ends the starter, and with it all decoders that it started."""
        with self._turn:
            self._stop()

    def reap(self) -> None:
        """Reaps decoders that outlived their starter, where they have become children of this process."""
        process = self._process
        reap_orphans({process.pid} if process else ())

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

    def _start(self, tries: int) -> DecoderHandle:
        process = self._fork()
        try:
            process.greet()
        except FAILED:
            process.end()
            if tries == 1:
                raise
            return self._start(tries - 1)
        return process

    def _fork(self) -> DecoderHandle:
        """Has the starter fork a decoder. Leaves no descriptor open if that fails."""
        control = self._control
        if control is None:
            raise ProtocolError("the starter has ended")
        if not self._ready:
            control.settimeout(STARTER_SECONDS)
            if control.recv(PACKET) != STARTED.pack(READY):
                raise ProtocolError("the starter has ended before it was ready")
            self._ready = True
        control.settimeout(STARTING_SECONDS)
        with ExitStack() as undo:
            memory = os.memfd_create("numeral-picture", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)  # needs no /dev/shm
            undo.callback(os.close, memory)
            _seal(memory, self._memory)
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            undo.enter_context(ours)
            with theirs:
                socket.send_fds(control, [START], [theirs.fileno(), memory])
            packet, handles, flags, _ = socket.recv_fds(control, PACKET, 1)
            if packet == STARTED.pack(REFUSED):
                raise OSError(errno.EAGAIN, "The system starts no further process now")
            if flags & socket.MSG_CTRUNC:  # the decoder's pidfd was lost on the way here
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            if len(packet) != STARTED.size or len(handles) != 1:
                raise ProtocolError("the starter starts nothing")
            undo.pop_all()
        return DecoderHandle(STARTED.unpack(packet)[0], ours, memory, handles[0])

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


def _seal(memory: int, size: int) -> None:
    """Gives memory behind a descriptor its size for good."""
    os.ftruncate(memory, size)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
