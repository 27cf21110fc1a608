"""What the routes share: reading pictures through the queue, and common parts of OpenAPI."""

import logging
from asyncio import sleep
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request, Response

from app.corrections.entry import Answered
from app.errors import InvalidRequest, RequestError, UnsupportedImage, to_request_error
from app.reading.answer import ModelName, Prediction, Reading
from app.reading.reader import Reader
from app.reading.requests import PictureOutcome, PictureRequest, all_digits, most_prominent
from app.telemetry.tracing import record_stages
from app.web.problems import request_id, tell_value, to_problem
from app.web.schemas import Problem
from app.web.service import service_of
from app.web.wrong_endpoint import point

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer", Prediction, Reading)

FILE = {"type": "string", "format": "binary"}
IMAGE = {"schema": FILE}
INCLUDE = {
    "name": "include",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "enum": ["glyph"]},
    "description": "`glyph` adds the 28×28 picture that the model saw, as a data URL.",
}


async def reader_of(request: Request) -> Reader:
    """What reads now.

    Raises:
        NotReady: the model is not loaded yet.
    """
    return service_of(request).reader


Model = Annotated[Reader, Depends(reader_of)]


async def read(request: Request, pictures: list[PictureRequest]) -> list[PictureOutcome]:
    """Has pictures read by the workers, as long as the client waits for them."""
    service = service_of(request)
    if service.keeper and service.keeper.wants_pictures:
        pictures = [replace(picture, keep=service.keeper.encode) for picture in pictures]
    outcomes = await service.batcher.read(pictures, partial(hang_up, request), request.state.client.name)
    record_stages(outcomes)
    if model := next(filter(None, map(_model_of, outcomes)), None):
        request.state.model = f"{model.name}/{model.version}"  # for the log
    return outcomes


def most_prominent_of(request: Request, outcome: PictureOutcome) -> Prediction | Exception:
    """The answer of the most prominent digit; where answers are kept, it has the id under which it is."""
    prediction = most_prominent(outcome.result)
    if isinstance(prediction, Prediction):
        _keep(request, outcome, prediction)
    return prediction


def all_digits_of(request: Request, outcome: PictureOutcome) -> Reading | Exception:
    """The reading of all digits; where answers are kept, it has the id under which it is."""
    reading = all_digits(outcome.result)
    if isinstance(reading, Reading):
        _keep(request, outcome, reading)
    return reading


def _keep(request: Request, outcome: PictureOutcome, answer: Prediction | Reading) -> None:
    """Has an answer kept behind its sending, where answers are."""
    keeper = service_of(request).keeper
    if keeper is not None:
        answer.id = keeper.keep(Answered(answer, outcome.glyphs, outcome.kept), request.state.client.name)


def _model_of(outcome: PictureOutcome) -> ModelName | None:
    result = outcome.result
    if isinstance(result, Exception):
        return None
    return result.model if isinstance(result, Reading) else result[0].model


async def to_results(
    request: Request, answers: Iterable[Answer | Exception], pictures: Sequence[bytes], endpoint: str
) -> list[Answer | Problem]:
    """The answer to each picture of a batch, or its problem, in order; endpoint: by name, for what belongs to another one."""
    results: list[Answer | Problem] = []
    for answer, data in zip(answers, pictures, strict=True):
        if isinstance(answer, Exception):
            await sleep(0)  # others have a turn, as it takes up to a millisecond to tell what the bytes are
            results.append(_to_problem(request, _pointed(request, answer, data, endpoint)))
        else:
            results.append(answer)
    return results


def _pointed(request: Request, error: Exception, data: bytes, endpoint: str) -> Exception:
    model = service_of(request).settings.model_name
    return point(error, data, endpoint, model) if isinstance(error, UnsupportedImage) else error


def _to_problem(request: Request, result: Exception) -> Problem:
    identity = request_id(request)
    if not isinstance(result, RequestError):  # a fault of ours in one picture harms no other
        logger.error("request %s: one picture of a batch failed", identity, exc_info=result)
    error = to_request_error(result)
    service_of(request).metrics.count_refusal(error.code)
    return to_problem(error, identity)


async def hang_up(request: Request) -> None:
    """Returns when the client is gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def timing(seconds: Mapping[str, float]) -> dict[str, str]:
    """The header that says where the time went."""
    return {"Server-Timing": ", ".join(f"{stage};dur={1000 * spent:.2f}" for stage, spent in seconds.items())}


def unchanged(prediction: Prediction) -> Prediction:
    """The prediction as it is: the default of what is done with one."""
    return prediction


async def answer_one(
    request: Request, picture: PictureRequest, place: Callable[[Prediction], Prediction] = unchanged
) -> Response:
    """The answer of the most prominent digit in a picture; place: puts it where the client knows it from."""
    (outcome,) = await read(request, [picture])
    prediction = most_prominent_of(request, outcome)
    if isinstance(prediction, Exception):
        raise prediction
    return Response(place(prediction).model_dump_json(), media_type="application/json", headers=timing(outcome.seconds))


def includes_glyph(request: Request) -> bool:
    """Whether the query asks for the glyph.

    Raises:
        InvalidRequest: it asks for something else.
    """
    if not request.scope["query_string"]:
        return False
    include = request.query_params.get("include")
    if include not in (None, "glyph"):
        raise InvalidRequest(f"query.include: Input should be 'glyph'{tell_value(include)}")
    return include is not None


def takes(content: dict[str, Any]) -> dict[str, Any]:
    """What OpenAPI says of a route that takes these contents."""
    return {"parameters": [INCLUDE], "requestBody": {"required": True, "content": content}}
