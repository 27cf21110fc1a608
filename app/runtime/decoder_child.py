"""The processes that decode: a small clean starter, and the decoders that it forks, which take the pictures.

app.runtime.decoder_processes runs this module as a program. It imports only what decoding needs: no settings, no model, no
web. Everything is imported and tried once before the first picture, so that a decoder started later is ready at once.
"""

import ctypes
import errno
import fcntl
import gc
import json
import mmap
import os
import signal
import socket
import sys
import time
import warnings
from contextlib import suppress
from io import BytesIO
from types import FrameType

import cv2
import numpy as np
from PIL import AvifImagePlugin, Image

from app.errors import DecodingOutOfMemory, RequestError, UnreadableImage
from app.reading.decode import opencv
from app.reading.decode.limits import DefaultLimits
from app.reading.decode.picture import FORMATS, HEIF_AVAILABLE, OUT_OF_MEMORY, decode
from app.runtime.confinement import allow_cpu, confine, name_process
from app.runtime.decoder_protocol import (
    HELLO,
    MARK,
    MIB,
    PIXEL_BYTES,
    READY,
    REFUSED,
    START,
    STARTED,
    Costs,
    Decoded,
    read_question,
    tell_alive,
    tell_decoded,
    tell_error,
    tell_fault,
)

HIGH = 64  # a descriptor number above all open ones
KEPT = 4 * MIB  # bytes; the shared memory of a picture up to this size is kept for the next one
GROWN = 16 * MIB  # bytes that a decoder may grow by after warming up before it returns free memory


def main() -> None:
    """Starts a decoder each time it is asked to, until the asking process is gone."""
    name_process("numeral-starter")
    told = json.loads(sys.argv[1])
    control = socket.socket(fileno=os.dup(told["socket"]))  # a low number, like every descriptor opened here
    os.close(told["socket"])
    limits = DefaultLimits(told["max_upload_bytes"], told["max_pixels"])
    costs = Costs(told["memory"], told["seconds"])
    warnings.simplefilter("ignore")  # Pillow warns about most damaged files
    warm_up()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service; when that ends, so does this process
    signal.signal(signal.SIGCHLD, _reap)
    control.send(STARTED.pack(READY))
    while (told_now := socket.recv_fds(control, 16, 2))[0] == START:
        connection, memory = told_now[1]
        try:
            _start(control, connection, memory, limits, costs)
        except OSError:  # too many processes, or too little memory; the decoders that live go on
            control.send(STARTED.pack(REFUSED))
        os.close(connection)
        os.close(memory)


def warm_up() -> None:
    """Loads everything that decoding may need while files can still be opened."""
    opencv.tune()
    Image.init()
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    if HEIF_AVAILABLE:
        import pillow_heif  # noqa: PLC0415  an extra

        pillow_heif.options.DECODE_THREADS = 1
        pillow_heif.register_heif_opener()
    limits, blank = DefaultLimits(), Image.new("RGB", (16, 16))
    for kind in sorted({*FORMATS} - {"AVIF"}):  # its encoder would start threads
        file = BytesIO()
        blank.save(file, kind)
        decode(file.getvalue(), limits)
    decode(cv2.imencode(".jpg", np.zeros((2400, 1800, 3), np.uint8))[1].tobytes(), limits)
    blank.quantize(4, dither=Image.Dither.NONE).convert("RGB")
    Image.new("LAB", (1, 1)).convert("RGB")
    gc.collect()
    gc.freeze()  # keeps long-lived objects in memory pages shared with the forks


def _reap(_: int, __: FrameType | None) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _start(control: socket.socket, connection: int, memory: int, limits: DefaultLimits, costs: Costs) -> None:
    """Forks a decoder and sends back its process id with a pidfd, which stays valid if the id is used again."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # no child is reaped before its pidfd is open
    try:
        parent = os.getpid()
        number = os.fork()
        if number == 0:
            try:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
                _live(connection, memory, parent, limits, costs)
            finally:
                os._exit(1)
        handle = os.pidfd_open(number)
        socket.send_fds(control, [STARTED.pack(number)], [handle])
        os.close(handle)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def _live(connection: int, memory: int, parent: int, limits: DefaultLimits, costs: Costs) -> None:
    """Runs a decoder: decodes pictures until the asking process closes the socket."""
    name_process("numeral-decoder")
    channel, shared = _keep_only(connection, memory)
    view = mmap.mmap(shared, PIXEL_BYTES + limits.max_upload_bytes)
    os.close(shared)
    statm = os.open("/proc/self/statm", os.O_RDONLY)
    flags = confine(costs.memory, parent)
    link = socket.socket(fileno=channel)
    link.send(HELLO.pack(MARK, flags))
    give_back, warm = ctypes.CDLL(None).malloc_trim, _resident(statm)
    while packet := link.recv(64):
        length = read_question(packet)
        if length is None:
            link.send(tell_alive())
            continue
        allow_cpu(costs.seconds)
        answer = _answer(view, length, limits)
        if length > KEPT:
            view.madvise(mmap.MADV_REMOVE, PIXEL_BYTES, len(view) - PIXEL_BYTES)
        link.send(answer)  # from here on, the memory belongs to the asking process
        if _resident(statm) > warm + GROWN:
            give_back(0)
            if _resident(statm) > warm + 2 * GROWN:
                link.shutdown(socket.SHUT_RD)  # fragmented: answer what was asked already, then let another replace this one
    os._exit(0)


def _keep_only(connection: int, memory: int) -> tuple[int, int]:
    """Moves the two descriptors to new numbers and closes all others; libraries' output goes to /dev/null."""
    high = [fcntl.fcntl(one, fcntl.F_DUPFD, HIGH) for one in (connection, memory)]
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nowhere, standard)
    channel, shared = os.dup2(high[0], 3), os.dup2(high[1], 4)
    os.closerange(5, 2 * HIGH)
    return channel, shared


def _answer(view: mmap.mmap, length: int, limits: DefaultLimits) -> bytes:
    last_error = _last_error_of_c()
    last_error.contents.value = 0
    began = time.process_time()
    try:
        picture = decode(view[PIXEL_BYTES : PIXEL_BYTES + length], limits)
        pixels = np.ascontiguousarray(picture.pixels)
        view[: pixels.nbytes] = pixels.data.cast("B")
        height, width = pixels.shape[:2]
        spent = round(1e6 * (time.process_time() - began))
        return tell_decoded(Decoded(height, width, picture.height, picture.width, picture.frame, spent))
    except UnreadableImage as error:  # some decoders do not report why they failed, but errno does
        return tell_error(DecodingOutOfMemory(OUT_OF_MEMORY) if last_error.contents.value == errno.ENOMEM else error)
    except RequestError as error:
        return tell_error(error)
    except MemoryError:
        return tell_error(DecodingOutOfMemory(OUT_OF_MEMORY))
    except Exception as error:  # noqa: BLE001  the asking process logs it
        return tell_fault(f"{type(error).__name__}: {error}")


def _last_error_of_c() -> "ctypes._Pointer[ctypes.c_int]":
    """A pointer to this thread's errno in the C library."""
    place = getattr(ctypes.CDLL(None), "__errno_location")
    place.restype = ctypes.POINTER(ctypes.c_int)
    found: ctypes._Pointer[ctypes.c_int] = place()
    return found


def _resident(statm: int) -> int:
    """The process's private resident memory in bytes (proc(5))."""
    fields = os.pread(statm, 128, 0).split()
    return (int(fields[1]) - int(fields[2])) * mmap.PAGESIZE


if __name__ == "__main__":
    main()
