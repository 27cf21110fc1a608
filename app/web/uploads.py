"""Request bodies -> pictures' bytes. Nothing is read past a limit."""

import asyncio
import base64
import re
from collections.abc import Callable, Iterator

from fastapi import Request
from multipart import MultipartError, MultipartSegment, PushMultipartParser
from starlette.requests import ClientDisconnect

from app.errors import InvalidBase64, InvalidRequest, RequestTimeout, UploadTooLarge
from app.settings import MIB, Settings
from app.web.endpoints import declared_length
from app.web.scope import header_of

PATIENCE = 2.0  # seconds that a body may take to begin, and stand still, whatever its rate
OVERHEAD = MIB  # bytes of a multipart or JSON body beside the pictures themselves
NUMBER = 32  # characters that a number in JSON may take, with what stands around it
MAX_FIELDS = 16  # form fields that are not ours and are passed over
BOUNDARY = re.compile(r';[ \t]*boundary[ \t]*=[ \t]*(?:"([^"]+)"|([^\s;"]+))', re.IGNORECASE)  # though it be no token
CHARSET = "latin-1"  # of a form's names, whatever it claims: ours are ASCII, and any byte is a character


async def read_picture(request: Request, settings: Settings) -> bytes:
    """The bytes of one picture: the multipart field ``file``, or the whole body of any other content type.

    Raises:
        InvalidRequest: there is no picture.
        UploadTooLarge: the body is longer than a picture may be.
    """
    boundary = _boundary(request)
    if boundary is None:
        data = await _read_body(request, settings.max_upload_bytes, settings)
        if not data:
            raise InvalidRequest("The body is empty: send the picture's bytes, or multipart/form-data with a field `file`.")
        return data
    files = await _read_files(request, boundary, settings.max_upload_bytes, 1 + MAX_FIELDS, settings)
    pictures = [data for name, data in files if name == "file"]
    if len(pictures) != 1:
        raise InvalidRequest(
            f"The form has {len(pictures) or 'no'} files in its field `file`; send one, or use /predict/batch."
        )
    return pictures[0]


async def read_pictures(request: Request, settings: Settings) -> list[bytes]:
    """The bytes of each multipart field ``files``, in order.

    Raises:
        InvalidRequest: there are none, or too many.
        UploadTooLarge: the body is longer than a batch may be.
    """
    boundary = _boundary(request)
    if boundary is None:
        raise InvalidRequest("Send multipart/form-data with one or more files in fields `files`.")
    files = await _read_files(request, boundary, settings.max_batch_bytes, settings.max_batch_files, settings)
    pictures = [data for name, data in files if name == "files"]
    if not pictures:
        raise InvalidRequest("The form has no file in a field `files`.")
    return pictures


async def read_canvas(request: Request, settings: Settings) -> bytes:
    """The JSON body of a canvas drawing, undecoded: base64 makes four bytes of three.

    Raises:
        UploadTooLarge: the body is longer than the base64 of a picture may be.
    """
    return await _read_body(request, settings.max_upload_bytes * 4 // 3 + OVERHEAD, settings)


async def read_tensors(request: Request, settings: Settings) -> bytes:
    """The body of an inference request: as many rows as a batch may have pictures, in JSON or as bytes.

    Raises:
        UploadTooLarge: the body is longer than that can be.
    """
    return await _read_body(request, settings.max_batch_files * 28 * 28 * NUMBER + OVERHEAD, settings)


def _boundary(request: Request) -> str | None:
    """What stands between the parts of a form, or None where the body is none.

    Raises:
        InvalidRequest: it is a form, and does not tell.
    """
    told = (header_of(request.scope, b"content-type") or b"").decode("latin-1")
    kind, _, options = told.partition(";")
    if kind.strip().lower() != "multipart/form-data":
        return None
    boundary = BOUNDARY.search(f";{options}")
    if boundary is None:
        raise InvalidRequest("The form cannot be read: its content type names no boundary.")
    return boundary[1] or boundary[2]


async def _read_body(request: Request, limit: int, settings: Settings) -> bytes:
    chunks = list[bytes]()
    await _receive(request, limit, settings, chunks.append)
    return _join(chunks)


async def _read_files(
    request: Request, boundary: str, limit: int, max_files: int, settings: Settings
) -> list[tuple[str, bytes]]:
    """Name and bytes of each file of the form, in order; fields left empty are passed over."""
    try:
        form = _Form(boundary, max_files)
        await _receive(request, limit + OVERHEAD, settings, form.take)
        return form.finish()
    except MultipartError as error:  # which the parser keeps: with its frames, it would keep them, and them the files
        raise InvalidRequest(f"The form cannot be read: {error}.") from error.with_traceback(None)


class _Form:
    """What has come of a form, as it comes."""

    def __init__(self, boundary: str, max_files: int) -> None:
        self._parser = PushMultipartParser(boundary, max_segment_count=max_files + MAX_FIELDS, header_charset=CHARSET)
        self._max_files = max_files
        self._files: list[tuple[str, bytes]] = []
        self._segment: MultipartSegment | None = None  # of a file; what stands in other fields is passed over
        self._chunks: list[bytes] = []

    def take(self, chunk: bytes) -> None:
        """Takes the next piece.

        Raises:
            MultipartError: it cannot be parsed.
        """
        for event in self._parser.parse(chunk):
            if isinstance(event, MultipartSegment):
                self._segment = event if _is_file(event) else None
            elif self._segment is None:
                continue
            elif event is not None:
                self._chunks.append(event)
            elif self._chunks:
                self._files.append((self._segment.name, _join(self._chunks)))
                self._chunks = []

    def finish(self) -> list[tuple[str, bytes]]:
        """The files, once there are no more pieces.

        Raises:
            MultipartError: there should be.
            InvalidRequest: there are too many files.
        """
        self._parser.close()
        if len(self._files) > self._max_files:
            raise InvalidRequest(f"The form has more than {self._max_files:,} files.")
        return self._files


def _is_file(segment: MultipartSegment) -> bool:
    """Whether it has a file's name, though it be one that the parser cannot read, such as one beyond ASCII without quotes."""
    return segment.filename is not None or "filename" in (segment.header("Content-Disposition") or "").lower()


def _join(chunks: list[bytes]) -> bytes:
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _receive(request: Request, limit: int, settings: Settings, take: Callable[[bytes], None]) -> None:
    """Hands the body on as it comes; more than limit bytes of it raise UploadTooLarge, at once where the length is declared.

    What takes longer than the settings allow, or comes more slowly, raises RequestTimeout.
    """
    refusal = UploadTooLarge(f"The body is larger than the limit of {limit:,} bytes.")
    if (declared_length(request.scope) or 0) > limit:
        raise refusal
    received, loop, more = 0, asyncio.get_running_loop(), True
    begun, rate = loop.time(), settings.min_bytes_per_second
    while more:
        earned = min(settings.deadline_seconds, PATIENCE + received / rate)  # seconds, since it begun
        try:
            async with asyncio.timeout_at(begun + earned):
                message = await request.receive()
        except TimeoutError as error:
            late = f"within {settings.deadline_seconds:g} seconds, or came at less than {rate:,} bytes a second"
            raise RequestTimeout(f"The body did not arrive {late}.") from error
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk, more = message.get("body", b""), message.get("more_body", False)
        received += len(chunk)
        if received > limit:
            raise refusal
        if chunk:
            take(chunk)


PIECE = 2**18  # characters, a multiple of 4: what is done with so many at once keeps Python's lock for a millisecond
DATA_URL = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)


def decode_base64(text: str) -> bytes:
    """The bytes of base64, standard or URL-safe, bare or in a data URL, padded or not, broken into lines or not.

    Raises:
        InvalidBase64: it is something else.
        InvalidRequest: it holds no byte.
    """
    prefix = DATA_URL.match(text)
    if text[:5].lower() == "data:" and not prefix:
        raise InvalidBase64("The data URL holds no base64; canvas.toDataURL() of a canvas with a size gives one that does.")
    try:
        body = b"".join(_to_standard(text, prefix.end() if prefix else 0)).rstrip(b"=")
        if not body:
            raise InvalidRequest("The image is empty.")
        if b"=" in body:
            raise ValueError("padding stands before the end")
        body += b"=" * (-len(body) % 4)
        return b"".join(base64.b64decode(body[place : place + PIECE], validate=True) for place in range(0, len(body), PIECE))
    except ValueError as error:  # binascii.Error is one; so is UnicodeEncodeError
        raise InvalidBase64("The image is no base64: it has other characters, or its length cannot be.") from error


def _to_standard(text: str, start: int) -> Iterator[bytes]:
    """Standard base64 without white space, piece by piece."""
    for place in range(start, len(text), PIECE):
        yield text[place : place + PIECE].encode("ascii").translate(_TO_STANDARD, _SPACE)


_TO_STANDARD, _SPACE = bytes.maketrans(b"-_", b"+/"), b" \t\n\v\f\r\x1c\x1d\x1e\x1f"  # the latter as str.split has it
