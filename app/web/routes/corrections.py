"""What people say an answer should have been; only where answers are kept."""

from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from starlette.concurrency import run_in_threadpool

from app.corrections.entry import ID, MOST_TEXT, NO_DIGIT_TEXT, TEXT, Corrected, Reason, Status, is_text, reason_of
from app.errors import Forbidden, InvalidRequest, NotFound, Overloaded, RateLimited, RequestTimeout, UploadTooLarge
from app.reading.answer import to_data_url
from app.web.endpoints import route
from app.web.json_body import BOM
from app.web.openapi import problem_responses
from app.web.problems import describe
from app.web.service import service_of
from app.web.uploads import read_body

if TYPE_CHECKING:  # its packages are an extra
    from app.corrections.keeper import Keeper

router = APIRouter(tags=["corrections"])

LISTED, MOST_LISTED = 100, 1_000  # corrections in an answer

Body = TypeVar("Body", bound=BaseModel)
IdPath = Annotated[str, Path(pattern=f"^{ID}$", description="The `id` of an answer.")]


class CorrectionRequest(BaseModel):
    """What an answer should have been."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"id": "6f1c1f2e9d5c4a6bb1f0c1d2e3f4a5b6", "truth": 7}]}
    )

    id: str = Field(pattern=f"^{ID}$", description="The `id` of the answer.")
    truth: Annotated[int, Field(ge=0, le=9)] | Annotated[str, Field(max_length=MOST_TEXT, pattern=f"^{TEXT}$")] | None = Field(
        description="What the picture shows: a digit; a string of digits and line breaks; null where it shows no digit."
    )

    @field_validator("truth", mode="plain")
    @classmethod
    def _check(cls, truth: object) -> str | None:
        if truth is None or (isinstance(truth, str) and is_text(truth)):
            return truth
        if type(truth) is int and 0 <= truth <= 9:
            return str(truth)
        raise ValueError("give a digit from 0 to 9, a string of digits and line breaks, or null for no digit")

    @property
    def text(self) -> str:
        """The truth as text; NO_DIGIT_TEXT for no digit."""
        return NO_DIGIT_TEXT if self.truth is None else str(self.truth)


class CorrectionTaken(BaseModel):
    """The correction as it stands."""

    id: str
    truth: str | None = Field(description="Digits and line breaks; null for no digit.")


class CorrectedAnswer(BaseModel):
    """An answer with its correction, as administrators see it."""

    id: str
    answer: str
    truth: str | None = Field(description="Digits and line breaks; null for no digit.")
    reason: Reason
    confidence: float
    model: str
    client: str = Field(description="Who sent the correction: a key, or a digest of that day.")
    status: Status
    disputed: bool = Field(description="Whether different clients said different things.")
    glyphs: list[str] = Field(description="The digits as the model saw them: 28×28 PNGs, as data URLs.")


class CorrectedAnswers(BaseModel):
    """Corrections, the most disputed and the most doubtful answers first."""

    corrections: list[CorrectedAnswer]


class ReviewRequest(BaseModel):
    """A review of a correction. truth: what the reviewer saw; one that was changed meanwhile stays new."""

    model_config = ConfigDict(extra="forbid")

    truth: str | None = Field(max_length=MOST_TEXT)
    status: Literal["accepted", "refused"]


FORMS: dict[type[BaseModel], str] = {
    CorrectionRequest: '{"id": "…", "truth": 7}',
    ReviewRequest: '{"truth": "7", "status": "accepted"}',
}  # what each body looks like


class Forgotten(BaseModel):
    """What was deleted."""

    answers: int = Field(description="Answers that were deleted, with their corrections.")


@router.api_route(
    **route("correct"),
    summary="Say what an answer should have been",
    status_code=201,
    response_model=CorrectionTaken,
    responses=problem_responses(NotFound, RequestTimeout, UploadTooLarge, InvalidRequest, RateLimited, Overloaded),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": CorrectionRequest.model_json_schema(mode="validation")}},
        }
    },
)
async def correct(request: Request) -> Response:
    """The last correction of an answer counts; sending one again changes nothing."""
    correction = _parse(CorrectionRequest, await read_body(request, service_of(request).settings))
    sent = await _keeper(request).correct(correction.id, correction.text, _client_of(request))
    if sent.first:
        service_of(request).metrics.count_correction(sent.answered, reason_of(sent.answered, correction.text))
    taken = CorrectionTaken(id=correction.id, truth=correction.text or None)
    return Response(taken.model_dump_json(), status_code=201, media_type="application/json")


@router.api_route(
    **route("forgetAll"),
    summary="Delete all answers of a key",
    responses=problem_responses(Forbidden, RateLimited, Overloaded),
)
async def forget_all(request: Request) -> Forgotten:
    """Deletes all that is kept of the answers that this key got, with their corrections."""
    keeper = _keeper(request)
    if not keeper.keyed:
        raise Forbidden("Without keys, clients cannot be told apart: delete each answer by its id.")
    return Forgotten(answers=await keeper.forget_client(_client_of(request)))


@router.api_route(
    **route("forget"),
    summary="Delete an answer and its correction",
    status_code=204,
    responses=problem_responses(NotFound, InvalidRequest, RateLimited, Overloaded),
)
async def forget(request: Request, identity: IdPath) -> Response:
    """Deletes all that is kept of one answer."""
    await _keeper(request).forget(identity, _client_of(request))
    return Response(status_code=204)


def _parse(kind: type[Body], body: bytes) -> Body:
    """The body as a request of that kind.

    Raises:
        InvalidRequest: it is not.
    """
    try:
        return kind.model_validate_json(body.removeprefix(BOM))
    except ValidationError as error:
        raise InvalidRequest(f"{describe(error.errors())}. Send {FORMS[kind]}.") from error


StatusQuery = Annotated[Status | None, Query(description="Only corrections of this status.")]
MostQuery = Annotated[int, Query(ge=1, le=MOST_LISTED, description="How many at most.")]


@router.api_route(
    **route("getCorrections"),
    summary="Corrections to be reviewed",
    response_model=CorrectedAnswers,
    responses=problem_responses(InvalidRequest, Overloaded),
)
async def get_corrections(request: Request, status: StatusQuery = None, most: MostQuery = LISTED) -> Response:
    """The most disputed first, then those whose answers were the least sure."""
    found = await _keeper(request).corrected(status, most)
    return Response(await run_in_threadpool(_to_json, found), media_type="application/json")


@router.api_route(
    **route("review"),
    summary="Accept or refuse a correction",
    responses=problem_responses(NotFound, RequestTimeout, UploadTooLarge, InvalidRequest, Overloaded),
)
async def review(request: Request, identity: IdPath) -> CorrectionTaken:
    """Accepted corrections can be learned from. One that changes later is to be reviewed anew."""
    asked = _parse(ReviewRequest, await read_body(request, service_of(request).settings))
    if not await _keeper(request).review(identity, asked.truth or NO_DIGIT_TEXT, asked.status):
        raise NotFound("There is no such correction: it was changed or deleted meanwhile.")
    return CorrectionTaken(id=identity, truth=asked.truth)


def _to_json(found: list[Corrected]) -> str:
    return CorrectedAnswers(corrections=[_describe(each) for each in found]).model_dump_json()


def _describe(corrected: Corrected) -> CorrectedAnswer:
    entry, said = corrected.entry, corrected.correction
    return CorrectedAnswer(
        id=entry.id,
        answer=entry.text,
        truth=said.truth or None,
        reason=corrected.reason,
        confidence=entry.confidence,
        model=entry.model,
        client=said.client,
        status=said.status,
        disputed=said.disputed,
        glyphs=[to_data_url(glyph) for glyph in entry.glyphs],
    )


def _client_of(request: Request) -> str:
    """The name of who sent a request."""
    name: str = request.state.client.name
    return name


def _keeper(request: Request) -> "Keeper":
    keeper = service_of(request).keeper
    if keeper is None:
        raise NotFound("No answers are kept here.")
    return keeper
