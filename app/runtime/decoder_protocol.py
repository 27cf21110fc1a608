"""The messages between a decoder and the process that asks it: fixed numeric fields, each of which is checked.

The picture's bytes and pixels are in shared memory. These messages, one packet each, go through a socket.

    memory:  pixels (H, W, 3) uint8, at most PIXEL_BYTES │ the picture's bytes
    question: the number of bytes, or whether the process lives
    answer:  the outcome, the pixels' size, the original's size, the frame, and the message for the picture's sender
"""

import struct
from dataclasses import dataclass

from app.errors import (
    DecodingOutOfMemory,
    ImageTooLarge,
    RequestError,
    UnreadableImage,
    UnsupportedImage,
    UploadTooLarge,
)
from app.reading.decode.limits import JPEG_PIXELS, MAX_SIDE
from app.reading.decode.picture import MOST_FRAMES
from app.reading.decode.reduction import WORK_SIDE

MIB = 2**20
PIXEL_BYTES = 3 * WORK_SIDE * WORK_SIDE

QUESTION = struct.Struct("<4sQ")
# Mark, outcome, height, width, original height and width, frame, microseconds of CPU time, bytes of the text.
ANSWER = struct.Struct("<4sBHHIIHIH")
MARK = b"NUM1"
NO_PICTURE = 2**64 - 1  # stands in place of a length
MOST_TEXT = 400  # bytes
PACKET = ANSWER.size + MOST_TEXT

DECODED, ALIVE, FAULT = 0, 1, 2  # outcomes; from FIRST_ERROR on, an index into ERRORS
ERRORS: tuple[type[RequestError], ...] = (
    UploadTooLarge,
    UnsupportedImage,
    ImageTooLarge,
    UnreadableImage,
    DecodingOutOfMemory,
)
FIRST_ERROR = 3

STARTED = struct.Struct("<i")  # from the starter: the id of the process that it has started
READY = 0  # stands in place of an id: the starter is ready
REFUSED = -1  # as above: the system starts no further process now
START = b"s"  # to the starter, with the two descriptors for the new process

HELLO = struct.Struct("<4sB")  # mark, and flags for what confines the process
NO_NEW_PRIVILEGES, DIES_WITH_PARENT, NO_FILES_OR_NETWORK, MEMORY_LIMIT = 1, 2, 4, 8


@dataclass(frozen=True)
class Costs:
    """What one picture may cost: bytes of memory in addition to what a warm process maps, and seconds."""

    memory: int
    seconds: float


class ProtocolError(Exception):
    """The packet is not a valid answer."""


@dataclass(frozen=True)
class Decoded:
    """The size of the pixels in shared memory, the size of the upright original, the frame, and the CPU time."""

    height: int
    width: int
    original_height: int
    original_width: int
    frame: int
    cpu_microseconds: int


@dataclass(frozen=True)
class Fault:
    """The process failed through a bug of its own; the text is for the log."""

    text: str


def ask(length: int) -> bytes:
    """The question that asks to decode a picture of this many bytes."""
    return QUESTION.pack(MARK, length)


def ask_alive() -> bytes:
    """The question that asks whether the process lives."""
    return QUESTION.pack(MARK, NO_PICTURE)


def read_question(packet: bytes) -> int | None:
    """The number of bytes of the picture; None for ask_alive. The asking process is trusted."""
    _, length = QUESTION.unpack(packet)
    return None if length == NO_PICTURE else int(length)


def tell_decoded(decoded: Decoded) -> bytes:
    """The answer when the pixels are in the shared memory."""
    size = decoded.height, decoded.width, decoded.original_height, decoded.original_width
    return ANSWER.pack(MARK, DECODED, *size, decoded.frame, decoded.cpu_microseconds, 0)


def tell_alive() -> bytes:
    """The answer to ask_alive."""
    return ANSWER.pack(MARK, ALIVE, 0, 0, 0, 0, 0, 0, 0)


def tell_error(error: RequestError) -> bytes:
    """The answer when the picture is refused."""
    return _with_text(FIRST_ERROR + ERRORS.index(type(error)), error.detail)


def tell_fault(text: str) -> bytes:
    """The answer when the process itself failed."""
    return _with_text(FAULT, text)


def _with_text(ending: int, text: str) -> bytes:
    body = text.encode("utf-8")[:MOST_TEXT]
    return ANSWER.pack(MARK, ending, 0, 0, 0, 0, 0, 0, len(body)) + body


def read_answer(packet: bytes, max_pixels: int) -> Decoded | RequestError | Fault | None:
    """Parses an untrusted answer and rejects impossible values; None means that the process lives.

    Raises:
        ProtocolError: the packet is not a valid answer.
    """
    if len(packet) < ANSWER.size:
        raise ProtocolError("the answer is too short")
    mark, ending, height, width, original_height, original_width, frame, spent, length = ANSWER.unpack_from(packet)
    text = packet[ANSWER.size :]
    if mark != MARK or len(text) != length or length > MOST_TEXT:
        raise ProtocolError("the answer has another form")
    if ending == DECODED:
        return _checked(Decoded(height, width, original_height, original_width, frame, spent), max_pixels)
    if ending == ALIVE:
        return None
    if ending == FAULT:
        return Fault(_printable(text))
    if ending - FIRST_ERROR >= len(ERRORS):
        raise ProtocolError("the answer tells of an unknown ending")
    error: RequestError = ERRORS[ending - FIRST_ERROR](_printable(text))
    return error


def _checked(decoded: Decoded, max_pixels: int) -> Decoded:
    inside = 1 <= decoded.height <= WORK_SIDE and 1 <= decoded.width <= WORK_SIDE
    original = decoded.height <= decoded.original_height <= MAX_SIDE and decoded.width <= decoded.original_width <= MAX_SIDE
    pixels = decoded.original_height * decoded.original_width
    if not inside or not original or pixels > JPEG_PIXELS * max_pixels or decoded.frame >= MOST_FRAMES:
        raise ProtocolError("the answer tells of a picture that cannot be")
    return decoded


def _printable(text: bytes) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text.decode("utf-8", "replace"))
