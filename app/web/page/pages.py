"""The page at /, the documentation at /docs, and the files of both: no build step, and nothing from another host."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from string import Template

from fastapi import FastAPI, Request, Response
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from app.settings import Keep
from app.web.endpoints import operation_path
from app.web.headers import is_known
from app.web.page import onnxruntime_web

STATIC = Path(__file__).parent / "static"
FOR_GOOD = "public, max-age=31536000, immutable"  # a year, the longest that caches care about
ASK_FIRST = "no-cache"  # kept, but asked for by ETag each time


def digest() -> str:
    """Of the page's files, without the runtime: it stands in their address, so that a new release has new addresses."""
    files = sorted(path for path in STATIC.rglob("*") if path.is_file() and onnxruntime_web.FOLDER not in path.parents)
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


class Assets(StaticFiles):
    """The page's files under /page/<tag>/, kept for good under a tag that is today's, whichever release they come from.

    A file that lies there gzipped only, as the runtime does, is sent as it lies.
    """

    def __init__(self, tags: set[str]) -> None:
        super().__init__(directory=STATIC)
        self._tags = tags
        self._gzipped = {file.relative_to(STATIC).as_posix().removesuffix(".gz") for file in STATIC.rglob("*.gz")}

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, or 304, with the headers for caches."""
        gzipped = path in self._gzipped
        response = await super().get_response(f"{path}.gz" if gzipped else path, scope)
        response.headers["Cache-Control"] = FOR_GOOD if scope["path_params"]["tag"] in self._tags else ASK_FIRST
        if gzipped:
            response.headers["Content-Encoding"] = "gzip"
        return response


def add_page(app: FastAPI, keep: Keep = "off") -> None:
    """Serves the page, its files and the documentation; the runtime for reading in the browser where it was fetched.

    keep: what is kept of pictures, which the page says; where anything is, there is a page for the review of corrections, too.
    """
    tag, files = digest(), operation_path("pageFiles").removeprefix("/")
    runtime = f"{files.format(tag=onnxruntime_web.VERSION)}/{onnxruntime_web.FOLDER.name}"
    names = {"assets": files.format(tag=tag), "runtime": runtime if onnxruntime_web.is_complete() else "", "keeps": keep}
    documents = {"page": "index.html", "docs": "docs.html"} | ({} if keep == "off" else {"reviewPage": "review.html"})
    for path, name in ((operation_path(operation), name) for operation, name in documents.items()):
        endpoint = _document(STATIC / name, names)
        app.router.routes.append(Route(path, endpoint, include_in_schema=False, middleware=[Middleware(GZipMiddleware)]))
    app.mount(operation_path("pageFiles"), GZipMiddleware(Assets({tag, onnxruntime_web.VERSION})), name="page")


def _document(path: Path, names: Mapping[str, str]) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint for an HTML file with the addresses of its assets filled in; browsers ask each time whether it changed."""
    html = Template(path.read_text(encoding="utf-8")).substitute(names)
    tag = hashlib.sha256(html.encode()).hexdigest()[:16]
    headers = {"ETag": f'"{tag}"', "Cache-Control": ASK_FIRST}

    async def get(request: Request) -> Response:
        if is_known(request, tag):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return HTMLResponse(html, headers=headers)

    return get
