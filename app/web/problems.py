"""Errors -> problem+json (RFC 9457), by one handler; and the request's id, which every problem names."""

import json
import logging
import random
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import HungUp, InternalError, InvalidRequest, MethodNotAllowed, NotFound, RequestError
from app.telemetry.tracing import identify
from app.web.endpoints import in_protocol
from app.web.schemas import Problem
from app.web.scope import header_of, path_of

logger = logging.getLogger(__name__)

HEADER = "X-Request-ID"
RAW_HEADER = HEADER.lower().encode("ascii")
ACCEPTABLE_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
CLIENT_CLOSED_REQUEST = 499  # nginx's status for the log; nobody is left to read it


class RequestIdMiddleware:
    """Takes the request's id from X-Request-ID, or makes one, and sends it back in the same header.

    Answers what no handler caught, too: here, inside CORS, so that a web page can read the problem.
    """

    def __init__(self, app: ASGIApp, *, traced: bool) -> None:
        self.app = app
        self._traced = traced

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes an ASGI call on, with the id in scope["state"]."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = header_of(scope, RAW_HEADER)
        identity = given.decode("ascii") if given and ACCEPTABLE_ID.fullmatch(given) else make_id()
        scope.setdefault("state", {})["request_id"] = identity
        if self._traced:
            identify(identity)
        header = (RAW_HEADER, identity.encode("ascii"))
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception as error:
            if started:
                raise
            logger.exception("request %s failed", identity)
            response = await answer(Request(scope), error)
            await response(scope, receive, send_with_id)


def make_id() -> str:
    """32 hexadecimal digits, no secret: asking the system for random bytes would let go of Python's lock, and wait for it."""
    return f"{random.getrandbits(128):032x}"


def request_id(request: Request) -> str:
    """The id that RequestIdMiddleware gave the request."""
    identity: str = request.state.request_id
    return identity


def to_problem(error: RequestError, identity: str) -> Problem:
    """The public form of an error."""
    return Problem(title=error.status.phrase, status=error.status, detail=error.detail, code=error.code, request_id=identity)


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of a route's problems."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def describe(errors: Sequence[Any]) -> str:
    """One sentence for each of pydantic's errors: where, and what."""
    return "; ".join(f"{'.'.join(str(part) for part in error['loc']) or 'body'}: {error['msg']}" for error in errors)


def add_handlers(app: FastAPI) -> None:
    """Lets the one handler answer the errors that a request can end in; RequestIdMiddleware brings it the rest."""
    for kind in ANSWERED:
        app.add_exception_handler(kind, answer)


ANSWERED = (RequestError, HTTPException, RequestValidationError, ClientDisconnect, HungUp)


async def answer(request: Request, error: Exception) -> Response:
    """The response to a request that ended in an error, or that nobody waits for any more."""
    if isinstance(error, ClientDisconnect | HungUp):
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    known = to_request_error(error).without_frames()
    request.state.problem = known  # for the log and the metrics
    headers = {**known.headers, **(getattr(error, "headers", None) or {})}
    if in_protocol(path_of(request.scope)):
        return Response(json.dumps({"error": known.detail}), known.status, headers, media_type="application/json")
    body = to_problem(known, request_id(request)).model_dump_json()
    return Response(body, known.status, headers, media_type="application/problem+json")


def to_request_error(error: Exception) -> RequestError:
    """What the sender may know of an error: a RequestError as it is, a fault of ours as InternalError."""
    match error:
        case RequestError():
            return error
        case RequestValidationError():
            return InvalidRequest(describe(error.errors()))
        case HTTPException(status_code=HTTPStatus.NOT_FOUND):
            return NotFound("Nothing is served at this path; /docs lists what is.")
        case HTTPException(status_code=HTTPStatus.METHOD_NOT_ALLOWED):
            return MethodNotAllowed("This path is served for another method; the header Allow names it.")
        case HTTPException() if error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
            return InvalidRequest(error.detail)
        case _:
            return InternalError("The fault is ours and has been logged under this request id.")
