"""Finds a string in a JSON object without building a tree: for bodies of megabytes, which may hold anything.

A parser holds Python's lock until its tree is there: for 27 MB of brackets, some seconds. Here depth and parts are counted as
they come, what is not asked for is passed over, and no call takes more than a few milliseconds.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from app.errors import InvalidRequest
from app.web.problems import tell_names

MOST_DEPTH = 32
MOST_PARTS = 5_000  # keys, values and marks between them, and quotes within strings; each takes some microseconds
MOST_KEY = 256  # bytes of a key that may be the one that is asked for
MOST_NUMBER = 1_000  # characters
LONGEST_ESCAPE = 6  # bytes: \\u0041
MOST_BACKSLASHES = 4_096  # before a quote: whether that is escaped is seen by their number
MOST_KEYS = 6  # names that are kept, to tell what came where the one that is asked for did not
BOM = b"\xef\xbb\xbf"  # in UTF-8; Windows' editors and .NET's encoders write it before the text
PIECE = 2**18  # characters: what is done with so many at once keeps Python's lock for a millisecond

_SPACE = re.compile(rb"[ \t\n\r]*")
_SCALAR = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null")
_CONTROLS = bytes(range(0x20))  # of which none may stand in a string as it is
_SIMPLE = ((b"\\/", b"/"), (b"\\n", b"\n"), (b"\\r", b"\r"), (b"\\t", b"\t"))  # escapes that base64 may come with
_CLOSING = {b"{": b"}", b"[": b"]"}

Step = Callable[[int], tuple[Any, int]]  # from the place of a part to what comes next, and where; Any is a Step


@dataclass(frozen=True)
class JsonString:
    """A string within JSON: from where to where, without its quotes, and whether it has escapes."""

    body: bytes
    start: int
    end: int
    escaped: bool

    def pieces(self) -> Iterator[bytes]:
        """What it says, in UTF-8, piece by piece.

        Raises:
            InvalidRequest: it has an impossible escape, or a control character.
        """
        place = self.start
        while place < self.end:
            end = self._cut(place) if self.escaped else min(self.end, place + PIECE)
            piece = self.body[place:end]
            if len(piece.translate(None, _CONTROLS)) < len(piece):
                raise _invalid(place)
            yield _unescape(piece, place) if self.escaped else piece
            place = end

    def _cut(self, place: int) -> int:
        """Where a piece may end: between two escapes, of which one begins at every run of backslashes."""
        end = place + PIECE
        if end >= self.end:
            return self.end
        last = self.body.rfind(b"\\", end - LONGEST_ESCAPE, end)
        if last < 0:
            return end
        run = place + len(self.body[place : last + 1].rstrip(b"\\"))
        return run if run > place else end  # all of them backslashes: an even number, as PIECE is


def find_string(body: bytes, name: str) -> JsonString:
    """The string that the object has under a name; of several, the last.

    Raises:
        InvalidRequest: the body is not a JSON object, is nested too deeply or has too many parts, or has no such string.
    """
    return _Skimmer(body, name).find()


class _Skimmer:
    """Goes over JSON once, from part to part. Each method that takes a place and gives a step reads one part."""

    def __init__(self, body: bytes, name: str) -> None:
        self._body, self._name = body, name.encode()
        self._open: list[bytes] = []  # what ends each object and array that has begun
        self._quotes = 0  # within strings
        self._asked = False  # whether the value that comes is the one that is asked for
        self._found: JsonString | None = None
        self._is_there = False  # something is under that name
        self._keys: list[str] = []  # the first names of the object

    def find(self) -> JsonString:
        """As find_string."""
        place = self._space(len(BOM) if self._body.startswith(BOM) else 0)
        if self._at(place) != b"{":
            raise InvalidRequest("body: Input should be an object")
        step, place = self._begin(place)
        for _ in range(MOST_PARTS):
            step, place = step(self._space(place))
            if not self._open:
                break
        else:
            raise _too_many()
        if self._space(place) != len(self._body):
            raise _invalid(place)
        if self._found is None:
            wrong = "Input should be a valid string" if self._is_there else f"Field required{tell_names(self._keys)}"
            raise InvalidRequest(f"{self._name.decode()}: {wrong}")
        return self._found

    def _first_key(self, place: int) -> tuple[Step, int]:
        return self._end(place) if self._at(place) == b"}" else self._key(place)

    def _key(self, place: int) -> tuple[Step, int]:
        key = self._string(place)
        colon = self._space(key.end + 1)
        if self._at(colon) != b":":
            raise _invalid(colon)
        self._asked = len(self._open) == 1 and self._is_name(key)
        return self._value, colon + 1

    def _is_name(self, key: JsonString) -> bool:
        said = b"".join(key.pieces()) if key.end - key.start <= MOST_KEY else b""
        if len(self._keys) < MOST_KEYS:
            self._keys.append(said.decode("utf-8", "replace"))
        return said == self._name

    def _first_value(self, place: int) -> tuple[Step, int]:
        return self._end(place) if self._at(place) == b"]" else self._value(place)

    def _value(self, place: int) -> tuple[Step, int]:
        asked, self._asked = self._asked, False
        mark = self._at(place)
        self._is_there |= asked
        self._found = None if asked else self._found
        if mark in _CLOSING:
            return self._begin(place)
        if mark == b'"':
            string = self._string(place)
            self._found = string if asked else self._found
            return self._behind, string.end + 1
        scalar = _SCALAR.match(self._body, place, place + MOST_NUMBER)
        if not scalar:
            raise _invalid(place)
        return self._behind, scalar.end()

    def _behind(self, place: int) -> tuple[Step, int]:
        """What follows a value."""
        mark = self._at(place)
        if mark == self._open[-1]:
            return self._end(place)
        if mark != b",":
            raise _invalid(place)
        return self._key if self._open[-1] == b"}" else self._value, place + 1

    def _begin(self, place: int) -> tuple[Step, int]:
        self._open.append(_CLOSING[self._at(place)])
        if len(self._open) > MOST_DEPTH:
            raise InvalidRequest(f"The JSON is nested more than {MOST_DEPTH} deep.")
        return self._first_key if self._open[-1] == b"}" else self._first_value, place + 1

    def _end(self, place: int) -> tuple[Step, int]:
        self._open.pop()
        return self._behind, place + 1

    def _at(self, place: int) -> bytes:
        return self._body[place : place + 1]

    def _space(self, place: int) -> int:
        """Behind the white space, which may be all of the body."""
        while (found := _SPACE.match(self._body, place, place + PIECE)) and found.end() > place:
            place = found.end()
        return place

    def _string(self, place: int) -> JsonString:
        """The string that begins here."""
        if self._at(place) != b'"':
            raise _invalid(place)
        start = place + 1
        end = self._body.find(b'"', start)
        while end >= 0 and self._is_escaped(start, end):
            self._quotes += 1
            if self._quotes > MOST_PARTS:
                raise _too_many()
            end = self._body.find(b'"', end + 1)
        if end < 0:
            raise _invalid(place)
        return JsonString(self._body, start, end, escaped=self._body.find(b"\\", start, end) >= 0)

    def _is_escaped(self, start: int, quote: int) -> bool:
        """Whether an odd number of backslashes stands before a quote."""
        if self._body[quote - 1 : quote] != b"\\":
            return False
        before = self._body[max(start, quote - MOST_BACKSLASHES) : quote]
        count = len(before) - len(before.rstrip(b"\\"))
        if count == MOST_BACKSLASHES:
            raise _too_many()
        return count % 2 == 1


def _unescape(piece: bytes, place: int) -> bytes:
    """What a whole number of escapes, and all between them, say: of those that base64 comes with, in some quick steps."""
    if b"\\\\" not in piece:
        for escape, said in _SIMPLE:
            piece = piece.replace(escape, said)
    if b"\\" not in piece:
        return piece
    try:
        return str(json.loads(b'"' + piece + b'"', strict=False)).encode("utf-8", "surrogatepass")
    except ValueError as error:
        raise _invalid(place) from error


def _too_many() -> InvalidRequest:
    return InvalidRequest("The JSON has many parts; send an object with the drawing in base64 as `image`.")


def _invalid(place: int) -> InvalidRequest:
    return InvalidRequest(f"body: Invalid JSON at byte {place:,}")
