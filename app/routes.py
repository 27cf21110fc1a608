"""HTTP in, HTTP out."""

import base64
import logging
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import ValidationError

from app.batcher import Batcher
from app.caching import is_known
from app.errors import InvalidRequest, NotFound, NotReady, RequestError, ShuttingDown
from app.metrics import Metrics
from app.predict import PictureRequest, Reader, Reading, decode_base64
from app.problems import describe, problem_responses, request_id, to_problem, to_request_error
from app.schemas import BatchResult, CanvasRequest, Health, ModelInfo, Prediction, Problem
from app.store import EDITIONS, Edition
from app.tracing import record_stages
from app.uploads import BATCH_PATH, read_canvas, read_picture, read_pictures

logger = logging.getLogger(__name__)

router = APIRouter()
direct = APIRouter()  # what is asked most, endpoints that take the request alone: app.direct calls them

EditionQuery = Annotated[
    Edition,
    Query(
        description="`float32`: the model as it is served, normalised tensors to logits. `uint8`: with preprocessing and "
        "calibration in the graph, glyphs to probabilities and energy."
    ),
]


async def reader_of(request: Request) -> Reader:
    """What reads, once the model is loaded.

    Raises:
        NotReady: it is not yet.
    """
    reader: Reader | None = getattr(request.app.state, "reader", None)
    if reader is None:
        raise NotReady("The model is being loaded.")
    return reader


Model = Annotated[Reader, Depends(reader_of)]


async def _read(request: Request, pictures: list[PictureRequest]) -> list[Reading]:
    """Has pictures read by the workers, as long as the client waits for them."""
    batcher: Batcher = request.app.state.batcher
    readings = await batcher.read(pictures, partial(hang_up, request))
    record_stages(readings)
    answers = (reading.result.model for reading in readings if isinstance(reading.result, Prediction))
    if model := next(answers, None):
        request.state.model = f"{model.name}/{model.version}"  # for the log
    return readings


async def hang_up(request: Request) -> None:
    """Returns when the client is gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def timing(seconds: Mapping[str, float]) -> dict[str, str]:
    """The header that tells where the time went."""
    return {"Server-Timing": ", ".join(f"{stage};dur={1000 * spent:.2f}" for stage, spent in seconds.items())}


async def _answer(request: Request, picture: PictureRequest) -> Response:
    (reading,) = await _read(request, [picture])
    if isinstance(reading.result, Exception):
        raise reading.result
    return Response(reading.result.model_dump_json(), media_type="application/json", headers=timing(reading.seconds))


def _includes_glyph(request: Request) -> bool:
    """Whether the query asks for the glyph.

    Raises:
        InvalidRequest: it asks for what there is not.
    """
    if not request.scope["query_string"]:
        return False
    include = request.query_params.get("include")
    if include not in (None, "glyph"):
        raise InvalidRequest("query.include: Input should be 'glyph'")
    return include is not None


_INCLUDE = {
    "name": "include",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "enum": ["glyph"]},
    "description": "`glyph` adds the 28×28 picture that the model saw, as a data URL.",
}


def _takes(content: dict[str, Any]) -> dict[str, Any]:
    return {"parameters": [_INCLUDE], "requestBody": {"required": True, "content": content}}


_FILE = {"type": "string", "format": "binary"}
_IMAGE = {"schema": _FILE}
_PICTURE = _takes(
    {
        "multipart/form-data": {"schema": {"type": "object", "required": ["file"], "properties": {"file": _FILE}}},
        **{f"image/{kind}": _IMAGE for kind in ("png", "jpeg", "webp", "avif", "bmp", "gif", "tiff", "heic")},
        "application/octet-stream": _IMAGE,
    }
)
_FILES = {"type": "array", "items": _FILE, "minItems": 1}
_BATCH = _takes({"multipart/form-data": {"schema": {"type": "object", "required": ["files"], "properties": {"files": _FILES}}}})
_ONNX_FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file", "content": {"application/octet-stream": {"schema": _FILE}}},
    304: {"description": "It is the file that If-None-Match names"},
}
_CANVAS = _takes({"application/json": {"schema": CanvasRequest.model_json_schema()}})


@direct.post(
    "/predict",
    operation_id="predict",
    summary="Read the digit in a photo",
    tags=["predict"],
    response_model=Prediction,
    responses=problem_responses(408, 413, 415, 422, 503, 504),
    openapi_extra=_PICTURE,
)
async def predict(request: Request) -> Response:
    """Send the picture as multipart field `file`, or as the body itself under any other content type."""
    reader, include_glyph = await reader_of(request), _includes_glyph(request)
    data = await read_picture(request, reader.settings)
    return await _answer(request, PictureRequest(lambda: data, include_glyph))


@direct.post(
    "/predict/canvas",
    operation_id="predictCanvas",
    summary="Read the digit in a drawing",
    tags=["predict"],
    response_model=Prediction,
    responses=problem_responses(400, 408, 413, 415, 422, 503, 504),
    openapi_extra=_CANVAS,
)
async def predict_canvas(request: Request) -> Response:
    """Send JSON with the drawing in base64, bare or as the data URL that `canvas.toDataURL()` gives."""
    reader, include_glyph = await reader_of(request), _includes_glyph(request)
    body = await read_canvas(request, reader.settings)
    return await _answer(request, PictureRequest(partial(_decode_canvas, body), include_glyph))


def _decode_canvas(body: bytes) -> bytes:
    """The picture in a canvas's JSON."""
    try:
        return decode_base64(CanvasRequest.model_validate_json(body).image)
    except ValidationError as error:
        raise InvalidRequest(describe(error.errors())) from error


@direct.post(
    BATCH_PATH,
    operation_id="predictBatch",
    summary="Read one digit in each of many pictures",
    tags=["predict"],
    response_model=BatchResult,
    responses=problem_responses(408, 413, 422, 503, 504),
    openapi_extra=_BATCH,
)
async def predict_batch(request: Request) -> Response:
    """Send many multipart fields `files`; each gets its answer or its problem, in order, and none harms another."""
    reader, include_glyph = await reader_of(request), _includes_glyph(request)
    pictures = await read_pictures(request, reader.settings)
    readings = await _read(request, [PictureRequest(partial(bytes, data), include_glyph) for data in pictures])
    identity = request_id(request)
    metrics: Metrics = request.app.state.metrics
    result = BatchResult(results=[_to_result(reading.result, identity, metrics) for reading in readings])
    return Response(result.model_dump_json(), media_type="application/json")


def _to_result(result: Prediction | Exception, identity: str, metrics: Metrics) -> Prediction | Problem:
    if isinstance(result, Prediction):
        return result
    if not isinstance(result, RequestError):  # a fault of ours in one picture harms no other either
        logger.error("request %s: one picture of a batch failed", identity, exc_info=result)
    error = to_request_error(result)
    metrics.count_refusal(error.code)
    return to_problem(error, identity)


@router.get("/model", operation_id="getModel", summary="What is being served", tags=["model"], responses=problem_responses(503))
async def get_model(reader: Model) -> ModelInfo:
    """Name, version, checksum, metadata and measured accuracy of the model, and the provider it really runs on."""
    classifier = reader.classifier
    record = classifier.record
    return ModelInfo(
        name=record.name,
        version=record.version,
        sha256=record.sha256["model.onnx"],
        editions={edition: record.sha256[EDITIONS[edition]] for edition in classifier.editions},
        provider=classifier.provider,
        accuracy=record.accuracy,
        metadata=classifier.metadata,
    )


@router.get(
    "/model/file",
    operation_id="getModelFile",
    summary="The model itself, as ONNX",
    tags=["model"],
    response_class=Response,
    responses={**_ONNX_FILE, **problem_responses(404, 422, 503)},
)
async def get_model_file(request: Request, reader: Model, edition: EditionQuery = "float32") -> Response:
    """The ONNX file, with its sha256 in `ETag` (hexadecimal) and in `Repr-Digest` (base64, RFC 9530)."""
    classifier = reader.classifier
    record = classifier.record
    file = classifier.editions.get(edition)
    if file is None:
        raise NotFound(f"Model {record.name}/{record.version} was published without the edition {edition}.")
    digest = record.sha256[EDITIONS[edition]]
    headers = {
        "ETag": f'"{digest}"',
        "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(digest)).decode()}:",
        "Cache-Control": "no-cache",  # may be kept, but asked about: another version may be served by now
    }
    if is_known(request, digest):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    name = f"{record.name}-{record.version}.{edition}.onnx"
    headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return Response(file, headers=headers, media_type="application/octet-stream")


@direct.get("/health/live", operation_id="getLive", summary="Is the process alive", tags=["health"], response_model=Health)
async def get_live(_: Request) -> Response:
    """Answers as long as the process does; restart it when this fails."""
    return _tell(Health(status="live", provider=None))


@direct.get(
    "/health/ready",
    operation_id="getReady",
    summary="Can it answer",
    tags=["health"],
    response_model=Health,
    responses=problem_responses(503),
)
async def get_ready(request: Request) -> Response:
    """200 once the model has proved itself on its golden vectors; 503 with the reason before that, and when it is to end."""
    reader = await reader_of(request)
    check_draining(request)
    return _tell(Health(status="ready", provider=reader.classifier.provider))


def check_draining(request: Request) -> None:
    """Refuses what should be asked of another server.

    Raises:
        ShuttingDown: this one is to end.
    """
    if request.app.state.draining:
        raise ShuttingDown("The service is about to end; what it has accepted is still answered.")


def _tell(health: Health) -> Response:
    return Response(health.model_dump_json(), media_type="application/json")


@router.get("/metrics", operation_id="getMetrics", summary="For Prometheus", tags=["metrics"], response_class=PlainTextResponse)
def get_metrics(request: Request) -> Response:
    """What was counted and measured, by all workers together; docs/operations.md lists it."""
    metrics: Metrics = request.app.state.metrics
    body, content_type = metrics.expose(request.headers.get("accept", ""))
    return Response(body, media_type=content_type)
