"""Recognises a body that its endpoint does not take, and names the right endpoint in one sentence.

Only a body's beginning is looked at, once an answer has failed.
"""

import base64
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.errors import InvalidBase64, InvalidRequest, RequestError, UnsupportedImage
from app.reading.decode.picture import sniff
from app.reading.infer.record import uint8_name
from app.web.endpoints import NUMBER, PIXELS, operation_path, sibling_path
from app.web.json_body import BOM

BEGINNING = PIXELS * NUMBER  # bytes: as many as the numbers of a glyph may take
SOME = 256  # bytes in which base64, a form or the end of a data URL's head is known
BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}")
HEAD = re.compile(
    rb"(?:[a-z_]{1,40}=)?(?P<url>data(?::|%3A)[^,]*?(?:,|%2C))?", re.IGNORECASE
)  # of a form's field, of a data URL
RUN = re.compile(rb"[\[\]\s,;0-9.eE+-]+")  # of numbers; a least length would be tried anew from each of its places
ONE = re.compile(rb"[0-9.]+(?:[eE][+-]?[0-9]+)?")
CANVAS = '{"image": "<base64>"}'


@contextmanager
def pointing(body: bytes, operation: str, model: str) -> Iterator[None]:
    """Adds to an error about a body where the body goes; operation: where it came; model: the name of the one that is served.

    Raises:
        UnsupportedImage, InvalidRequest, InvalidBase64: as within, with that sentence.
    """
    try:
        yield
    except (UnsupportedImage, InvalidRequest, InvalidBase64) as error:
        raise point(error, body, operation, model) from None


def point(error: RequestError, body: bytes, operation: str, model: str) -> RequestError:
    """The error, with a sentence on where the body goes if it came to the wrong endpoint."""
    advice = advise(body, operation, model) or _form_of(error, body, operation)
    return type(error)(f"{error.detail.rstrip('.')}. {advice}") if advice else error.without_frames()


def advise(body: bytes, operation: str, model: str) -> str | None:
    """What the body is and which endpoint takes it; None if that is unknown, or if this one does."""
    kind = next((kind for kind, is_one in KINDS.items() if is_one(body[:BEGINNING])), None)
    return None if kind is None or operation in AT_HOME.get(kind, ()) else _sentences(operation, model)[kind]


def _form_of(error: RequestError, body: bytes, operation: str) -> str | None:
    """What to send where the endpoint is right and the JSON is not; None if the error says enough."""
    if isinstance(error, InvalidRequest) and operation in AT_HOME["drawing"] and _is_json(body):
        return f"Send {CANVAS}."
    return None


def _sentences(operation: str, model: str) -> dict[str, str]:
    picture, canvas, batch = sibling_path(operation), sibling_path(operation, "Canvas"), sibling_path(operation, "Batch")
    tensors = operation_path("infer")
    return {
        "picture": f"This is a picture: send its bytes to {picture}.",
        "form": f"This is a form, for {picture} or {batch}; its Content-Type is multipart/form-data with "
        "the boundary, which HTTP libraries add by themselves.",
        "gzip": "These bytes are gzip: send the picture as it is.",
        "strokes": f"This is ink as points: send it to {operation_path('predictStrokes')}.",
        "tensor": f"This is a request of the Open Inference Protocol: send it to {tensors.format(name=model)}.",
        "numbers": f"These are the numbers of a glyph: send them as a tensor to {tensors.format(name=uint8_name(model))}, or "
        f"as a picture to {picture}.",
        "drawing": f"This is a drawing in JSON: send it to {canvas}.",
        "JSON": f"This is JSON: send it to {canvas}, as {CANVAS}.",
        "base64": f"This is base64: send it to {canvas}, as {CANVAS}, or the bytes that it stands for to {picture}.",
    }


def _text(body: bytes) -> bytes:
    return body.removeprefix(BOM).lstrip()


def _is_object_with(body: bytes, name: bytes) -> bool:
    return _is_json(body) and re.search(rb'"%s"\s*:' % name, body) is not None


def _is_json(body: bytes) -> bool:
    return _text(body)[:1] in (b"{", b"[")


def _has_numbers(body: bytes) -> bool:
    first = RUN.match(_text(body))
    if not _is_json(body) and (first is None or len(first[0]) < PIXELS):
        return len(body) in (PIXELS, 4 * PIXELS)  # the bytes themselves, uint8 or float32
    long = (run[0] for run in RUN.finditer(body) if len(run[0]) >= PIXELS)
    return any(len(ONE.findall(run)) >= PIXELS for run in long)


def _is_form(body: bytes) -> bool:
    start = _text(body)[:SOME].lower()
    return start.startswith(b"--") and b"content-disposition:" in start


def _is_base64(body: bytes) -> bool:
    """Whether it is the base64 of a picture, or a data URL."""
    text = _text(body).lstrip(b"\"'")[:SOME]
    head = HEAD.match(text)
    if head and head["url"]:
        return True
    digits = BASE64.match(text, head.end() if head else 0)
    return digits is not None and sniff(base64.urlsafe_b64decode(digits[0][: len(digits[0]) // 4 * 4])) is not None


KINDS: dict[str, Callable[[bytes], bool]] = {
    "picture": lambda body: sniff(body) is not None,
    "form": _is_form,
    "gzip": lambda body: body.startswith(b"\x1f\x8b"),
    "strokes": lambda body: _is_object_with(body, b"strokes"),
    "tensor": lambda body: _is_object_with(body, b"inputs"),
    "numbers": _has_numbers,
    "drawing": lambda body: _is_object_with(body, b"image"),
    "JSON": _is_json,
    "base64": _is_base64,
}  # in the order in which they are tried
AT_HOME = {
    "picture": {"predict", "predictBatch", "read", "readBatch"},
    "strokes": {"predictStrokes"},
    "drawing": {"predictCanvas", "readCanvas"},
    "JSON": {"predictCanvas", "predictStrokes", "readCanvas"},
}  # where each kind is nothing to be surprised at
