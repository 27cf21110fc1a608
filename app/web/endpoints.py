"""What the service has at which paths: who may ask, what brings work, and how long a body may be."""

from starlette.types import Scope

from app.settings import Settings
from app.web.scope import header_of, path_of

OPEN = {"/", "/docs", "/openapi.json"}
OPEN_BELOW = ("/health/", "/v2/health/", "/page/", "/static-offline-docs/")
ADMIN_BELOW = "/admin/"
PROBES = ("/health/", "/metrics")  # asked every few seconds, and never worth a trace
BATCH_PATH = "/predict/batch"
PATHS = {path.encode("ascii"): path for path in ("/predict", "/predict/canvas", BATCH_PATH)}  # that pictures are posted to


def brings_work(path: str) -> bool:
    """Whether pictures are sent to this path, or tensors."""
    return path.startswith("/predict") or (in_protocol(path) and path.endswith("/infer"))


def is_open(path: str) -> bool:
    """Whether anybody may ask for this path."""
    return path in OPEN or path.startswith(OPEN_BELOW)


def is_probe(scope: Scope) -> bool:
    """Whether the request is a probe's."""
    return path_of(scope).startswith(PROBES)


def in_protocol(path: str) -> bool:
    """Whether the path is the Open Inference Protocol's, whose errors have a form of their own."""
    return path == "/v2" or path.startswith("/v2/")


def body_length(scope: Scope, settings: Settings) -> int:
    """How many bytes of the body will be read at most: as declared, or, where that is missing, as its path allows."""
    declared = declared_length(scope)
    if declared is not None:
        return min(declared, settings.max_batch_bytes)
    return settings.max_batch_bytes if path_of(scope) == BATCH_PATH else settings.max_upload_bytes


def declared_length(scope: Scope) -> int | None:
    """The body's length by its header, if there is one."""
    declared = header_of(scope, b"content-length")
    return int(declared) if declared and declared.isdigit() else None
