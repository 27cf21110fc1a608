"""Every error of the service, as one tree.

NumeralError
├── StartupError              the process stops: its model or its runtime cannot serve
├── LabelsError               a folder of labelled pictures cannot be evaluated
├── BulkError                 a bulk run cannot begin, or cannot go on
└── RequestError              one request fails: answered by app.web.problems as RFC 9457 problem+json
    ├── InvalidBase64         400 invalid-base64
    ├── InvalidTensor         400 invalid-tensor
    ├── Unauthorized          401 unauthorized
    ├── Forbidden             403 forbidden
    ├── NotFound              404 not-found
    ├── UnreadableFile        404 unreadable-file, never over HTTP
    ├── MethodNotAllowed      405 method-not-allowed
    ├── ModelRejected         409 model-rejected
    ├── SwitchInProgress      409 switch-in-progress
    ├── UploadTooLarge        413 upload-too-large
    ├── ImageTooLarge         413 image-too-large
    ├── UnsupportedImage      415 unsupported-image
    ├── UnsupportedEncoding   415 unsupported-encoding
    ├── UnreadableImage       422 unreadable-image
    ├── DecodingOutOfMemory   422 decoding-out-of-memory
    ├── DecodingTimedOut      422 decoding-timed-out
    ├── DecoderCrashed        422 decoder-crashed
    ├── NoDigitFound          422 no-digit-found
    ├── InvalidRequest        422 invalid-request
    ├── RequestTimeout        408 request-timeout
    ├── RateLimited           429 rate-limited
    ├── InternalError         500 internal-error
    ├── NotReady              503 not-ready
    ├── Overloaded            503 overloaded
    ├── ShuttingDown          503 shutting-down
    └── DeadlineExceeded      504 deadline-exceeded

The message of a RequestError is the problem's ``detail``, written for the person who sent the request. ``to_request_error``
turns any exception into what that person may know, over HTTP, in bulk, in an evaluation and on the command line.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import ClassVar, Self


class NumeralError(Exception):
    """Base of the tree."""


class StartupError(NumeralError):
    """The service cannot start; the message names what is wrong and what to do."""


class LabelsError(NumeralError):
    """labels.csv is missing or wrong; the message, one line, says what and where."""


class BulkError(NumeralError):
    """A bulk run cannot begin, or cannot go on; the message, one line, says why and what to do."""


class RequestError(NumeralError):
    """One request cannot be answered; status and code are the class's, the detail is the instance's."""

    status: ClassVar[HTTPStatus]
    code: ClassVar[str]
    headers: Mapping[str, str] = {}

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    def without_frames(self) -> Self:
        """Drops traceback and cause, so that an object which those frames refer to can keep the error.

        Otherwise they would form a cycle, which keeps the request's bytes until the garbage collector runs.
        """
        self.__cause__ = self.__context__ = None
        return self.with_traceback(None)


class InvalidBase64(RequestError):
    """The canvas string is neither base64 nor a base64 data URL."""

    status, code = HTTPStatus.BAD_REQUEST, "invalid-base64"


class Unauthorized(RequestError):
    """A key is required, and the request does not have a known one."""

    status, code = HTTPStatus.UNAUTHORIZED, "unauthorized"
    headers: Mapping[str, str] = {"WWW-Authenticate": 'Bearer realm="numeral"'}


class Forbidden(RequestError):
    """The key's role or the request's origin does not allow the call."""

    status, code = HTTPStatus.FORBIDDEN, "forbidden"


class InvalidTensor(RequestError):
    """An inference request does not fit the protocol or the model."""

    status, code = HTTPStatus.BAD_REQUEST, "invalid-tensor"


class NotFound(RequestError):
    """Nothing is served at this path, or nothing is known by this name."""

    status, code = HTTPStatus.NOT_FOUND, "not-found"


class UnreadableFile(RequestError):
    """The picture's file is missing or may not be read."""

    status, code = HTTPStatus.NOT_FOUND, "unreadable-file"


class MethodNotAllowed(RequestError):
    """The path is served for another method."""

    status, code = HTTPStatus.METHOD_NOT_ALLOWED, "method-not-allowed"


class ModelRejected(RequestError):
    """A version fails its checks in at least one worker, so none serves it."""

    status, code = HTTPStatus.CONFLICT, "model-rejected"


class SwitchInProgress(RequestError):
    """Another switch of models is in progress."""

    status, code = HTTPStatus.CONFLICT, "switch-in-progress"
    headers: Mapping[str, str] = {"Retry-After": "1"}


class UploadTooLarge(RequestError):
    """The body has more bytes than the limit; the rest is not read."""

    status, code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "upload-too-large"


class ImageTooLarge(RequestError):
    """The picture has more pixels than the limit; checked before decoding."""

    status, code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "image-too-large"


class UnsupportedImage(RequestError):
    """The bytes are not an image in a supported format."""

    status, code = HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-image"


class UnsupportedEncoding(RequestError):
    """The body is compressed as a whole (`Content-Encoding`), which could hide any size."""

    status, code = HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-encoding"
    headers: Mapping[str, str] = {"Accept-Encoding": "identity"}  # RFC 9110, 12.5.3


class UnreadableImage(RequestError):
    """The file has a known format, but is truncated or corrupt."""

    status, code = HTTPStatus.UNPROCESSABLE_ENTITY, "unreadable-image"


class DecodingOutOfMemory(RequestError):
    """Decoding the picture takes more memory than one picture may."""

    status, code = HTTPStatus.UNPROCESSABLE_ENTITY, "decoding-out-of-memory"


class DecodingTimedOut(RequestError):
    """Decoding the picture takes longer than one picture may."""

    status, code = HTTPStatus.UNPROCESSABLE_ENTITY, "decoding-timed-out"


class DecoderCrashed(RequestError):
    """The picture made its decoder crash."""

    status, code = HTTPStatus.UNPROCESSABLE_ENTITY, "decoder-crashed"


class NoDigitFound(RequestError):
    """The picture is blank, or nothing in it looks like a digit; the detail says which."""

    status, code = HTTPStatus.UNPROCESSABLE_ENTITY, "no-digit-found"


class InvalidRequest(RequestError):
    """A field is missing or wrong, or the body or a picture is empty."""

    status, code = HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request"


class InternalError(RequestError):
    """A fault of the service. The exception goes to the log, never to the client."""

    status, code = HTTPStatus.INTERNAL_SERVER_ERROR, "internal-error"


class NotReady(RequestError):
    """The model is not loaded."""

    status, code = HTTPStatus.SERVICE_UNAVAILABLE, "not-ready"
    headers: Mapping[str, str] = {"Retry-After": "1"}


class RequestTimeout(RequestError):
    """The body arrived too slowly, or stood still while another request wanted its place."""

    status, code = HTTPStatus.REQUEST_TIMEOUT, "request-timeout"
    headers: Mapping[str, str] = {"Connection": "close"}


class RateLimited(RequestError):
    """The client sends more requests than it may; `Retry-After` says when to try again."""

    status, code = HTTPStatus.TOO_MANY_REQUESTS, "rate-limited"

    def __init__(self, detail: str, seconds: int) -> None:
        super().__init__(detail)
        self.headers = {"Retry-After": str(seconds)}


class Overloaded(RequestError):
    """Too many requests are waiting, of all clients or of this one."""

    status, code = HTTPStatus.SERVICE_UNAVAILABLE, "overloaded"
    headers: Mapping[str, str] = {"Retry-After": "1"}


class ShuttingDown(RequestError):
    """The process is about to end; requests that have arrived are still answered."""

    status, code = HTTPStatus.SERVICE_UNAVAILABLE, "shutting-down"
    headers: Mapping[str, str] = {"Retry-After": "1"}


class DeadlineExceeded(RequestError):
    """The answer took too long."""

    status, code = HTTPStatus.GATEWAY_TIMEOUT, "deadline-exceeded"


class HungUp(Exception):
    """The client is gone."""


FAULT = "The fault is ours and has been logged."


def to_request_error(error: Exception, *, of_file: bool = False) -> RequestError:
    """What the sender of a picture may know of an error: a RequestError unchanged, a fault of ours as InternalError.

    of_file: whether the picture's file was opened for that person, who may then see the system's message about it.
    """
    match error:
        case RequestError():
            return error
        case OSError() if of_file:
            return UnreadableFile(error.strerror or str(error))
        case _:
            return InternalError(FAULT)


def known_error(error: Exception, what: str, logger: logging.Logger) -> RequestError:
    """What the owner of a picture's file may know of an error, as to_request_error. A fault of ours is logged.

    what: the picture, for the log.
    """
    known = to_request_error(error, of_file=True)
    if isinstance(known, InternalError):
        logger.error("%s could not be read", what, exc_info=error)
    return known
