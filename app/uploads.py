"""Request bodies -> pictures' bytes. Nothing is read past a limit."""

import asyncio
import codecs

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import Message

from app.errors import InvalidRequest, RequestTimeout, UploadTooLarge
from app.paths import path_of
from app.settings import MIB, Settings

BATCH_PATH = "/predict/batch"
PATIENCE = 2.0  # seconds that a body may take to begin, and stand still, whatever its rate
OVERHEAD = MIB  # bytes of a multipart or JSON body beside the pictures themselves
NUMBER = 32  # characters that a number in JSON may take, with what stands around it
MAX_FIELDS = 16  # form fields that are not ours and are passed over
CHARSETS = {"utf-8", "ascii", "iso8859-1"}  # of forms; some of Python's others take minutes for a megabyte of text


async def read_picture(request: Request, settings: Settings) -> bytes:
    """The bytes of one picture: the multipart field ``file``, or the whole body of any other content type.

    Raises:
        InvalidRequest: there is no picture.
        UploadTooLarge: the body is longer than a picture may be.
    """
    if not _is_multipart(request):
        data = await _read_body(request, settings.max_upload_bytes, settings)
        if not data:
            raise InvalidRequest("The body is empty: send the picture's bytes, or multipart/form-data with a field `file`.")
        return data
    files = await _read_files(request, settings.max_upload_bytes, 1 + MAX_FIELDS, settings)
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
    if not _is_multipart(request):
        raise InvalidRequest("Send multipart/form-data with one or more files in fields `files`.")
    files = await _read_files(request, settings.max_batch_bytes, settings.max_batch_files, settings)
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


def _is_multipart(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "multipart/form-data"


async def _read_body(request: Request, limit: int, settings: Settings) -> bytes:
    return await _limited(request, limit, settings).body()


async def _read_files(request: Request, limit: int, max_files: int, settings: Settings) -> list[tuple[str, bytes]]:
    """Name and bytes of each file of the form, in order; fields left empty are passed over."""
    _check_charset(request)
    stream = _limited(request, limit + OVERHEAD, settings).stream()
    parser = MultiPartParser(request.headers, stream, max_files=max_files, max_fields=MAX_FIELDS)
    parser.spool_max_size = limit + OVERHEAD  # never onto a disk: the bytes are wanted in memory, and are bounded
    try:
        form = await parser.parse()
    except (MultiPartException, UnicodeError) as error:  # the latter where the client names an odd charset
        raise InvalidRequest(f"The form cannot be read: {getattr(error, 'message', error)}") from error
    files = [(name, await value.read()) for name, value in form.multi_items() if isinstance(value, UploadFile)]
    await form.close()
    return [(name, data) for name, data in files if data]


def _check_charset(request: Request) -> None:
    """The parser decodes names and fields by it, on the event loop; one that Python has not is Latin-1 to the parser."""
    charset = parse_options_header(request.headers["content-type"])[1].get(b"charset", b"utf-8").decode("latin-1")
    try:
        known = codecs.lookup(charset).name in CHARSETS
    except LookupError:
        known = True
    except ValueError:  # of a name that cannot be, on which the parser would fail
        known = False
    if not known:
        raise InvalidRequest("The form's charset is not read: send it in UTF-8.")


def body_length(request: Request, settings: Settings) -> int:
    """How many bytes of the body will be read at most, as it is declared, and where it is not, as its path allows."""
    declared = _declared_length(request)
    if declared is not None:
        return min(declared, settings.max_batch_bytes)
    return settings.max_batch_bytes if path_of(request.scope) == BATCH_PATH else settings.max_upload_bytes


def _declared_length(request: Request) -> int | None:
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdecimal() else None


def _limited(request: Request, limit: int, settings: Settings) -> Request:
    """The same request; more than limit bytes of it raise UploadTooLarge, at once where the length is declared.

    What takes longer than the settings allow, or comes more slowly, raises RequestTimeout.
    """
    refusal = UploadTooLarge(f"The body is larger than the limit of {limit:,} bytes.")
    if (_declared_length(request) or 0) > limit:
        raise refusal
    received, loop = 0, asyncio.get_running_loop()
    begun, rate = loop.time(), settings.min_bytes_per_second

    async def receive() -> Message:
        nonlocal received
        earned = min(settings.deadline_seconds, PATIENCE + received / rate)  # seconds, since it begun
        try:
            async with asyncio.timeout_at(begun + earned):
                message = await request.receive()
        except TimeoutError as error:
            late = f"within {settings.deadline_seconds:g} seconds, or came at less than {rate:,} bytes a second"
            raise RequestTimeout(f"The body did not arrive {late}.") from error
        received += len(message.get("body", b""))
        if received > limit:
            raise refusal
        return message

    return Request(request.scope, receive)
