"""What people say an answer should have been; only where answers are kept."""

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from app.corrections.entry import ID, MOST_TEXT, NOTHING, TEXT, is_text, reason_of
from app.errors import Forbidden, InvalidRequest, NotFound
from app.web.access.policy import by_address
from app.web.endpoints import route
from app.web.problems import describe, problem_responses
from app.web.service import service_of
from app.web.uploads import read_body

if TYPE_CHECKING:  # its packages are an extra
    from app.corrections.keeper import Keeper

router = APIRouter(tags=["corrections"])

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
        """The truth as text; NOTHING for no digit."""
        return NOTHING if self.truth is None else str(self.truth)


class CorrectionTaken(BaseModel):
    """The correction as it stands."""

    id: str
    truth: str | None = Field(description="Digits and line breaks; null for no digit.")


class Forgotten(BaseModel):
    """What was deleted."""

    answers: int = Field(description="Answers that were deleted, with their corrections.")


@router.api_route(
    **route("correct"),
    summary="Say what an answer should have been",
    status_code=201,
    response_model=CorrectionTaken,
    responses=problem_responses(404, 408, 413, 422, 429, 503),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": CorrectionRequest.model_json_schema(mode="validation")}},
        }
    },
)
async def correct(request: Request) -> Response:
    """The last correction of an answer counts; sending one again changes nothing."""
    client = await _admit(request)
    correction = _parse(await read_body(request, service_of(request).settings))
    sent = await _keeper(request).correct(correction.id, correction.text, client)
    if sent.first:
        service_of(request).metrics.count_correction(sent.answered, reason_of(sent.answered, correction.text))
    taken = CorrectionTaken(id=correction.id, truth=correction.text or None)
    return Response(taken.model_dump_json(), status_code=201, media_type="application/json")


@router.api_route(
    **route("forgetAll"),
    summary="Delete all answers of a key",
    responses=problem_responses(403, 429, 503),
)
async def forget_all(request: Request) -> Forgotten:
    """Deletes all that is kept of the answers that this key got, with their corrections."""
    client, keeper = await _admit(request), _keeper(request)
    if not keeper.keyed:
        raise Forbidden("Without keys, clients cannot be told apart: delete each answer by its id.")
    return Forgotten(answers=await keeper.forget_client(client))


@router.api_route(
    **route("forget"),
    summary="Delete an answer and its correction",
    status_code=204,
    responses=problem_responses(404, 429, 503),
)
async def forget(request: Request, identity: IdPath) -> Response:
    """Deletes all that is kept of one answer."""
    client = await _admit(request)
    await _keeper(request).forget(identity, client)
    return Response(status_code=204)


def _parse(body: bytes) -> CorrectionRequest:
    try:
        return CorrectionRequest.model_validate_json(body)
    except ValidationError as error:
        raise InvalidRequest(describe(error.errors())) from error


async def _admit(request: Request) -> str:
    """The client's name, if it may send one more.

    Raises:
        RateLimited: it may not.
    """
    service, state = service_of(request), request.scope["state"]
    client = state.get("client") or by_address(request)
    if service.correction_limiter:
        await service.correction_limiter.admit(client.name)
    return str(client.name)


def _keeper(request: Request) -> "Keeper":
    keeper = service_of(request).keeper
    if keeper is None:
        raise NotFound("No answers are kept here.")
    return keeper
