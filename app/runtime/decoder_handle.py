"""One decoder, as the process that asks it sees it: its socket, the memory shared with it, and its pidfd."""

import os
import select
import signal
import socket
import time
from contextlib import suppress

import numpy as np

from app.reading.decode.picture import Picture
from app.runtime.decoder_protocol import (
    HELLO,
    MARK,
    PACKET,
    PIXEL_BYTES,
    Decoded,
    Fault,
    ProtocolError,
    ask,
    ask_alive,
    read_answer,
)

STARTING_SECONDS = 5.0  # for a decoder to be ready; it takes a few milliseconds
LIVING_SECONDS = 2.0  # for an idle decoder to answer
LOOK_SECONDS = 10.0  # between two such checks of a decoder


class DecoderHandle:
    """Asks one decoder and ends it. Not safe to use from several threads at once."""

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
        # A pidfd is readable after its process ends (pidfd_open(2)).
        return self._handle >= 0 and not _is_readable(self._handle)

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
            ConnectionError: the process has ended, before the picture or because of it.
            OSError, ProtocolError: its answer is impossible.
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
