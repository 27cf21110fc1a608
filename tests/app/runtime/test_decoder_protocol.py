"""A decoder process is not trusted: impossible answers are refused."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import RequestError, UnreadableImage
from app.runtime.decoder_protocol import (
    ANSWER,
    DECODED,
    ERRORS,
    FIRST_ERROR,
    MARK,
    MOST_TEXT,
    Decoded,
    Fault,
    ProtocolError,
    ask,
    ask_alive,
    read_answer,
    read_question,
    tell_alive,
    tell_decoded,
    tell_error,
    tell_fault,
)

MAX_PIXELS = 50_000_000


def test_messages_survive_a_round_trip() -> None:
    decoded = Decoded(700, 1000, 2100, 3000, 2, 1234)

    assert read_answer(tell_decoded(decoded), MAX_PIXELS) == decoded
    assert read_answer(tell_alive(), MAX_PIXELS) is None
    assert read_answer(tell_fault("KeyError: x"), MAX_PIXELS) == Fault("KeyError: x")
    assert (read_question(ask(7)), read_question(ask(0)), read_question(ask_alive())) == (7, 0, None)


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_keeps_its_type_and_text(kind: type[RequestError]) -> None:
    error = read_answer(tell_error(kind("Größer als 1 × 2.")), MAX_PIXELS)

    assert type(error) is kind
    assert isinstance(error, RequestError)
    assert error.detail == "Größer als 1 × 2."


def test_a_text_is_cut_and_its_unprintable_characters_are_replaced() -> None:
    error = read_answer(tell_error(UnreadableImage("a\x00\n\x1b[31m" + "é" * 1000)), MAX_PIXELS)

    assert isinstance(error, RequestError)
    assert error.detail.startswith("a???[31mé")
    assert len(error.detail.encode()) <= MOST_TEXT + 2


BAD = {
    "nothing": b"",
    "short": tell_alive()[:-1],
    "long": tell_alive() + b"x",
    "another mark": b"XXXX" + tell_alive()[4:],
    "an unknown ending": ANSWER.pack(MARK, FIRST_ERROR + len(ERRORS), 0, 0, 0, 0, 0, 0, 0),
    "more text than there is": ANSWER.pack(MARK, FIRST_ERROR, 0, 0, 0, 0, 0, 0, 9) + b"x",
    "no height": ANSWER.pack(MARK, DECODED, 0, 9, 9, 9, 0, 0, 0),
    "no width": ANSWER.pack(MARK, DECODED, 9, 0, 9, 9, 0, 0, 0),
    "too high": ANSWER.pack(MARK, DECODED, 1025, 9, 2000, 9, 0, 0, 0),
    "too wide": ANSWER.pack(MARK, DECODED, 9, 1025, 9, 2000, 0, 0, 0),
    "larger than the original": ANSWER.pack(MARK, DECODED, 9, 9, 9, 8, 0, 0, 0),
    "an original of no size": ANSWER.pack(MARK, DECODED, 9, 9, 0, 0, 0, 0, 0),
    "an original that is too large": ANSWER.pack(MARK, DECODED, 9, 9, 60_000, 60_000, 0, 0, 0),
    "a frame beyond those that are looked at": ANSWER.pack(MARK, DECODED, 9, 9, 9, 9, 100, 0, 0),
}


@pytest.mark.parametrize("packet", BAD.values(), ids=BAD.keys())
def test_impossible_packets_are_refused(packet: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_answer(packet, MAX_PIXELS)


@given(st.one_of(st.binary(max_size=600), st.binary(max_size=40).map(lambda rest: MARK + rest)))
def test_any_bytes_give_an_answer_within_the_limits_or_an_error(packet: bytes) -> None:
    try:
        answer = read_answer(packet, MAX_PIXELS)
    except ProtocolError:
        return
    if isinstance(answer, Decoded):
        assert 1 <= answer.height <= 1024
        assert 1 <= answer.width <= 1024


def test_nothing_that_a_decoder_sends_is_unpickled() -> None:
    modules = list((Path(__file__).parents[3] / "app" / "runtime").glob("decoder_*.py"))

    assert len(modules) >= 4
    for module in modules:
        assert not re.search(r"\b(pickle|marshal|multiprocessing|eval)\b", module.read_text(encoding="utf-8")), module.name
