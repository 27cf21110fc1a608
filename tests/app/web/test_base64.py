"""Base64 in all its forms."""

import base64
import tracemalloc
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidBase64
from app.web.json_body import PIECE
from app.web.uploads import decode_base64, decode_base64_pieces


@given(
    st.binary(min_size=1),
    st.sampled_from(["standard", "url-safe"]),
    st.booleans(),
    st.sampled_from(["", "data:image/png;base64,"]),
)
def test_every_form_of_base64_is_decoded(data: bytes, alphabet: str, padded: bool, prefix: str) -> None:
    text = (base64.b64encode if alphabet == "standard" else base64.urlsafe_b64encode)(data).decode()

    assert decode_base64(prefix + (text if padded else text.rstrip("="))) == data


WHITE = st.text(" \t\r\n", max_size=3)
HEADS = ["", "data:image/png;base64,", "data:image/png; base64,", "DATA: image/png ;charset=utf-8 ; base64 , "]


@given(st.binary(min_size=1), st.sampled_from(HEADS), st.data(), st.sampled_from(["", "\ufeff"]), WHITE, st.booleans())
def test_white_space_marks_and_percents_change_nothing(
    data: bytes, head: str, drawn: st.DataObject, mark: str, before: str, percents: bool
) -> None:
    text = base64.b64encode(data).decode()
    place = drawn.draw(st.integers(0, len(text)))
    text = head + text[:place] + drawn.draw(WHITE) + text[place:]
    said = quote(text, safe=drawn.draw(st.sampled_from(["", ":;,/"]))) if percents else text

    assert decode_base64(before + mark + before + said) == data
    assert decode_base64(before + said.replace("%2B", "%2b").replace("%2F", "%2f").replace("%3D", "%3d")) == data


@pytest.mark.parametrize("before", [0, PIECE - 30, PIECE - 3, PIECE, 3 * PIECE + 1])
def test_a_head_is_known_wherever_white_space_puts_it(before: int) -> None:
    assert decode_base64(" " * before + "data:image/png;base64,AAEC") == b"\0\1\2"


@given(st.lists(st.integers(1, 5), min_size=1, max_size=30))
def test_an_escape_may_lie_across_pieces(cuts: list[int]) -> None:
    text, pieces = b"data:image/png;base64,%2B%2F%2B%2f%0AAA%3D%3D", []
    for cut in cuts:
        pieces.append(text[:cut])
        text = text[cut:]

    assert decode_base64_pieces(iter([*pieces, text]), 99) == base64.b64decode("+/+/AA==")


@pytest.mark.parametrize("text", ["%", "AAAA%", "AAAA%2", "AAAA%G0", "%41AAA", "AAAA%252B", "AA\ufeffAA", "\ud800AAA"])
def test_an_odd_escape_or_mark_is_refused(text: str) -> None:
    with pytest.raises(InvalidBase64):
        decode_base64(text)


@pytest.mark.parametrize("text", ["a", "abcde", "ab!d", "ab=d", "data:,", "data:text/plain,abcd", "é", "data:image/png;base64"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidBase64):
        decode_base64(text)


def test_whitespace_in_base64_costs_no_more_than_its_data() -> None:
    text = "AAA " * 500_000
    tracemalloc.start()
    try:
        data = decode_base64(text)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert data == bytes(1_125_000)
    assert most < 5 * len(text)
