"""The models' routes: which versions there are, and which of them answer."""

import base64
import logging
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from app.errors import InvalidRequest, ModelRejected, NotFound, NotReady, SwitchInProgress
from app.reading.infer.record import Edition
from app.reading.infer.store import SERVED
from app.runtime.catalogue import Models
from app.runtime.model_switch import ModelSwitch
from app.web.endpoints import route
from app.web.headers import is_known
from app.web.openapi import problem_responses
from app.web.routes.answering import FILE, Model
from app.web.schemas import ModelInfo
from app.web.service import service_of

logger = logging.getLogger(__name__)

served = APIRouter()  # the model that answers
router = APIRouter(tags=["models"])

VersionPath = Annotated[
    str,
    Path(
        pattern=rf"^([0-9]{{1,9}}|{SERVED})$",
        description="A version in the store, or `served`, the one that the store's pointer names now.",
    ),
]


async def _switch(request: Request) -> ModelSwitch:
    return service_of(request).switch


Switch = Annotated[ModelSwitch, Depends(_switch)]


async def _tell(request: Request, switch: ModelSwitch, done: str) -> Models:
    logger.info("%s, by %s", done, request.state.client.name)
    return await run_in_threadpool(switch.describe)


@router.api_route(**route("getModels"), summary="Versions in the store", responses=problem_responses(NotReady))
def get_models(switch: Switch) -> Models:
    """All versions with their figures: which one answers, which one a rollback goes back to, and how the shadow agrees."""
    return switch.describe()


@router.api_route(
    **route("activateModel"),
    summary="Activate a version",
    responses=problem_responses(NotFound, ModelRejected, SwitchInProgress, InvalidRequest, NotReady),
)
async def activate_model(request: Request, switch: Switch, version: VersionPath) -> Models:
    """Every worker loads the version next to the active one and proves it. If all can, all swap; otherwise none does."""
    await switch.activate(version)
    return await _tell(request, switch, f"version {version} activated")


@router.api_route(
    **route("rollBackModel"),
    summary="Roll back to the version before",
    responses=problem_responses(ModelRejected, SwitchInProgress, NotReady),
)
async def roll_back_model(request: Request, switch: Switch) -> Models:
    """Activates the version that was active before, with the same checks."""
    await switch.roll_back()
    return await _tell(request, switch, "rolled back")


@router.api_route(
    **route("castShadow"),
    summary="Begin a shadow",
    responses=problem_responses(NotFound, ModelRejected, SwitchInProgress, InvalidRequest, NotReady),
)
async def cast_shadow(request: Request, switch: Switch, version: VersionPath) -> Models:
    """The version reads every picture too, unseen. Only how often it agrees with the active one is kept."""
    await switch.cast_shadow(version)
    return await _tell(request, switch, f"shadow of version {version} begun")


@router.api_route(
    **route("endShadow"),
    summary="End the shadow",
    responses=problem_responses(ModelRejected, SwitchInProgress, NotReady),
)
async def end_shadow(request: Request, switch: Switch) -> Models:
    """Ends the comparison."""
    await switch.cast_shadow(None)
    return await _tell(request, switch, "shadow ended")


EditionQuery = Annotated[
    Edition,
    Query(
        description="`float32`: the model as it is served, normalised tensors to logits. `uint8`: with preprocessing and "
        "calibration in the graph, glyphs to probabilities and energy. `finder`: pictures to ink, digits, marks and boxes. "
        "`reader`: the whole way, a picture to the boxes and probabilities of its digits."
    ),
]


_ONNX_FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file", "content": {"application/octet-stream": {"schema": FILE}}},
    304: {"description": "It is the file that If-None-Match names"},
}


@served.api_route(
    **route("getModel"), summary="The model that is served", tags=["model"], responses=problem_responses(NotReady)
)
async def get_model(reader: Model, switch: Switch) -> ModelInfo:
    """Name, version, checksums, metadata and measured accuracy of the model, who chose it, and the provider it runs on."""
    model = reader.model
    record = model.record
    return ModelInfo(
        name=record.name,
        version=record.version,
        chosen_by=switch.chosen_by,
        sha256=record.editions["float32"],
        editions=record.editions,
        provider=model.provider,
        accuracy=record.accuracy,
        metadata=model.metadata,
    )


@served.api_route(
    **route("getModelFile"),
    summary="The model as an ONNX file",
    tags=["model"],
    response_class=Response,
    responses={**_ONNX_FILE, **problem_responses(NotFound, InvalidRequest, NotReady)},
)
async def get_model_file(request: Request, reader: Model, edition: EditionQuery = "float32") -> Response:
    """The ONNX file, with its sha256 in `ETag` (hexadecimal) and in `Repr-Digest` (base64, RFC 9530)."""
    record = reader.model.record
    file = reader.classifier.editions.get(edition)
    if file is None:
        raise NotFound(f"Model {record.name}/{record.version} was published without the edition {edition}.")
    digest = record.editions[edition]
    headers = {
        "ETag": f'"{digest}"',
        "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(digest)).decode()}:",
        "Cache-Control": "no-cache",  # may be kept, but asked about: another version may be served by now
    }
    if is_known(request, digest):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    name = f"{record.name}-{record.version}.{edition}.onnx"
    headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return Response(file, headers=headers, media_type="application/octet-stream")
