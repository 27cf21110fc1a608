"""Forms as they arrive: in pieces split anywhere."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multipart import MultipartError

from app.errors import InvalidRequest
from app.web.uploads import FILES, _Form, _Wanted  # no client can be made to cut a form at every place

PICTURE = b"\x89PNG\r\n--\r\n--x\r\n\r\n--x-" + bytes(range(40))
FORM = b"".join(
    b'--x--y\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % part
    for part in (
        (b"note", b"", b"a field that is no file"),
        (b"files", b'; filename="a"', PICTURE),
        (b"files", b'; filename=""', b""),
        (b"files", b'; filename="a b"\r\nContent-Type: image/png', b"second"),
    )
)


def read(form: bytes, cuts: set[int], most: int = 3) -> list[bytes]:
    parser = _Form("x--y", _Wanted(FILES, most, f"more than {most}"))
    for start, end in pairwise([0, *sorted(cuts), len(form)]):
        parser.take(form[start:end])
    parser.finish()
    return parser.files


@given(st.sets(st.integers(1, len(FORM) + 5)))
def test_a_form_is_parsed_alike_however_it_is_split(cuts: set[int]) -> None:
    assert read(FORM + b"--x--y--\r\n", cuts) == [PICTURE, b"", b"second"]


@given(st.sets(st.integers(1, len(FORM) - 1)))
def test_an_unfinished_form_is_refused(cuts: set[int]) -> None:
    with pytest.raises(MultipartError):
        read(FORM, cuts)


@given(st.sets(st.integers(1, len(FORM) - 1)), st.integers(0, 2))
def test_more_files_than_are_allowed_are_refused(cuts: set[int], most: int) -> None:
    with pytest.raises(InvalidRequest, match=f"more than {most}"):
        read(FORM + b"--x--y--\r\n", cuts, most)
