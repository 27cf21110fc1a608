"""What both clients share: the calls, what their answers mean, and how long to wait before another try."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from numeral_client.pictures import to_bytes
from numeral_client.types import Problem

Picture = Any  # what numeral_client.pictures.to_bytes takes
Strokes = Sequence[Sequence[Sequence[float]]]

BYTES = {"Content-Type": "application/octet-stream"}  # the service looks at the content, not at its name
AGAIN = (429, 503)  # answers after which the same request may succeed
FIRST_WAIT = 0.5  # seconds, where the answer does not say how long; doubled each time


class ProblemError(Exception):
    """The service gave no answer. problem: as it told; code: a stable name; detail: a sentence for people."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem['code']}: {problem['detail']}")
        self.problem = problem
        self.code, self.detail, self.status = problem["code"], problem["detail"], problem["status"]
        self.request_id = problem["request_id"]


@dataclass(frozen=True)
class Call:
    """A request that can be sent as often as it takes. options: of httpx's request."""

    path: str
    options: Mapping[str, Any] = field(default_factory=dict)
    method: str = "POST"

    @property
    def parts(self) -> tuple[str, str]:
        """Method and path."""
        return self.method, self.path


def predict(picture: Picture, *, include_glyph: bool) -> Call:
    """The picture is the body."""
    return Call("/predict", {"content": to_bytes(picture), "headers": BYTES, "params": _include(include_glyph)})


def predict_batch(pictures: Iterable[Picture], *, include_glyph: bool) -> Call:
    """A form with a file for each picture."""
    files = [("files", (str(place), to_bytes(picture))) for place, picture in enumerate(pictures)]
    return Call("/predict/batch", {"files": files, "params": _include(include_glyph)})


def predict_strokes(strokes: Strokes, width: float | None, *, include_glyph: bool) -> Call:
    """Points in JSON."""
    body: dict[str, Any] = {"strokes": [[[float(x), float(y)] for x, y in stroke] for stroke in strokes]}
    if width is not None:
        body["width"] = width
    return Call("/predict/strokes", {"json": body, "params": _include(include_glyph)})


def read(picture: Picture, count: int | None, *, include_glyph: bool) -> Call:
    """The picture is the body."""
    counted = {} if count is None else {"count": str(count)}
    return Call("/read", {"content": to_bytes(picture), "headers": BYTES, "params": _include(include_glyph) | counted})


def read_batch(pictures: Iterable[Picture], *, include_glyph: bool) -> Call:
    """A form with a file for each picture."""
    return replace(predict_batch(pictures, include_glyph=include_glyph), path="/read/batch")


MODEL, READY = Call("/model", method="GET"), Call("/health/ready", method="GET")


def _include(glyph: bool) -> dict[str, str]:
    return {"include": "glyph"} if glyph else {}


def answer(response: httpx.Response) -> Any:
    """The JSON of an answer.

    Raises:
        ProblemError: it is not one, whatever its status: a login page may come with 200.
    """
    try:
        told = response.json()
    except ValueError:
        told = None
    if response.is_success and isinstance(told, dict):
        return told
    try:
        error = ProblemError(told)
    except (KeyError, TypeError):  # not the service's, but a proxy's
        identity, detail = response.headers.get("X-Request-ID", ""), response.text[:200]
        title, status = response.reason_phrase, response.status_code
        error = ProblemError(
            {"title": title, "status": status, "detail": detail or title, "code": f"http-{status}", "request_id": identity}
        )
    raise error


def seconds_to_wait(response: httpx.Response, tries: int, most: float) -> float | None:
    """How long to wait before the next try; None where there should be none. tries: so far; most: seconds."""
    if response.status_code not in AGAIN:
        return None
    told = _retry_after(response.headers.get("Retry-After", ""))
    seconds = FIRST_WAIT * 2 ** (tries - 1) * random.uniform(1, 1.5) if told is None else told  # noqa: S311  no secret
    return seconds if seconds <= most else None


def _retry_after(value: str) -> float | None:
    """Seconds, of seconds or of a date."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
