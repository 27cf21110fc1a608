"""The Open Inference Protocol, version 2, over REST: for clients of KServe, Triton and OpenVINO Model Server.

The served model goes by two names, as in the model store: NAME takes normalised tensors and gives logits, NAME_uint8 takes
glyphs and gives calibrated probabilities and energy.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray
from pydantic import BaseModel

from app.errors import InvalidTensor, NotFound, NotReady, Overloaded, RequestTimeout, UnsupportedEncoding, UploadTooLarge
from app.reading.infer.record import ENERGY, GLYPH, INPUT, LOGITS, NO_DIGIT, PROBABILITIES, uint8_name
from app.reading.reader import Reader
from app.reading.requests import Inferred, TensorRequest
from app.telemetry.tracing import record_stages
from app.web.endpoints import route
from app.web.open_inference.tensors import ANY, TensorSpec, encode, parse
from app.web.openapi import protocol_response
from app.web.routes.answering import Model, hang_up, timing
from app.web.routes.health import check_alive, check_draining
from app.web.service import service_of
from app.web.uploads import read_body

JSON_LENGTH = "Inference-Header-Content-Length"
LENGTH = re.compile(r"[0-9]{1,12}")
PLATFORM = "onnxruntime_onnx"  # Triton's word


@dataclass(frozen=True)
class Signature:
    """The inputs and outputs of a model."""

    takes: TensorSpec
    gives: tuple[TensorSpec, ...]


_INPUT = TensorSpec(INPUT, "FP32", (ANY, 1, 28, 28))
_GLYPH = TensorSpec(GLYPH, "UINT8", (ANY, 28, 28))
_LOGITS = TensorSpec(LOGITS, "FP32", (ANY, 10))
_NO_DIGIT = TensorSpec(NO_DIGIT, "FP32", (ANY, 1))
_PROBABILITIES = TensorSpec(PROBABILITIES, "FP32", (ANY, 10))
_ENERGY = TensorSpec(ENERGY, "FP32", (ANY,))
TENSORS = Signature(_INPUT, (_LOGITS, _NO_DIGIT))
GLYPHS = Signature(_GLYPH, (_PROBABILITIES, _ENERGY))


class ServerLive(BaseModel):
    """The process answers."""

    live: bool


class ServerReady(BaseModel):
    """The model can be asked."""

    ready: bool


class ServerMetadata(BaseModel):
    """Which server this is, and what it speaks beyond the protocol."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """A tensor that a model takes or gives; -1 is a length that is free."""

    name: str
    datatype: str
    shape: list[int]


class ModelDescription(BaseModel):
    """The inputs and outputs of a model, and the version that is served."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ModelReady(BaseModel):
    """A model can be asked."""

    name: str
    ready: bool


class ProtocolError(BaseModel):
    """Why there is no answer, in the protocol's form."""

    error: str


router = APIRouter(
    tags=["open inference protocol"],
    responses={
        "default": {
            "description": "400, 404, 408, 413, 415, 503 or 504: why there is no answer",
            "model": ProtocolError,
            **protocol_response(
                InvalidTensor, NotFound, RequestTimeout, UploadTooLarge, UnsupportedEncoding, NotReady, Overloaded
            ),
        },
    },
)


@router.api_route(**route("getServerLive"), summary="Whether the server is alive")
async def get_server_live() -> ServerLive:
    """Answers as long as the process lives."""
    return ServerLive(live=True)


@router.api_route(**route("getServerReady"), summary="Whether the server is ready")
async def get_server_ready(request: Request, _reader: Model) -> ServerReady:
    """200 if the model serves, as for /health/ready."""
    check_draining(request)
    check_alive(request)
    return ServerReady(ready=True)


@router.api_route(**route("getServerMetadata"), summary="Name and version of the server")
@router.api_route(**route("getServerMetadataBelow"), include_in_schema=False)
async def get_server_metadata(request: Request) -> ServerMetadata:
    """Name, version and extensions."""
    return ServerMetadata(name="numeral", version=request.app.version, extensions=["binary_tensor_data"])


@router.api_route(**route("getModelMetadata"), summary="Inputs and outputs of a model")
@router.api_route(**route("getVersionMetadata"), summary="Inputs and outputs of a version")
async def get_model_metadata(reader: Model, name: str, version: str | None = None) -> ModelDescription:
    """Its tensors, the version that is served, and its platform."""
    signature = _find(reader, name, version)
    return ModelDescription(
        name=name,
        versions=[reader.classifier.record.version],
        platform=PLATFORM,
        inputs=[_describe(signature.takes)],
        outputs=[_describe(spec) for spec in signature.gives],
    )


@router.api_route(**route("getModelReady"), summary="Whether a model is ready")
@router.api_route(**route("getVersionReady"), summary="Whether a version is ready")
async def get_model_ready(request: Request, reader: Model, name: str, version: str | None = None) -> ModelReady:
    """200 if this model and version are served."""
    _find(reader, name, version)
    check_draining(request)
    check_alive(request)
    return ModelReady(name=name, ready=True)


_INPUTS = {
    "type": "array",
    "minItems": 1,
    "maxItems": 1,
    "items": {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"type": "string", "examples": [GLYPH]},
            "datatype": {"type": "string", "examples": ["UINT8"]},
            "shape": {"type": "array", "items": {"type": "integer"}, "examples": [[1, 28, 28]]},
            "data": {"type": "array", "items": {}, "description": "Its numbers, flat or nested as the shape is."},
            "parameters": {"type": "object", "description": "`binary_data_size`, where bytes behind the JSON are the data."},
        },
    },
}
_OUTPUTS = {"type": "array", "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}}
_REQUEST = {
    "type": "object",
    "required": ["inputs"],
    "properties": {"id": {"type": "string"}, "inputs": _INPUTS, "outputs": _OUTPUTS, "parameters": {"type": "object"}},
}
_CONTENT = {
    "application/json": {"schema": _REQUEST},
    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
}
_INFER: dict[str, Any] = {
    "openapi_extra": {"requestBody": {"required": True, "content": _CONTENT}},
}


@router.api_route(**route("infer"), summary="Infer a tensor", **_INFER)
@router.api_route(**route("inferVersion"), summary="Infer a tensor with a version", **_INFER)
async def infer(request: Request, name: str, version: str | None = None) -> Response:
    """Takes and returns tensors in JSON, or as bytes after it; `Inference-Header-Content-Length` says where the bytes begin."""
    service = service_of(request)
    signature = _find(service.reader, name, version)
    json_length = _json_length(request)
    body = await read_body(request, service.settings)
    call = partial(parse, body, json_length, signature.takes, signature.gives, service.settings.max_batch_files)
    outcome = await service.batcher.infer(TensorRequest(call), partial(hang_up, request), request.state.client.name)
    record_stages([outcome])
    if isinstance(outcome.result, Exception):
        raise outcome.result
    record = outcome.result.classifier.record
    request.state.model = f"{record.name}/{record.version}"  # for the log
    return _respond(name, outcome.result, outcome.seconds)


def _respond(name: str, inferred: Inferred, seconds: Mapping[str, float]) -> Response:
    content, length = encode(inferred.inference, (name, inferred.classifier.record.version), _results(inferred))
    headers = timing(seconds) | ({} if length is None else {JSON_LENGTH: str(length)})
    return Response(content, media_type="application/json" if length is None else "application/octet-stream", headers=headers)


def _results(inferred: Inferred) -> dict[TensorSpec, NDArray[Any]]:
    """Everything that the model gives.

    Raises:
        InvalidTensor: numbers so large came in that none come out.
    """
    logits = inferred.logits
    if not (np.isfinite(logits.digits).all() and np.isfinite(logits.no_digit).all()):
        raise InvalidTensor(f"{INPUT} has numbers that are too large to calculate with.")
    scores = inferred.classifier.judge(logits)
    own = {_LOGITS: logits.digits, _NO_DIGIT: logits.no_digit[:, np.newaxis]}
    return own | {_PROBABILITIES: scores.probabilities, _ENERGY: scores.energy}


def _find(reader: Reader, name: str, version: str | None) -> Signature:
    """The inputs and outputs of the model with that name.

    Raises:
        NotFound: it is not served, or not in that version.
    """
    record = reader.classifier.record
    signatures = {record.name: TENSORS, uint8_name(record.name): GLYPHS}
    if name not in signatures or version not in (None, record.version):
        raise NotFound(f"This model is not served; {' and '.join(signatures)} are, in version {record.version}.")
    return signatures[name]


def _json_length(request: Request) -> int | None:
    told = request.headers.get(JSON_LENGTH)
    if told is not None and not LENGTH.fullmatch(told):
        raise InvalidTensor(f"{JSON_LENGTH} is not a possible number of bytes.")
    return None if told is None else int(told)


def _describe(spec: TensorSpec) -> TensorMetadata:
    return TensorMetadata(name=spec.name, datatype=spec.datatype, shape=list(spec.shape))
