"""Whether the service lives and can answer, and what it counts."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from app.errors import NotReady, ShuttingDown
from app.runtime.watchdog import Watchdog
from app.telemetry.metrics import Metrics
from app.web.problems import problem_responses
from app.web.routes.answering import reader_of
from app.web.schemas import Health

direct = APIRouter()  # endpoints that take the request alone: the middleware calls them
router = APIRouter()


@direct.get("/health/live", operation_id="getLive", summary="Is the process alive", tags=["health"], response_model=Health)
async def get_live(_: Request) -> Response:
    """Answers as long as the process does; restart it when this fails."""
    return _tell(Health(status="live", provider=None))


@direct.get(
    "/health/ready",
    operation_id="getReady",
    summary="Can it answer",
    tags=["health"],
    response_model=Health,
    responses=problem_responses(503),
)
async def get_ready(request: Request) -> Response:
    """200 once the model has proved itself on its golden vectors; 503 with the reason before that, and when it is to end.

    503 also while no worker thread or no process that decodes pictures lives.
    """
    reader = await reader_of(request)
    check_draining(request)
    check_alive(request)
    return _tell(Health(status="ready", provider=reader.classifier.provider))


def check_draining(request: Request) -> None:
    """Refuses what should be asked of another server.

    Raises:
        ShuttingDown: this one is to end.
    """
    if request.app.state.draining:
        raise ShuttingDown("The service is about to end; what it has accepted is still answered.")


def check_alive(request: Request) -> None:
    """Refuses what cannot be answered.

    Raises:
        NotReady: something that reading needs has died, and is not replaced yet.
    """
    watchdog: Watchdog = request.app.state.watchdog
    if missing := watchdog.missing():
        raise NotReady(f"None of the {missing} lives; others are being started.")


def _tell(health: Health) -> Response:
    return Response(health.model_dump_json(), media_type="application/json")


@router.get("/metrics", operation_id="getMetrics", summary="For Prometheus", tags=["metrics"], response_class=PlainTextResponse)
def get_metrics(request: Request) -> Response:
    """What was counted and measured, by all workers together; docs/operations.md lists it."""
    metrics: Metrics = request.app.state.metrics
    body, content_type = metrics.expose(request.headers.get("accept", ""))
    return Response(body, media_type=content_type)
