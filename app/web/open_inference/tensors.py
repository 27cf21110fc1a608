"""Tensors of the Open Inference Protocol: JSON, or JSON with the tensors' bytes behind it, to arrays and back.

Sources: github.com/kserve/open-inference-protocol, inference_rest.md; the binary tensor data extension is Triton's.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import InvalidTensor
from app.reading.requests import Inference
from app.web.endpoints import operation_path
from app.web.json_body import BOM
from app.web.problems import describe

Datatype = Literal["FP32", "UINT8"]
DTYPES: dict[Datatype, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "UINT8": np.dtype("u1")}  # bytes are little-endian
ANY = -1  # a length that is free
FURTHER = 5_000  # parts of a request besides its numbers
FOREIGN = {"classification", "shared_memory_region"}  # parameters of extensions that are not spoken here


@dataclass(frozen=True)
class TensorSpec:
    """Name, type and shape of a model's tensor; the first length of the shape is that of the batch, and free."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]

    @property
    def row(self) -> tuple[int, ...]:
        """The shape of one of its rows."""
        return self.shape[1:]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)

    name: str
    parameters: dict[str, Any] = {}


class RequestInput(_Part):
    """A tensor that is sent: its numbers in data, or its bytes behind the JSON."""

    shape: list[Annotated[int, Field(ge=-(2**63), lt=2**63)]] = Field(max_length=8, fail_fast=True)
    datatype: str
    data: list[Any] | None = None


class RequestOutput(_Part):
    """A tensor that is wanted."""


class InferenceRequest(BaseModel):
    """The JSON of an inference request."""

    model_config = ConfigDict(strict=True)

    id: str | None = None
    parameters: dict[str, Any] = {}
    inputs: list[RequestInput] = Field(min_length=1, max_length=1)
    outputs: list[RequestOutput] = Field([], max_length=8, fail_fast=True)


def parse(body: bytes, json_length: int | None, takes: TensorSpec, gives: Iterable[TensorSpec], most_rows: int) -> Inference:
    """Reads an inference request; json_length: of its JSON, where bytes follow it.

    Raises:
        InvalidTensor: it does not fit the protocol, or the model, or has more rows than it may.
    """
    text = body if json_length is None else body[:json_length]
    _check_parts(text, takes, most_rows)
    try:
        request = InferenceRequest.model_validate_json(text.removeprefix(BOM))
    except ValidationError as error:
        shape = json.dumps([1, *takes.row])
        example = f'{{"inputs": [{{"name": "{takes.name}", "datatype": "{takes.datatype}", "shape": {shape}, "data": […]}}]}}'
        raise InvalidTensor(
            f"{describe(error.errors())}; send {example}. A picture goes to {operation_path('predict')}."
        ) from error
    (sent,) = request.inputs
    _refuse_foreign((sent, *request.outputs))
    _check_kind(sent, takes, most_rows)
    tail = body[len(body) if json_length is None else json_length :]
    rows = _from_bytes(sent, tail, takes) if "binary_data_size" in sent.parameters else _from_json(sent, tail, takes)
    return Inference(rows, _wanted(request, [spec.name for spec in gives]), request.id)


def encode(
    inference: Inference, model: tuple[str, str], tensors: Mapping[TensorSpec, NDArray[Any]]
) -> tuple[bytes, int | None]:
    """The body of the answer, of a model's name and version, and the length of its JSON where bytes follow it."""
    outputs, tail = [], b""
    for spec, tensor in tensors.items():
        if spec.name not in inference.outputs:
            continue
        array = np.ascontiguousarray(tensor, DTYPES[spec.datatype])
        output: dict[str, Any] = {"name": spec.name, "datatype": spec.datatype, "shape": list(array.shape)}
        if inference.outputs[spec.name]:
            outputs.append(output | {"parameters": {"binary_data_size": array.nbytes}})
            tail += array.tobytes()
        else:
            outputs.append(output | {"data": array.ravel().tolist()})
    answer = {"model_name": model[0], "model_version": model[1], "outputs": outputs}
    head = json.dumps(answer if inference.id is None else answer | {"id": inference.id}).encode()
    return head + tail, len(head) if tail else None


def _check_parts(text: bytes, takes: TensorSpec, most_rows: int) -> None:
    """Refuses JSON that has more parts than the largest tensor, before a tree is made of them: that holds Python's lock.

    Numbers and commas are as many as the tensor has, brackets as many as its rows, and rows of rows, have.
    """
    lists = sum(most_rows * prod(takes.row[:axis]) for axis in range(len(takes.row)))
    most = {b",": most_rows * prod(takes.row), b"[": lists, b"{": 0, b'"': 0, b":": 0}
    if any(text.count(mark) > count + FURTHER for mark, count in most.items()):
        raise InvalidTensor(f"The JSON has more parts than a request with {most_rows} rows of {takes.name} has.")


def _refuse_foreign(parts: Iterable[_Part]) -> None:
    for part in parts:
        if foreign := FOREIGN & part.parameters.keys():
            raise InvalidTensor(
                f"{part.name[:99]}: the parameter {min(foreign)} belongs to an extension that is not spoken here."
            )


def _check_kind(sent: RequestInput, takes: TensorSpec, most_rows: int) -> None:
    if (sent.name, sent.datatype) != (takes.name, takes.datatype):
        raise InvalidTensor(
            f"The model takes {takes.name} of {takes.datatype}, not {sent.name[:99]!r} of {sent.datatype[:99]!r}."
        )
    if tuple(sent.shape[1:]) != takes.row or not 1 <= sent.shape[0] <= most_rows:
        shape = ", ".join(map(str, ("N", *takes.row)))
        raise InvalidTensor(f"{takes.name} has the shape [{shape}], where N is 1 to {most_rows}; not {sent.shape}.")


def _from_bytes(sent: RequestInput, tail: bytes, takes: TensorSpec) -> NDArray[Any]:
    told, dtype = sent.parameters["binary_data_size"], DTYPES[takes.datatype]
    size = prod(sent.shape) * dtype.itemsize
    if sent.data is not None:
        raise InvalidTensor(f"{sent.name} has data and binary_data_size: send one of them.")
    if not told == size == len(tail):
        raise InvalidTensor(f"{sent.name} has {size:,} bytes; {len(tail):,} follow, and binary_data_size must say how many.")
    return _finite(np.frombuffer(tail, dtype).reshape(sent.shape), sent.name)


def _from_json(sent: RequestInput, tail: bytes, takes: TensorSpec) -> NDArray[Any]:
    """The numbers of a flat or nested list; whole ones in 0..255 where the model takes those."""
    if sent.data is None or tail:
        raise InvalidTensor(f"{sent.name} has no data: send `data`, or append bytes and give their number as binary_data_size.")
    numbers, kinds = _flatten(sent.data, sent.shape), {int} if takes.datatype == "UINT8" else {int, float}
    if len(numbers) != prod(sent.shape):
        raise InvalidTensor(f"{sent.name} of this shape needs {prod(sent.shape):,} numbers, flat or nested like the shape.")
    if not set(map(type, numbers)) <= kinds:  # before numpy, which turns numbers next to a string into strings
        raise InvalidTensor(f"The data of {sent.name} must be {'whole ' if float not in kinds else ''}numbers.")
    try:
        array = np.array(numbers, np.float64)
    except OverflowError as error:
        raise InvalidTensor(f"{sent.name} has numbers that are not finite.") from error
    if float not in kinds and not 0 <= array.min() <= array.max() <= 255:
        raise InvalidTensor(f"The data of {sent.name} must be from 0 to 255.")
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
        return _finite(array.astype(DTYPES[takes.datatype]).reshape(sent.shape), sent.name)


def _flatten(data: list[Any], shape: Sequence[int]) -> list[Any]:
    """The numbers of a list that is flat or nested as the shape is; of any other, some list that is not as long."""
    if not data or not isinstance(data[0], list):
        return data
    for length in shape[1:]:
        if not all(isinstance(part, list) and len(part) == length for part in data):
            return []
        data = list(chain.from_iterable(data))
    return data


def _finite(array: NDArray[Any], name: str) -> NDArray[Any]:
    if not np.isfinite(array).all():
        raise InvalidTensor(f"{name} has numbers that are not finite.")
    return array


def _wanted(request: InferenceRequest, known: list[str]) -> dict[str, bool]:
    """The outputs to answer with, all unless some are named, and whether as bytes."""
    as_bytes = request.parameters.get("binary_data_output", False)
    wanted = {output.name: output.parameters.get("binary_data", as_bytes) for output in request.outputs}
    if len(wanted) < len(request.outputs) or not wanted.keys() <= set(known):
        raise InvalidTensor(f"outputs may name {' and '.join(known)}, each once.")
    wanted = wanted or dict.fromkeys(known, as_bytes)
    if not all(isinstance(value, bool) for value in wanted.values()):
        raise InvalidTensor("binary_data and binary_data_output are true or false.")
    return wanted
