"""What OpenAPI says beyond the routes: an example of each error, keys, tags and servers. ``docs/openapi.json`` has it all."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from app import errors
from app.errors import RequestError
from app.web.endpoints import Endpoint, Table
from app.web.problems import to_problem
from app.web.schemas import PROBLEM_ID

PROBLEM = {"$ref": "#/components/schemas/Problem"}
PROTOCOL_ERROR = {"$ref": "#/components/schemas/ProtocolError"}
KEYS: list[dict[str, list[str]]] = [{"key": []}, {"bearer": []}]  # security requirements, of which one must be met

TAGS: list[dict[str, Any]] = [
    {"name": "predict", "description": "Pictures, drawings and ink in, digits out."},
    {"name": "read", "description": "Pictures and drawings in, every digit in them out."},
    {"name": "model", "description": "The model that answers."},
    {"name": "models", "description": "The versions in the store, and which of them answer; for administrators."},
    {"name": "health", "description": "For load balancers and orchestrators."},
    {"name": "metrics", "description": "For monitoring."},
    {"name": "open inference protocol", "description": "Tensors in, tensors out, for clients of KServe and Triton."},
]
CORRECTIONS: dict[str, Any] = {"name": "corrections", "description": "What an answer should have been."}  # where they are kept
SERVERS: list[dict[str, Any]] = [
    {"url": "/", "description": "The service that gave this description."},
    {"url": "http://127.0.0.1:8000", "description": "`numeral serve` on this machine, with default settings."},
]

EXAMPLES: Mapping[type[RequestError], str] = {
    errors.InvalidBase64: "The image is not valid base64: it has characters that base64 lacks, or an impossible length.",
    errors.InvalidTensor: "The model takes glyph of UINT8, not 'input' of 'FP32'.",
    errors.Unauthorized: "Send a key that is known here as X-API-Key, or as Authorization: Bearer.",
    errors.Forbidden: "The key app has the role predict; this takes the role admin.",
    errors.NotFound: "Nothing is served at this path; /docs lists what is.",
    errors.MethodNotAllowed: "This path is served for GET, not for this method.",
    errors.RequestTimeout: "The body stood still, or came at less than 8,192 bytes a second.",
    errors.ModelRejected: "There is no earlier version to go back to since the service was started.",
    errors.SwitchInProgress: "Another switch of models is in progress; try again in a moment.",
    errors.UploadTooLarge: "The body is larger than the limit of 20,971,520 bytes.",
    errors.ImageTooLarge: "A picture of 9000 × 7000 has 63,000,000 pixels; the limit for such a file is 50,000,000: reduce it.",
    errors.UnsupportedImage: "The bytes are not a PNG, JPEG, WebP, AVIF, BMP, GIF or TIFF image. Give the file itself, not "
    "its path, its address or a page that shows it.",
    errors.UnsupportedEncoding: "The body's Content-Encoding is `gzip`; send it uncompressed, without that header.",
    errors.UnreadableImage: "The PNG file is truncated or corrupt: send it again, or save the picture anew.",
    errors.DecodingOutOfMemory: "Decoding the picture takes more memory than one picture may; send a smaller one, or a JPEG.",
    errors.DecodingTimedOut: "Decoding the picture takes longer than 4 s; save it again in a simpler form.",
    errors.DecoderCrashed: "The picture made its decoder crash; save it again, or in another format.",
    errors.NoDigitFound: "The picture is blank: all of it has one colour. Write a digit and send the picture again.",
    errors.InvalidRequest: "The form has `image`; send pictures in the field `file`.",
    errors.RateLimited: "One client may send 60 requests per minute; try again later.",
    errors.InternalError: errors.FAULT,
    errors.NotReady: "The model is being loaded.",
    errors.Overloaded: "More requests are waiting than can be answered soon; try again in a moment.",
    errors.ShuttingDown: "The service is about to end; what has arrived is still answered.",
    errors.DeadlineExceeded: "The answer would have taken too long; try again later.",
}  # details of each error that is answered over HTTP

RECEIVING = (errors.RequestTimeout, errors.UploadTooLarge, errors.UnsupportedEncoding, errors.InvalidRequest)
ANSWERING = (errors.InternalError, errors.NotReady, errors.Overloaded, errors.DeadlineExceeded)
BODY = (*RECEIVING, *ANSWERING)  # of whatever takes a body and brings work
DECODING = (
    *(errors.ImageTooLarge, errors.UnsupportedImage, errors.UnreadableImage),
    *(errors.DecodingOutOfMemory, errors.DecodingTimedOut, errors.DecoderCrashed),
)
PICTURE = (*BODY, *DECODING, errors.NoDigitFound)  # of whatever reads one picture


def example_of(error: type[RequestError]) -> dict[str, Any]:
    """The problem that answers an error."""
    said = EXAMPLES[error]
    made = errors.RateLimited(said, 7) if error is errors.RateLimited else error(said)
    return to_problem(made, PROBLEM_ID).model_dump(mode="json")


def problem_responses(*kinds: type[RequestError]) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses of a route's problems: by status, each with an example for every code."""
    statuses = sorted({kind.status for kind in kinds})
    return {int(status): _response([kind for kind in kinds if kind.status == status]) for status in statuses}


def _response(kinds: list[type[RequestError]]) -> dict[str, Any]:
    examples = {kind.code: {"summary": summary_of(kind), "value": example_of(kind)} for kind in kinds}
    told = {
        "description": kinds[0].status.phrase,
        "content": {"application/problem+json": {"schema": PROBLEM, "examples": examples}},
    }
    return told | _headers(kinds)


def _headers(kinds: list[type[RequestError]]) -> dict[str, Any]:
    retried = any("Retry-After" in kind.headers or kind is errors.RateLimited for kind in kinds)
    seconds = {"description": "Seconds after which to try again.", "schema": {"type": "integer"}}
    return {"headers": {"Retry-After": seconds}} if retried else {}


def summary_of(kind: type[RequestError]) -> str:
    """When the error is answered: the first line of its docstring, without the full stop."""
    return (kind.__doc__ or "").partition("\n")[0].rstrip(".")


def describe_service(app: FastAPI, table: Table, *, locked: bool) -> None:
    """Adds to OpenAPI the errors' examples and which calls accept a key. locked: whether they require one."""
    plain = app.openapi

    def whole() -> dict[str, Any]:
        if app.openapi_schema is None:
            _add(plain(), table, [*KEYS] if locked else [{}, *KEYS])
        return plain()

    app.openapi = whole  # type: ignore[method-assign]  # FastAPI's documented way


def _add(schema: dict[str, Any], table: Table, security: list[dict[str, Any]]) -> None:
    components = schema["components"]
    components["securitySchemes"] = {
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "bearer": {"type": "http", "scheme": "bearer"},
    }
    components["examples"] = {kind.code: {"summary": summary_of(kind), "value": example_of(kind)} for kind in EXAMPLES}
    for path, operations in schema["paths"].items():
        row = table.find(path)
        for operation in operations.values() if row.access != "open" else ():
            operation["security"] = security
            operation["responses"] |= _refusals(row)


def _refusals(row: Endpoint) -> dict[str, Any]:
    """The errors of a call that the client may not make, in the form of its row."""
    kinds: list[type[RequestError]] = [
        errors.Unauthorized,
        errors.RateLimited,
        *([errors.Forbidden] if row.access == "admin" else []),
    ]
    if row.errors == "protocol":
        return {str(int(kind.status)): {"description": kind.status.phrase, **protocol_response(kind)} for kind in kinds}
    return {str(status): told for status, told in problem_responses(*kinds).items()}


def protocol_response(*kinds: type[RequestError]) -> dict[str, Any]:
    """The OpenAPI responses of errors in the Open Inference Protocol's form."""
    examples = {kind.code: {"summary": summary_of(kind), "value": {"error": EXAMPLES[kind]}} for kind in kinds}
    return {"content": {"application/json": {"schema": PROTOCOL_ERROR, "examples": examples}}} | _headers([*kinds])
