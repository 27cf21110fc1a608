"""Health checks and metrics."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from app.errors import NotReady, ShuttingDown
from app.web.endpoints import route
from app.web.openapi import problem_responses
from app.web.schemas import Health
from app.web.service import service_of

probes = APIRouter()
router = APIRouter()


@probes.api_route(**route("getLive"), summary="Whether the process is alive", tags=["health"], response_model=Health)
async def get_live(_: Request) -> Response:
    """Answers as long as the process lives. Restart the process when this fails."""
    return _tell(Health(status="live", provider=None))


@probes.api_route(
    **route("getReady"),
    summary="Whether the service is ready",
    tags=["health"],
    response_model=Health,
    responses=problem_responses(NotReady, ShuttingDown),
)
async def get_ready(request: Request) -> Response:
    """200 once the model has proved itself on its golden glyphs and pictures; otherwise 503 with the reason.

    503 before that, while the service drains, and once no worker thread or no decoder process has lived for two seconds.
    """
    reader = service_of(request).reader
    check_draining(request)
    check_alive(request)
    return _tell(Health(status="ready", provider=reader.model.provider))


def check_draining(request: Request) -> None:
    """Refuses a request that should go to another server.

    Raises:
        ShuttingDown: this server is about to end.
    """
    if service_of(request).draining:
        raise ShuttingDown("The service is about to end; what it has accepted is still answered.")


def check_alive(request: Request) -> None:
    """Refuses a request that cannot be answered.

    Raises:
        NotReady: a part that reading needs has died and is not replaced yet.
    """
    if missing := service_of(request).watchdog.missing():
        raise NotReady(f"No {missing} are running; replacements are being started.")


def _tell(health: Health) -> Response:
    return Response(health.model_dump_json(), media_type="application/json")


@router.api_route(**route("getMetrics"), summary="Metrics for Prometheus", tags=["metrics"], response_class=PlainTextResponse)
def get_metrics(request: Request) -> Response:
    """What all workers together counted and measured; docs/operations.md lists the series."""
    body, content_type = service_of(request).metrics.expose(request.headers.get("accept", ""))
    return Response(body, media_type=content_type)
