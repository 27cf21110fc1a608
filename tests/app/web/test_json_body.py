"""A string is found in JSON as a parser finds it, without a tree."""

import base64
import json
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidRequest, RequestError
from app.runtime.process import SWITCH_SECONDS
from app.web.json_body import MOST_DEPTH, MOST_PARTS, PIECE, find_string
from app.web.routes.predict import (
    MOST_PLAIN,
    decode_canvas,
)  # what the worker calls; no client can be made to watch Python's lock
from app.web.uploads import decode_base64, decode_base64_pieces

BODY = 27_000_000  # bytes, about the most that is read of a canvas
MOST_BLOCKED = 0.05  # seconds

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.just("image"), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text() | st.just("image"), JSON, max_size=5), st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_a_value_is_found_as_pythons_parser_finds_it(value: dict[str, Any], ascii_only: bool, indent: Any) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    if isinstance(value.get("image"), str):
        said = b"".join(find_string(body, "image").pieces())
        assert said.decode("utf-8", "surrogatepass") == value["image"]
    else:
        with pytest.raises(InvalidRequest, match="image: "):
            find_string(body, "image")


@given(st.dictionaries(st.text(), JSON, max_size=3), st.data())
def test_what_is_cut_off_is_refused(value: dict[str, Any], data: st.DataObject) -> None:
    body = json.dumps({**value, "image": "abcd"}).encode()
    with pytest.raises(InvalidRequest):
        find_string(body[: data.draw(st.integers(0, len(body) - 1))], "image")


WRONG = {
    "nothing": b"",
    "an array": b'["image"]',
    "a string": b'"image"',
    "two values": b'{"image": "a"} {}',
    "a comma too many": b'{"image": "a",}',
    "no comma": b'{"a": 1 "image": "a"}',
    "a key without quotes": b'{image: "a"}',
    "the wrong bracket": b'{"image": "a", "b": [1}]',
    "a word": b'{"image": "a", "b": nothing}',
    "a number of a kind": b'{"image": "a", "b": 01}',
    "a number without end": b'{"image": "a", "b": ' + b"9" * 100_000 + b"}",
    "depth": b'{"image": "a", "b": ' + b"[" * MOST_DEPTH + b"]" * MOST_DEPTH + b"}",
    "many parts": b'{"image": "a", "b": [' + b"1," * MOST_PARTS + b"1]}",
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG.keys())
def test_anything_else_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        find_string(body, "image")


@pytest.mark.parametrize("said", [b"a\nb", b"\\x", b"\\u12g4", b"\\"])
def test_a_string_with_an_impossible_character_is_refused(said: bytes) -> None:
    with pytest.raises(InvalidRequest):
        b"".join(find_string(b'{"image": "' + said + b'"}', "image").pieces())


def test_unknown_fields_are_passed_over_and_the_last_of_several_counts() -> None:
    body = b'{"who": {"image": "no"}, "image": 1, "im\\u0061ge": "aa\\/a", "list": [[], {}, "]"], "n": -1.5e3}'

    assert b"".join(find_string(body, "image").pieces()) == b"aa/a"


def test_a_byte_order_mark_before_it_is_passed_over() -> None:
    assert b"".join(find_string(b'\xef\xbb\xbf {"image": "AAAA"}', "image").pieces()) == b"AAAA"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"{}", "image: Field required; the object is empty"),
        (b'{"img": "a", "b": {"image": "x"}}', "image: Field required; the object has `img`, `b`"),
        (b'{"Image": "a", "Im\\u0061ges": "a"}', "image: Field required; the object has `Image`, `Images`"),
        (b'{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1}', "image: Field required; the object has `a`, `b`, `c`, `d`, `e`, …"),
        (b'{"image": 7, "b": 1}', "image: Input should be a valid string"),
    ],
)
@pytest.mark.parametrize("padding", [b"", b" " * MOST_PLAIN], ids=["small", "large"])
def test_a_missing_field_is_told_with_those_that_came(body: bytes, told: str, padding: bytes) -> None:
    with pytest.raises(InvalidRequest) as error:
        decode_canvas(body + padding)

    assert error.value.detail == told


@given(st.binary(min_size=1, max_size=60), st.sets(st.integers(0, 80)), st.sampled_from(["", "data:image/png;base64,"]))
def test_base64_in_pieces_is_decoded_as_a_whole(data: bytes, cuts: set[int], head: str) -> None:
    text = (head + base64.b64encode(data).decode()).encode()
    places = [0, *(len(head) + cut for cut in sorted(cuts) if cut), len(text) + 100]

    assert decode_base64_pieces((text[a:b] for a, b in pairwise(places)), len(text)) == data
    assert decode_base64(text.decode()) == data


def hostile(unit: bytes, head: bytes = b'{"image": [', tail: bytes = b"]}") -> bytes:
    return head + unit * ((BODY - len(head) - len(tail)) // len(unit)) + tail


def drawing(*, slashes: bool = False) -> bytes:
    text = base64.b64encode(bytes(range(256)) * (BODY // 4 * 3 // 256)).decode()
    return json.dumps({"image": text}).encode() if not slashes else json.dumps({"image": text}).replace("/", "\\/").encode()


BODIES: dict[str, Callable[[], bytes]] = {
    "a drawing": drawing,
    "a drawing with escaped slashes": lambda: drawing(slashes=True),
    "brackets": lambda: hostile(b"[],"),
    "depth": lambda: hostile(b"["),
    "names": lambda: hostile(b'"a":1,', b"{", b'"b":1}'),
    "words": lambda: hostile(b'"a",'),
    "a number": lambda: hostile(b"9"),
    "spaces": lambda: hostile(b" "),
    "escapes": lambda: hostile(b"\\n", b'{"image": "', b'"}'),
    "escaped code points": lambda: hostile(b"\\u0041", b'{"image": "', b'"}'),
    "a long key": lambda: hostile(b"a", b'{"', b'": 1}'),
    "an unknown string": lambda: hostile(b"a", b'{"image": "AAAA", "b": "', b'"}'),
    "escapes of percents": lambda: hostile(b"%2B", b'{"image": "', b'"}'),
    "percents": lambda: hostile(b"%", b'{"image": "', b'"}'),
    "a head without end": lambda: hostile(b";base64", b'{"image": "data:', b'"}'),
    "a mark": lambda: b"\xef\xbb\xbf" + drawing(),
    "padding": lambda: hostile(b"=", b'{"image": "AA', b'"}'),
    "base64 of spaces": lambda: hostile(b" ", b'{"image": "', b'AAAA"}'),
    "bytes": lambda: hostile(b"\xff"),
    "zeros": lambda: hostile(b"\0", b"", b""),
}


def blocked(body: bytes) -> float:
    """How long another thread, as the event loop's, has to wait for Python's lock at most while a worker decodes; seconds."""
    longest, over, interval = [0.0], threading.Event(), sys.getswitchinterval()

    def watch() -> None:
        while not over.is_set():
            began = time.perf_counter()
            time.sleep(0.001)
            longest[0] = max(longest[0], time.perf_counter() - began)

    watcher = threading.Thread(target=watch)
    watcher.start()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        decode_canvas(body)
    except RequestError:
        pass
    finally:
        sys.setswitchinterval(interval)
        over.set()
        watcher.join()
    return longest[0]


@pytest.mark.parametrize("make", BODIES.values(), ids=BODIES.keys())
def test_27_mb_of_anything_block_nobody_and_take_less_than_twice_their_size(make: Callable[[], bytes]) -> None:
    body = make()
    assert any(blocked(body) < MOST_BLOCKED for _ in range(3))  # the machine, too, may take long

    tracemalloc.start()
    try:
        decode_canvas(body)
    except RequestError:
        pass
    finally:
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert most < 2 * len(body) + 8 * PIECE  # besides the body itself
