"""HTTP in, HTTP out."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Literal, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from app.errors import InvalidRequest, NotReady, RequestError
from app.predict import Reader, decode_base64
from app.problems import describe, request_id, to_problem, to_request_error
from app.schemas import BatchResult, CanvasRequest, Health, ModelInfo, Prediction, Problem
from app.uploads import read_canvas, read_picture, read_pictures

logger = logging.getLogger(__name__)

router = APIRouter()

T = TypeVar("T")

Include = Annotated[
    Literal["glyph"] | None, Query(description="`glyph` adds the 28×28 picture that the model saw, as a data URL.")
]


def _reader(request: Request) -> Reader:
    reader: Reader | None = getattr(request.app.state, "reader", None)
    if reader is None:
        raise NotReady("The model is being loaded.")
    return reader


Model = Annotated[Reader, Depends(_reader)]


async def _in_worker(request: Request, work: Callable[[], T]) -> T:
    """Runs CPU work in a thread, as many at a time as the settings say."""
    limiter: CapacityLimiter = request.app.state.workers
    return await to_thread.run_sync(work, limiter=limiter)


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


_FILE = {"type": "string", "format": "binary"}
_IMAGE = {"schema": _FILE}
_PICTURE_BODY = _body(
    {
        "multipart/form-data": {"schema": {"type": "object", "required": ["file"], "properties": {"file": _FILE}}},
        **{f"image/{kind}": _IMAGE for kind in ("png", "jpeg", "webp", "avif", "bmp", "gif", "tiff", "heic")},
        "application/octet-stream": _IMAGE,
    }
)
_FILES = {"type": "array", "items": _FILE, "minItems": 1}
_BATCH_BODY = _body(
    {"multipart/form-data": {"schema": {"type": "object", "required": ["files"], "properties": {"files": _FILES}}}}
)
_CANVAS_BODY = _body({"application/json": {"schema": CanvasRequest.model_json_schema()}})


@router.post(
    "/predict",
    operation_id="predict",
    summary="Read the digit in a photo",
    tags=["predict"],
    responses=_problems(413, 415, 422, 503),
    openapi_extra=_PICTURE_BODY,
)
async def predict(request: Request, reader: Model, include: Include = None) -> Prediction:
    """Send the picture as multipart field `file`, or as the body itself under any other content type."""
    data = await read_picture(request, reader.settings)
    return await _in_worker(request, lambda: reader.read(data, include_glyph=include == "glyph"))


@router.post(
    "/predict/canvas",
    operation_id="predictCanvas",
    summary="Read the digit in a drawing",
    tags=["predict"],
    responses=_problems(400, 413, 415, 422, 503),
    openapi_extra=_CANVAS_BODY,
)
async def predict_canvas(request: Request, reader: Model, include: Include = None) -> Prediction:
    """Send JSON with the drawing in base64, bare or as the data URL that `canvas.toDataURL()` gives."""
    body = await read_canvas(request, reader.settings)

    def read() -> Prediction:
        try:
            drawing = CanvasRequest.model_validate_json(body)
        except ValidationError as error:
            raise InvalidRequest(describe(error.errors())) from error
        return reader.read(decode_base64(drawing.image), include_glyph=include == "glyph")

    return await _in_worker(request, read)


@router.post(
    "/predict/batch",
    operation_id="predictBatch",
    summary="Read one digit in each of many pictures",
    tags=["predict"],
    responses=_problems(413, 422, 503),
    openapi_extra=_BATCH_BODY,
)
async def predict_batch(request: Request, reader: Model, include: Include = None) -> BatchResult:
    """Send many multipart fields `files`; each gets its answer or its problem, in order, and none harms another."""
    pictures = await read_pictures(request, reader.settings)
    identity = request_id(request)

    def read(data: bytes) -> Prediction | Problem:
        try:
            return reader.read(data, include_glyph=include == "glyph")
        except RequestError as error:
            return to_problem(error, identity)
        except Exception as error:  # a fault of ours in one picture harms no other either
            logger.exception("request %s: one picture of a batch failed", identity)
            return to_problem(to_request_error(error), identity)

    return BatchResult(results=await asyncio.gather(*(_in_worker(request, partial(read, data)) for data in pictures)))


@router.get("/model", operation_id="getModel", summary="What is being served", tags=["model"], responses=_problems(503))
async def get_model(reader: Model) -> ModelInfo:
    """Name, version, checksum, metadata and measured accuracy of the model, and the provider it really runs on."""
    classifier = reader.classifier
    record = classifier.record
    return ModelInfo(
        name=record.name,
        version=record.version,
        sha256=record.sha256["model.onnx"],
        provider=classifier.provider,
        accuracy={key.removesuffix("_accuracy"): value for key, value in record.metrics.items() if key.endswith("_accuracy")},
        metadata=classifier.metadata,
    )


@router.get("/health/live", operation_id="getLive", summary="Is the process alive", tags=["health"])
async def get_live() -> Health:
    """Answers as long as the process does; restart it when this fails."""
    return Health(status="live", provider=None)


@router.get("/health/ready", operation_id="getReady", summary="Can it answer", tags=["health"], responses=_problems(503))
async def get_ready(reader: Model) -> Health:
    """200 once the model has proved itself on its golden vectors; 503 with the reason before that."""
    return Health(status="ready", provider=reader.classifier.provider)


@router.get("/", include_in_schema=False)
async def get_root() -> RedirectResponse:
    """Shows newcomers what there is."""
    return RedirectResponse("docs")
