"""The models' routes: which versions there are, and which of them answer. Who may call them is judged in app.access."""

import logging
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from starlette.concurrency import run_in_threadpool

from app.errors import NotReady
from app.problems import problem_responses
from app.schemas import Models
from app.switch import ModelSwitch

logger = logging.getLogger(__name__)

router = APIRouter(tags=["models"])

VersionPath = Annotated[str, Path(pattern=r"^(\d{1,9}|latest)$", description="A version in the store, or `latest`.")]


async def _switch(request: Request) -> ModelSwitch:
    switch: ModelSwitch | None = getattr(request.app.state, "switch", None)
    if switch is None:
        raise NotReady("The model is being loaded.")
    return switch


Switch = Annotated[ModelSwitch, Depends(_switch)]


async def _tell(request: Request, switch: ModelSwitch, done: str) -> Models:
    logger.info("%s, by %s", done, request.state.client.name)
    return await run_in_threadpool(switch.describe)


@router.get("/models", operation_id="getModels", summary="Versions in the store", responses=problem_responses(503))
def get_models(switch: Switch) -> Models:
    """All versions with their figures: which one answers, which one a rollback goes back to, and how the shadow agrees."""
    return switch.describe()


@router.post(
    "/admin/models/{version}/activate",
    operation_id="activateModel",
    summary="Let a version answer",
    responses=problem_responses(403, 404, 409, 422, 503),
)
async def activate_model(request: Request, switch: Switch, version: VersionPath) -> Models:
    """Every worker loads the version beside the active one and proves it; if all can, all swap, and else none does."""
    await switch.activate(version)
    return await _tell(request, switch, f"version {version} activated")


@router.post(
    "/admin/models/rollback",
    operation_id="rollBackModel",
    summary="Let the version before answer again",
    responses=problem_responses(403, 409, 503),
)
async def roll_back_model(request: Request, switch: Switch) -> Models:
    """Goes back to the version that was active before, with the same care."""
    await switch.roll_back()
    return await _tell(request, switch, "rolled back")


@router.post(
    "/admin/models/{version}/shadow",
    operation_id="castShadow",
    summary="Let a version answer unseen",
    responses=problem_responses(403, 404, 409, 422, 503),
)
async def cast_shadow(request: Request, switch: Switch, version: VersionPath) -> Models:
    """From now on the version reads every glyph too; only how often it agrees with the active one is kept."""
    await switch.cast_shadow(version)
    return await _tell(request, switch, f"shadow of version {version} begun")


@router.delete(
    "/admin/models/shadow",
    operation_id="endShadow",
    summary="Let no version answer unseen",
    responses=problem_responses(403, 409, 503),
)
async def end_shadow(request: Request, switch: Switch) -> Models:
    """Ends the comparison."""
    await switch.cast_shadow(None)
    return await _tell(request, switch, "shadow ended")
