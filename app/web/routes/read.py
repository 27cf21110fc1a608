"""Routes that read every digit of a picture, in lines."""

from asyncio import sleep
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from app.errors import InvalidBase64, InvalidRequest
from app.reading.answer import Reading
from app.reading.numbers.read import NumberOptions
from app.reading.requests import PictureRequest
from app.settings import Settings
from app.web.endpoints import route
from app.web.openapi import BODY, PICTURE, problem_responses
from app.web.problems import tell_value
from app.web.routes.answering import all_digits_of, includes_glyph, read, timing, to_results
from app.web.routes.predict import BATCH_BODY, CANVAS_BODY, MOST_PLAIN, PICTURE_BODY, decode_canvas, refuse_empty
from app.web.schemas import Problem, ReadingBatchResult
from app.web.service import service_of
from app.web.uploads import read_body, read_picture, read_pictures
from app.web.wrong_endpoint import pointing

MOST_CHARACTERS = 4  # of a count, which is at most 1000

router = APIRouter()

_COUNT = {
    "name": "count",
    "in": "query",
    "required": False,
    "schema": {"type": "integer", "minimum": 1},
    "description": "How many digits there are, if you know: only texts of so many are considered. At most as many as the "
    "service reads, 200 by default.",
}


def _with_count(takes: dict[str, Any]) -> dict[str, Any]:
    return {**takes, "parameters": [*takes["parameters"], _COUNT]}


@router.api_route(
    **route("read"),
    summary="Read every digit in a photo",
    tags=["read"],
    response_model=Reading,
    responses=problem_responses(*PICTURE),
    openapi_extra=_with_count(PICTURE_BODY),
)
async def read_photo(request: Request) -> Response:
    """Send the picture as for `/predict`. The answer has all digits in lines, what they may be instead, and the marks."""
    settings = service_of(request).settings
    options = _options(request, settings)
    data = await read_picture(request, settings, "read")
    with pointing(data, "read", settings.model_name):
        return await _answer(request, PictureRequest.of(data, options.include_glyph, options))


@router.api_route(
    **route("readCanvas"),
    summary="Read every digit in a drawing",
    tags=["read"],
    response_model=Reading,
    responses=problem_responses(InvalidBase64, *PICTURE),
    openapi_extra=_with_count(CANVAS_BODY),
)
async def read_canvas(request: Request) -> Response:
    """Send JSON with the drawing as for `/predict/canvas`."""
    settings = service_of(request).settings
    options = replace(_options(request, settings), upright=True)
    body = await read_body(request, settings)
    waits = len(body) > MOST_PLAIN
    picture = PictureRequest(partial(decode_canvas, body), options.include_glyph, waits, number=options)
    with pointing(body, "readCanvas", settings.model_name):
        return await _answer(request, picture)


@router.api_route(
    **route("readBatch"),
    summary="Read every digit in each of many pictures",
    tags=["read"],
    response_model=ReadingBatchResult,
    responses=problem_responses(*BODY),
    openapi_extra=_with_count(BATCH_BODY),
)
async def read_batch(request: Request) -> Response:
    """Send many multipart fields `files` (or `files[]`); each gets its own reading or problem, in order."""
    service = service_of(request)
    options = _options(request, service.settings)
    pictures = await read_pictures(request, service.settings, "readBatch")
    outcomes = await read(request, [_to_request(data, options) for data in pictures])
    answers = (all_digits_of(request, outcome) for outcome in outcomes)
    results = await to_results(request, answers, pictures, "readBatch")
    return Response(await _to_json(results), media_type="application/json")


async def _answer(request: Request, picture: PictureRequest) -> Response:
    (outcome,) = await read(request, [picture])
    reading = all_digits_of(request, outcome)
    if isinstance(reading, Exception):
        raise reading
    return Response(reading.model_dump_json(), media_type="application/json", headers=timing(outcome.seconds))


async def _to_json(results: Sequence[Reading | Problem]) -> str:
    """A ReadingBatchResult as JSON: up to some megabytes, so that others have a turn after each result."""
    parts = []
    for result in results:
        parts.append(result.model_dump_json())
        await sleep(0)
    return f'{{"results":[{",".join(parts)}]}}'


def _to_request(data: bytes, options: NumberOptions) -> PictureRequest:
    return PictureRequest.of(data, options.include_glyph, options) if data else PictureRequest(refuse_empty, number=options)


def _options(request: Request, settings: Settings) -> NumberOptions:
    """The options in the query.

    Raises:
        InvalidRequest: an option has a value that is not allowed.
    """
    include_glyph = includes_glyph(request)
    count = request.query_params.get("count") if request.scope["query_string"] else None
    if count is None:
        return NumberOptions(None, settings.max_digits, include_glyph)
    is_number = count.isascii() and count.isdecimal() and len(count) <= MOST_CHARACTERS
    if not (is_number and 1 <= int(count) <= settings.max_digits):
        wanted = f"a whole number from 1 to {settings.max_digits}"
        raise InvalidRequest(f"query.count: Input should be {wanted}{tell_value(count)}")
    return NumberOptions(int(count), settings.max_digits, include_glyph)
