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

MOST_DEPTH = 32
MOST_PARTS = 20_000  # keys, values and marks between them; each takes a microsecond
MOST_KEY = 256  # bytes of a key that may be the one that is asked for
MOST_NUMBER = 1_000  # characters
PIECE_ESCAPED = 2**15  # characters of a string with escapes, which take ten times as long
PIECE = 2**18  # characters: what is done with so many at once keeps Python's lock for a millisecond

_SPACE = re.compile(rb"[ \t\n\r]*")
_SCALAR = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null")
_ESCAPED = re.compile(rb'(?:[^"\\]++|\\u[0-9a-fA-F]{4}|\\[^u])*+', re.DOTALL)  # a part of a string, ended behind an escape
_CONTROLS = bytes(range(0x20))  # of which none may stand in a string as it is
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
            end = min(self.end, place + (PIECE_ESCAPED if self.escaped else PIECE))
            if self.escaped:
                found = _ESCAPED.match(self.body, place, end)
                end = found.end() if found else place
            piece = self.body[place:end]
            if not piece or len(piece.translate(None, _CONTROLS)) < len(piece):
                raise _invalid(place)
            yield _unescape(piece, place) if self.escaped else piece
            place = end


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
        self._asked = False  # whether the value that comes is the one that is asked for
        self._found: JsonString | None = None
        self._is_there = False  # something is under that name

    def find(self) -> JsonString:
        """As find_string."""
        place = self._space(0)
        if self._at(place) != b"{":
            raise InvalidRequest("body: Input should be an object")
        step, place = self._begin(place)
        for _ in range(MOST_PARTS):
            step, place = step(self._space(place))
            if not self._open:
                break
        else:
            raise InvalidRequest("The JSON has many parts; send an object with the drawing in base64 as `image`.")
        if self._space(place) != len(self._body):
            raise _invalid(place)
        if self._found is None:
            raise InvalidRequest(f"image: {'Input should be a valid string' if self._is_there else 'Field required'}")
        return self._found

    def _first_key(self, place: int) -> tuple[Step, int]:
        return self._end(place) if self._at(place) == b"}" else self._key(place)

    def _key(self, place: int) -> tuple[Step, int]:
        key = self._string(place)
        colon = self._space(key.end + 1)
        if self._at(colon) != b":":
            raise _invalid(colon)
        self._asked = len(self._open) == 1 and key.end - key.start <= MOST_KEY and b"".join(key.pieces()) == self._name
        return self._value, colon + 1

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
        start = place + 1
        end = self._body.find(b'"', start)
        if self._at(place) != b'"' or end < 0:
            raise _invalid(place)
        if self._body.find(b"\\", start, end) < 0:
            return JsonString(self._body, start, end, escaped=False)
        end = start
        while (found := _ESCAPED.match(self._body, end, end + PIECE_ESCAPED)) and found.end() > end:
            end = found.end()
        if self._at(end) != b'"':
            raise _invalid(end)
        return JsonString(self._body, start, end, escaped=True)


def _unescape(piece: bytes, place: int) -> bytes:
    try:
        return str(json.loads(b'"' + piece + b'"')).encode("utf-8", "surrogatepass")
    except ValueError as error:
        raise _invalid(place) from error


def _invalid(place: int) -> InvalidRequest:
    return InvalidRequest(f"body: Invalid JSON at byte {place:,}")
