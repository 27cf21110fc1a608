"""Routes that read one digit per picture."""

from functools import partial

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from app.errors import InvalidBase64, InvalidRequest, NoDigitFound
from app.reading.answer import Prediction
from app.reading.decode.fast_decoders import MOST_BYTES
from app.reading.requests import PictureRequest
from app.web.endpoints import route
from app.web.json_body import BOM, find_string
from app.web.openapi import BODY, PICTURE, problem_responses
from app.web.problems import describe
from app.web.routes.answering import FILE, IMAGE, answer_one, includes_glyph, most_prominent_of, read, takes, to_results
from app.web.schemas import BatchResult, CanvasRequest, StrokesRequest
from app.web.service import service_of
from app.web.strokes import Ink
from app.web.uploads import decode_base64, decode_base64_pieces, read_body, read_picture, read_pictures
from app.web.wrong_endpoint import pointing

MOST_PLAIN = MOST_BYTES * 4 // 3 + 1024  # bytes of JSON around a plain PNG
MARKS, MOST_MARKS = (b'"', b"[", b"{", b","), 1_000  # of JSON that pydantic reads, holding Python's lock

router = APIRouter()


PICTURE_BODY = takes(
    {
        "multipart/form-data": {"schema": {"type": "object", "required": ["file"], "properties": {"file": FILE}}},
        **{f"image/{kind}": IMAGE for kind in ("png", "jpeg", "webp", "avif", "bmp", "gif", "tiff", "heic")},
        "application/octet-stream": IMAGE,
    }
)
_FILES = {"type": "array", "items": FILE, "minItems": 1}
BATCH_BODY = takes(
    {"multipart/form-data": {"schema": {"type": "object", "required": ["files"], "properties": {"files": _FILES}}}}
)
CANVAS_BODY = takes({"application/json": {"schema": CanvasRequest.model_json_schema()}})
_STROKES = takes({"application/json": {"schema": StrokesRequest.model_json_schema()}})


@router.api_route(
    **route("predict"),
    summary="Read the digit in a photo",
    tags=["predict"],
    response_model=Prediction,
    responses=problem_responses(*PICTURE),
    openapi_extra=PICTURE_BODY,
)
async def predict(request: Request) -> Response:
    """Send the picture as multipart field `file`, or as the body itself under any other content type."""
    include_glyph = includes_glyph(request)
    settings = service_of(request).settings
    data = await read_picture(request, settings, "predict")
    with pointing(data, "predict", settings.model_name):
        return await answer_one(request, PictureRequest.of(data, include_glyph))


@router.api_route(
    **route("predictCanvas"),
    summary="Read the digit in a drawing",
    tags=["predict"],
    response_model=Prediction,
    responses=problem_responses(InvalidBase64, *PICTURE),
    openapi_extra=CANVAS_BODY,
)
async def predict_canvas(request: Request) -> Response:
    """Send JSON with the drawing in base64, bare or as the data URL that `canvas.toDataURL()` gives."""
    include_glyph = includes_glyph(request)
    settings = service_of(request).settings
    body = await read_body(request, settings)
    waits = len(body) > MOST_PLAIN  # no plain PNG is in it, or spaces are, and it takes long to look
    with pointing(body, "predictCanvas", settings.model_name):
        return await answer_one(request, PictureRequest(partial(decode_canvas, body), include_glyph, waits))


@router.api_route(
    **route("predictStrokes"),
    summary="Read the digit in pen strokes",
    tags=["predict"],
    response_model=Prediction,
    responses=problem_responses(NoDigitFound, *BODY),
    openapi_extra=_STROKES,
)
async def predict_strokes(request: Request) -> Response:
    """Send JSON with the points of each stroke, y downwards, in any unit; the answer's box is in that unit."""
    include_glyph = includes_glyph(request)
    settings = service_of(request).settings
    body = await read_body(request, settings)
    ink = Ink(body)
    with pointing(body, "predictStrokes", settings.model_name):
        return await answer_one(request, PictureRequest(ink.picture, include_glyph), ink.place)


def _has_many_parts(body: bytes) -> bool:
    """Whether JSON has more parts than a drawing needs."""
    return any(body.count(mark) > MOST_MARKS for mark in MARKS)


def decode_canvas(body: bytes) -> bytes:
    """The picture in a canvas's JSON. pydantic parses small bodies; large ones are searched without building a tree."""
    if len(body) > MOST_PLAIN or _has_many_parts(body):
        image = find_string(body, "image")
        return decode_base64_pieces(image.pieces(), image.end - image.start)
    try:
        return decode_base64(CanvasRequest.model_validate_json(body.removeprefix(BOM)).image)
    except ValidationError as error:
        raise InvalidRequest(describe(error.errors())) from error


@router.api_route(
    **route("predictBatch"),
    summary="Read one digit in each of many pictures",
    tags=["predict"],
    response_model=BatchResult,
    responses=problem_responses(*BODY),
    openapi_extra=BATCH_BODY,
)
async def predict_batch(request: Request) -> Response:
    """Send many multipart fields `files` (or `files[]`); each gets its own answer or problem, in order."""
    include_glyph = includes_glyph(request)
    pictures = await read_pictures(request, service_of(request).settings, "predictBatch")
    outcomes = await read(request, [_to_request(data, include_glyph) for data in pictures])
    answers = (most_prominent_of(request, outcome) for outcome in outcomes)
    result = BatchResult(results=await to_results(request, answers, pictures, "predictBatch"))
    return Response(result.model_dump_json(), media_type="application/json")


def _to_request(data: bytes, include_glyph: bool) -> PictureRequest:
    return PictureRequest.of(data, include_glyph) if data else PictureRequest(refuse_empty)


def refuse_empty() -> bytes:
    """Refuses an empty file of a batch."""
    raise InvalidRequest("This file of the batch is empty: send the picture's bytes.")
