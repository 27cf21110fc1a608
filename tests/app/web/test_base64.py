"""Base64 in all its forms."""

import base64
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidBase64
from app.web.uploads import decode_base64


@given(
    st.binary(min_size=1),
    st.sampled_from(["standard", "url-safe"]),
    st.booleans(),
    st.sampled_from(["", "data:image/png;base64,"]),
)
def test_every_form_of_base64_is_decoded(data: bytes, alphabet: str, padded: bool, prefix: str) -> None:
    text = (base64.b64encode if alphabet == "standard" else base64.urlsafe_b64encode)(data).decode()

    assert decode_base64(prefix + (text if padded else text.rstrip("="))) == data


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
