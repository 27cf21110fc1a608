"""Tensors on the wire: encoding and decoding agree, and no input causes a server error."""

import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from app.errors import InvalidTensor
from app.reading.requests import Inference
from app.web.json_body import BOM
from app.web.open_inference.tensors import TensorSpec, encode, parse

GLYPH = TensorSpec("glyph", "UINT8", (-1, 2, 2))
SCORE = TensorSpec("score", "FP32", (-1, 3))
MOST = 4

rows = hnp.arrays(np.uint8, st.tuples(st.integers(1, MOST), st.just(2), st.just(2)))
scores = hnp.arrays(np.float32, st.tuples(st.integers(1, MOST), st.just(3)), elements=st.floats(-1e6, 1e6, width=32))
scraps = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["glyph", "UINT8"]),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.sampled_from(["name", "shape", "datatype", "data", "parameters", "binary_data_size"]), inner)
    ),
    max_leaves=20,
)


def sent(array: NDArray[Any], **change: Any) -> dict[str, Any]:
    return {"name": "glyph", "datatype": "UINT8", "shape": list(array.shape), **change}


@given(rows)
def test_numbers_flat_nested_or_as_bytes_are_the_same_rows(array: NDArray[np.uint8]) -> None:
    flat, nested = (json.dumps({"inputs": [sent(array, data=data)]}) for data in (array.ravel().tolist(), array.tolist()))
    head = json.dumps({"inputs": [sent(array, parameters={"binary_data_size": array.size})]}).encode()

    as_flat, as_nested = (parse(body.encode(), None, GLYPH, [SCORE], MOST).rows for body in (flat, nested))
    as_bytes = parse(head + array.tobytes(), len(head), GLYPH, [SCORE], MOST).rows

    for read in (as_flat, as_nested, as_bytes):
        np.testing.assert_array_equal(read, array)
        assert read.dtype == np.uint8


@pytest.mark.parametrize("tail", [b"", b"1234"], ids=["numbers", "bytes"])
def test_a_byte_order_mark_may_stand_before_the_json(tail: bytes) -> None:
    told: dict[str, Any] = {"parameters": {"binary_data_size": 4}} if tail else {"data": [*b"1234"]}
    head = BOM + json.dumps({"inputs": [sent(np.zeros((1, 2, 2)), **told)]}).encode()

    rows = parse(head + tail, len(head) if tail else None, GLYPH, [SCORE], MOST).rows

    assert rows.tobytes() == b"1234"


@given(scores)
def test_an_answer_keeps_every_bit_in_json_and_in_bytes(array: NDArray[np.float32]) -> None:
    as_json, _ = encode(Inference(array, {"score": False}, "a"), ("digits", "2"), {SCORE: array})
    as_bytes, length = encode(Inference(array, {"score": True}), ("digits", "2"), {SCORE: array})

    (output,) = json.loads(as_json)["outputs"]
    np.testing.assert_array_equal(np.array(output["data"], np.float32).reshape(output["shape"]), array)
    assert length is not None
    np.testing.assert_array_equal(np.frombuffer(as_bytes[length:], "<f4").reshape(array.shape), array)
    assert json.loads(as_bytes[:length])["outputs"][0]["parameters"] == {"binary_data_size": array.nbytes}


@given(scraps, st.binary(max_size=20), st.none() | st.integers(0, 200))
def test_no_value_in_place_of_an_input_causes_a_server_error(scrap: object, tail: bytes, length: int | None) -> None:
    for whole in (scrap, {"inputs": scrap}, {"inputs": [scrap]}, {"inputs": [sent(np.zeros((1, 2, 2)), data=scrap)]}):
        with suppress(InvalidTensor):
            parse(json.dumps(whole).encode() + tail, length, GLYPH, [SCORE], MOST)


@given(st.binary(), st.none() | st.integers(0, 200))
def test_no_bytes_cause_a_server_error(body: bytes, length: int | None) -> None:
    with pytest.raises(InvalidTensor):
        parse(body, length, GLYPH, [SCORE], MOST)


def test_an_output_that_was_not_requested_is_left_out() -> None:
    answer, _ = encode(Inference(np.zeros((1, 2, 2), np.uint8), {}), ("digits", "2"), {SCORE: np.zeros((1, 3), np.float32)})

    assert json.loads(answer) == {"model_name": "digits", "model_version": "2", "outputs": []}
