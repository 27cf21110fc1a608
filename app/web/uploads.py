"""Request bodies -> pictures' bytes, as fast as they must come."""

import asyncio
import base64
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO

from fastapi import Request
from multipart import MultipartError, MultipartSegment, PushMultipartParser
from starlette.requests import ClientDisconnect

from app.errors import InvalidBase64, InvalidRequest, RequestTimeout
from app.settings import Settings
from app.web.endpoints import sibling_path
from app.web.json_body import BOM, PIECE
from app.web.problems import name_some
from app.web.scope import FORM, content_type

PATIENCE = 2.0  # seconds that a body may take to begin
MOST_PATIENCE = 5.0  # seconds that a body may stand still, having come faster than it must: networks have gaps
MAX_FIELDS = 16  # form fields besides ours, which are passed over
FILE, FILES = re.compile("file"), re.compile(r"files(\[[0-9]*\])?")  # names of the fields that hold pictures
BOUNDARY = re.compile(r';[ \t]*boundary[ \t]*=[ \t]*(?:"([^"]+)"|([^\s;"]+))', re.IGNORECASE)  # even one that is not a token
CHARSET = "latin-1"  # of a form's names, whatever it claims: ours are ASCII, and every byte is a character


async def read_picture(request: Request, settings: Settings, operation: str) -> bytes:
    """The bytes of one picture: the multipart field ``file``, or the whole body of any other content type.

    operation: that the picture is for.

    Raises:
        InvalidRequest: there is no picture.
        UploadTooLarge: the body is longer than a picture may be.
    """
    boundary = _boundary(request)
    if boundary is None:
        data = await read_body(request, settings)
        if not data:
            raise InvalidRequest("The body is empty: send the picture's bytes, or multipart/form-data with a field `file`.")
        return data
    batch = sibling_path(operation, "Batch")
    several = f"The form has several files in its field `file`; send one, or several in `files` to {batch}."
    form = await _read_form(request, boundary, _Wanted(FILE, MAX_FIELDS, several), settings)
    pictures = [data for data in form.files if data]
    if len(pictures) > 1:
        raise InvalidRequest(several)
    if not pictures:
        empty = "The file in the field `file` is empty: send the picture's bytes."
        raise InvalidRequest(empty if form.files else form.missing("file", operation))
    return pictures[0]


async def read_pictures(request: Request, settings: Settings, operation: str) -> list[bytes]:
    """The bytes of each multipart field ``files`` or ``files[]``, in order; of an empty one, no bytes.

    operation: that the pictures are for.

    Raises:
        InvalidRequest: there are none, too many, or files in other fields, which would have no place among the answers.
        UploadTooLarge: the body is longer than a batch may be.
    """
    boundary = _boundary(request)
    if boundary is None:
        one, drawing = sibling_path(operation), sibling_path(operation, "Canvas")
        raise InvalidRequest(
            "Send multipart/form-data with files in fields `files`; "
            f"the bytes of one picture go to {one}, and a drawing in JSON to {drawing}."
        )
    most = settings.max_batch_files
    too_many = f"The form has more than {most:,} files, the most in a batch; send them in several requests."
    form = await _read_form(request, boundary, _Wanted(FILES, most, too_many), settings)
    if not form.files or form.strangers:
        raise InvalidRequest(form.missing("files", operation))
    return form.files


async def read_body(request: Request, settings: Settings) -> bytes:
    """The whole body, undecoded.

    Raises:
        UploadTooLarge: it is longer than its endpoint takes.
    """
    body = _Joined()
    await _receive(request, settings, body.add)
    return body.take()


def _boundary(request: Request) -> str | None:
    """What stands between the parts of a form, or None where the body is not a form.

    Raises:
        InvalidRequest: it is a form whose content type names no boundary.
    """
    kind, options = content_type(request.scope)
    if kind != FORM:
        return None
    boundary = BOUNDARY.search(f";{options}")
    if boundary is None:
        raise InvalidRequest("The form cannot be read: its content type names no boundary.")
    return boundary[1] or boundary[2]


@dataclass(frozen=True)
class _Wanted:
    """The files that a form may hold: the name of their field, how many there may be, and what is said of more."""

    name: re.Pattern[str]
    most: int
    too_many: str


async def _read_form(request: Request, boundary: str, wanted: _Wanted, settings: Settings) -> "_Form":
    """The form, once all of it is here."""
    try:
        form = _Form(boundary, wanted)
        await _receive(request, settings, form.take)
        form.finish()
    except MultipartError as error:  # the parser keeps it, and with its frames the files
        raise InvalidRequest(f"The form cannot be read: {error}.") from error.with_traceback(None)
    return form


class _Form:
    """The files of a form, parsed as its bytes arrive.

    A part of the name that is asked for is a file whether it has a file's name or not: C# and Swift send none.
    files: their bytes, in order; strangers: how many files came under other names.
    """

    def __init__(self, boundary: str, wanted: _Wanted) -> None:
        """Takes nothing yet.

        Raises:
            MultipartError: the boundary cannot be one.
        """
        self._parser = PushMultipartParser(boundary, header_charset=CHARSET)
        self._wanted = wanted
        self.files: list[bytes] = []
        self.strangers = 0
        self._others: list[str] = []  # names of the other parts, which are passed over
        self._is_file = False
        self._data = _Joined()

    def take(self, chunk: bytes) -> None:
        """Takes the next piece.

        Raises:
            MultipartError: the form cannot be parsed.
            InvalidRequest: there are too many files, or other parts.
        """
        for event in self._parser.parse(chunk):
            if isinstance(event, MultipartSegment):
                self._begin(event)
            elif not self._is_file:
                continue
            elif event is not None:
                self._data.add(event)
            else:
                self.files.append(self._data.take())
                self._data = _Joined()

    def _begin(self, segment: MultipartSegment) -> None:
        name = segment.name or ""
        self._is_file = bool(self._wanted.name.fullmatch(name))
        if self._is_file:
            if len(self.files) == self._wanted.most:
                raise InvalidRequest(self._wanted.too_many)
            return
        self.strangers += _has_file_name(segment)
        self._others.append(name)
        if len(self._others) > MAX_FIELDS:
            raise InvalidRequest(f"The form has more than {MAX_FIELDS} parts in other fields: {name_some(self._others)}.")

    def finish(self) -> None:
        """Ends the input: no more pieces will come.

        Raises:
            MultipartError: the form breaks off.
        """
        self._parser.close()

    def missing(self, field: str, operation: str) -> str:
        """The message for a client that put the files into another field."""
        if not self._others:
            return f"The form is empty; send the picture in a field `{field}`."
        other, names = (sibling_path(operation, "Batch"), FILES) if field == "file" else (sibling_path(operation), FILE)
        there = f", or call {other}" if any(map(names.fullmatch, self._others)) else ""
        return f"The form has {name_some(self._others)}; send pictures in the field `{field}`{there}."


def _has_file_name(segment: MultipartSegment) -> bool:
    """Whether it has a file's name, even one that the parser cannot read, such as one beyond ASCII without quotes."""
    return segment.filename is not None or "filename" in (segment.header("Content-Disposition") or "").lower()


class _Joined:
    """Bytes that come in pieces. They are joined as they come: thousands of pieces, once free, would leave gaps in memory."""

    __slots__ = ("_first", "_joined")

    def __init__(self) -> None:
        self._first = b""
        self._joined: BytesIO | None = None  # from the second piece on

    def add(self, piece: bytes) -> None:
        """The next piece."""
        if self._joined is not None:
            self._joined.write(piece)
        elif not self._first:
            self._first = piece
        else:
            self._joined = BytesIO()
            self._joined.write(self._first)
            self._joined.write(piece)
            self._first = b""

    def take(self) -> bytes:
        """All of them; BytesIO gives its own memory away, without a copy."""
        return self._first if self._joined is None else self._joined.getvalue()


async def _receive(request: Request, settings: Settings, take: Callable[[bytes], None]) -> None:
    """Hands the body on as it comes; the middleware, from which it comes, holds it to the limit of its endpoint.

    Each byte earns it time, as much as it may take at the lowest rate, and no more than MOST_PATIENCE is saved.

    Raises:
        UploadTooLarge: it is longer.
        RequestTimeout: it stands still, or comes more slowly than the settings allow.
        ClientDisconnect: the client is gone.
    """
    loop, more = asyncio.get_running_loop(), True
    until, rate = loop.time() + PATIENCE, settings.min_bytes_per_second
    while more:
        try:
            async with asyncio.timeout_at(until):
                message = await request.receive()
        except TimeoutError as error:
            raise RequestTimeout(f"The body stood still, or came at less than {rate:,} bytes a second.") from error
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk, more = message.get("body", b""), message.get("more_body", False)
        until = min(until + len(chunk) / rate, loop.time() + MOST_PATIENCE)
        if chunk:
            take(chunk)


DATA_URL = re.compile(rb"data:[^,]*;base64,", re.IGNORECASE)
MOST_HEAD = 1_024  # bytes of what stands before the data in a data URL

_TO_STANDARD, _SPACE = bytes.maketrans(b"-_", b"+/"), b" \t\n\v\f\r\x1c\x1d\x1e\x1f"  # the latter as str.split has it
_ESCAPES = {
    b"%2B": b"+",
    b"%2F": b"/",
    b"%3D": b"=",
    b"%3A": b":",
    b"%3B": b";",
    b"%2C": b",",
    b"%20": b"",
    b"%09": b"",
    b"%0A": b"",
    b"%0D": b"",
}
_PERCENTS = [(escape, said) for code, said in _ESCAPES.items() for escape in {code, code.lower()}]


def decode_base64(text: str) -> bytes:
    """The bytes of base64, standard or URL-safe, bare or in a data URL, padded or not, broken into lines or not.

    White space may stand anywhere, a byte order mark in front, and the text may be percent-encoded.

    Raises:
        InvalidBase64: it is something else.
        InvalidRequest: it holds no byte.
    """
    return decode_base64_pieces((_encode(text[place : place + PIECE]) for place in range(0, len(text), PIECE)), len(text))


def decode_base64_pieces(pieces: Iterable[bytes], length: int) -> bytes:
    """As decode_base64, of a text that comes in pieces of any length.

    length: of all of them, at least. The memory is taken at once: what grows between the pieces would leave gaps.

    Raises:
        InvalidBase64, InvalidRequest: as there.
    """
    decoded, count, rest, is_padded = bytearray(length // 4 * 3 + 3), 0, b"", False
    try:
        for piece in _without_head(_clean(pieces)):
            data = rest + piece
            digits = data.rstrip(b"=")
            if b"=" in digits or (is_padded and digits != rest):
                raise ValueError("padding stands before the end")
            is_padded |= len(digits) < len(data)
            whole = len(digits) // 4 * 4
            count = _put(base64.b64decode(digits[:whole], validate=True), decoded, count)
            rest = digits[whole:]
        count = _put(base64.b64decode(rest + b"=" * (-len(rest) % 4), validate=True), decoded, count)
    except ValueError as error:  # binascii.Error is one
        raise InvalidBase64(
            "The image is not valid base64: it has characters that base64 lacks, or an impossible length."
        ) from error
    if not count:
        raise InvalidRequest("The image is empty: send the picture's bytes in base64.")
    return bytes(memoryview(decoded)[:count])


def _put(data: bytes, into: bytearray, place: int) -> int:
    """The place behind it."""
    into[place : place + len(data)] = data
    return place + len(data)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _clean(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Without white space, percent-encoding and the characters of URL-safe base64."""
    begun = b""  # of an escape that goes on in the next piece
    for each in pieces:
        piece = (begun + each).translate(_TO_STANDARD, _SPACE)
        begun = b""
        if b"%" in piece:
            whole = piece.rfind(b"%", max(0, len(piece) - 2))
            piece, begun = (piece[:whole], piece[whole:]) if whole >= 0 else (piece, b"")
            for escape, said in _PERCENTS:
                piece = piece.replace(escape, said)
        yield piece
    yield begun


def _without_head(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Without what stands before the data in a data URL, and before that.

    Raises:
        InvalidBase64: the data URL does not hold base64.
    """
    first = b""
    while len(first) < MOST_HEAD and (piece := next(pieces, None)) is not None:
        first += piece
    first = first.removeprefix(BOM)
    prefix = DATA_URL.match(first)
    if first[:5].lower() == b"data:" and not prefix:
        raise InvalidBase64(
            "The data URL does not hold base64; canvas.toDataURL() of a canvas with a size gives one that does."
        )
    yield first[prefix.end() :] if prefix else first
    yield from pieces
