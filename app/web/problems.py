"""Errors -> problem+json (RFC 9457), in one place; and the request's id, which every problem names."""

import json
import logging
import random
import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from app.errors import (
    HungUp,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    RequestError,
    to_request_error,
)
from app.web.schemas import Problem
from app.web.scope import header_of

logger = logging.getLogger(__name__)

HEADER = "X-Request-ID"
RAW_HEADER = HEADER.lower().encode("ascii")
ACCEPTABLE_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
MOST_NAMED, MOST_NAME = 5, 40  # names of a client's fields that a message repeats, and characters of each
CLIENT_CLOSED_REQUEST = 499  # nginx's status for the log; nobody is left to read it


def identify_request(scope: Scope) -> str:
    """The request's id: from X-Request-ID where that is acceptable, else a new one."""
    given = header_of(scope, RAW_HEADER)
    return given.decode("ascii") if given and ACCEPTABLE_ID.fullmatch(given) else make_id()


def make_id() -> str:
    """32 hexadecimal digits. They are not secret: asking the system for random bytes would release Python's lock and wait."""
    return f"{random.getrandbits(128):032x}"


def request_id(request: Request) -> str:
    """The id that the middleware gave the request."""
    identity: str = request.state.request_id
    return identity


def to_problem(error: RequestError, identity: str) -> Problem:
    """The public form of an error."""
    return Problem(title=error.status.phrase, status=error.status, detail=error.detail, code=error.code, request_id=identity)


def describe(errors: Sequence[Any]) -> str:
    """One sentence for each of pydantic's errors: where, and what; of a field that is missing, which ones came."""
    return "; ".join(
        f"{'.'.join(str(part) for part in error['loc']) or 'body'}: {_say(error['msg'])}{_came(error)}" for error in errors
    )


def _say(message: str) -> str:
    """Pydantic's message, less its words about itself."""
    return message.removeprefix("Value error, ").replace(" after validation", "")


def _came(error: Any) -> str:
    """What came instead, where it is of the right type and short enough to be repeated."""
    there = error.get("input")
    if error["type"] == "missing":
        return tell_names(there) if isinstance(there, dict) else ""
    if error["type"].endswith("_type") or not isinstance(there, int | float | str):
        return ""
    return tell_value(there)


def tell_value(value: float | str | None) -> str:
    """What follows the message that a value is wrong: the value, if it is short enough to be repeated."""
    told = json.dumps(value, ensure_ascii=False)
    return f"; it is {told}" if len(told) <= MOST_NAME and told.isprintable() else ""


def tell_names(names: Iterable[str]) -> str:
    """What follows the message that a field is missing: the names of those that came."""
    return f"; the object has {name_some(names)}" if (names := list(names)) else "; the object is empty"


def name_some(names: Iterable[str]) -> str:
    """Names that a client sent, as a message may repeat them: a few, short, and printable."""
    different = list(dict.fromkeys(names))
    shown = [
        f"`{''.join(filter(str.isprintable, name[:MOST_NAME]))}`" if name else "a part without a name" for name in different
    ]
    return ", ".join(shown[:MOST_NAMED]) + (", …" if len(shown) > MOST_NAMED else "")


def add_handlers(app: FastAPI) -> None:
    """Takes from FastAPI the errors that it would answer itself; all others reach the middleware, which brings them here."""
    for kind in (HTTPException, RequestValidationError):
        app.add_exception_handler(kind, answer)


async def answer(request: Request, error: Exception) -> Response:
    """The response to a request that ended in an error, or that nobody waits for any more."""
    if isinstance(error, ClientDisconnect | HungUp):
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    known = _to_known(error)
    if isinstance(known, InternalError):
        logger.error("request %s failed", request_id(request), exc_info=error)
    known = known.without_frames()
    request.state.problem = known  # for the log and the metrics
    headers = {**known.headers, **(getattr(error, "headers", None) or {})}
    if request.state.endpoint.errors == "protocol":
        return Response(json.dumps({"error": known.detail}), known.status, headers, media_type="application/json")
    body = to_problem(known, request_id(request)).model_dump_json()
    return Response(body, known.status, headers, media_type="application/problem+json")


def _to_known(error: Exception) -> RequestError:
    """What the client may know of an error, FastAPI's own among them."""
    match error:
        case RequestValidationError():
            return InvalidRequest(describe(error.errors()))
        case HTTPException(__cause__=RequestError() as cause):  # FastAPI's, where reading the body raised
            return cause
        case HTTPException(status_code=HTTPStatus.NOT_FOUND):
            return NotFound("Nothing is served at this path; /docs lists what is.")
        case HTTPException(status_code=HTTPStatus.METHOD_NOT_ALLOWED):
            methods = (error.headers or {}).get("Allow", "another method")
            return MethodNotAllowed(f"This path is served for {methods}, not for this method.")
        case HTTPException() if error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
            return InvalidRequest(error.detail)
        case _:
            return to_request_error(error)
