"""Every endpoint in one table: where it is, who may call it, how long a body may be, and whether it brings work.

Nothing else knows a path or judges one. Routes take theirs from here, and the middleware names, guards, limits, admits and
counts each request by its row; so does the connection that sheds load. A route without a row stops the start.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from re import Pattern
from typing import Any, Literal

from starlette.routing import compile_path
from starlette.types import Scope

from app.errors import StartupError
from app.settings import MIB, Settings
from app.web.scope import declared_length, is_form, path_of

AccessLevel = Literal["open", "key", "admin"]
ErrorForm = Literal["problem", "protocol"]
Most = Callable[[Settings], int]

GET, POST, DELETE = ("GET",), ("POST",), ("DELETE",)
NO_METHODS = ()  # methods of paths at which nothing is served
TAIL = "{path:path}"  # at the end of a template: whatever follows
UNMATCHED = "unmatched"  # the name of paths at which nothing is served: clients can invent any number of them
OVERHEAD = MIB  # bytes of a form or of JSON around what it carries
NUMBER = 32  # characters that a number in JSON may take, with what stands around it
PIXELS = 28 * 28
CORRECTION = 16_384  # bytes
MOST_STROKES, MOST_POINTS = 200, 5_000  # of ink; a digit has some 100 points


def no_body(_: Settings) -> int:
    """Nothing is read."""
    return 0


def one_picture(settings: Settings) -> int:
    """The bytes of one picture."""
    return settings.max_upload_bytes


def many_pictures(settings: Settings) -> int:
    """The bytes of a batch."""
    return settings.max_batch_bytes


def picture_in_json(settings: Settings) -> int:
    """The base64 of one picture, which makes four bytes of three, in JSON."""
    return settings.max_upload_bytes * 4 // 3 + OVERHEAD


def few_words(_: Settings) -> int:
    """A correction in JSON."""
    return CORRECTION


def ink_in_json(_: Settings) -> int:
    """The coordinates of as many points as ink may have, in JSON."""
    return 2 * MOST_POINTS * NUMBER


def tensor(settings: Settings) -> int:
    """The numbers of as many glyphs as a batch has pictures, in JSON."""
    return settings.max_batch_files * PIXELS * NUMBER + OVERHEAD


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A row of the table.

    access: ``open`` lets anybody call; ``key`` asks for a key, where there are keys; ``admin`` asks for one of that role, or,
    without keys, for a program of the machine itself. errors: ``problem`` is problem+json, ``protocol`` the Open Inference
    Protocol's form.
    """

    operation: str  # operationId in OpenAPI, or a name of ours for what is not described there
    methods: tuple[str, ...]  # HEAD comes with the GET of a page
    path: str  # a template, as Starlette's routes have
    access: AccessLevel = "key"
    most: Most = no_body  # bytes that are read of a body; a form may have OVERHEAD more
    works: bool = False  # takes a place in the queue
    errors: ErrorForm = "problem"
    probe: bool = False  # asked every few seconds, and never worth a trace
    corrects: bool = False  # counts as a correction in place of a request, where clients have limits
    name: str = field(init=False)  # in metrics and the log: the template, never the path that was asked for

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.path.replace(TAIL, "*") if self.methods else UNMATCHED)

    def lacks_slash_of(self, path: str) -> bool:
        """Whether a path of this row ends in a slash that is not the row's: it is served, and without that slash."""
        return path.endswith("/") and bool(self.methods) and not self.path.endswith(("/", TAIL))

    def length(self, scope: Scope, settings: Settings) -> int:
        """Bytes of the body that will be read at most, as declared; 0 where they are not: they count as they come."""
        return min(declared_length(scope) or 0, settings.max_batch_bytes)

    def limit(self, scope: Scope, settings: Settings) -> int:
        """Bytes after which the body is refused."""
        return self.most(settings) + (OVERHEAD if is_form(scope) else 0)


NO_ENDPOINT = Endpoint("", NO_METHODS, "")  # the row of paths that have none


class Table:
    """The rows, found by path."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        """Sorts the rows; those of paths at which nothing is served come last.

        Raises:
            ValueError: two rows have one path.
        """
        self._rows = sorted(endpoints, key=lambda row: not row.methods)
        self._exact = {row.path: row for row in self._rows if "{" not in row.path}
        self._templates: list[tuple[Pattern[str], Endpoint]] = [
            (compile_path(row.path)[0], row) for row in self._rows if "{" in row.path
        ]
        if len({row.path for row in self._rows}) < len(self._rows):
            raise ValueError("Two rows of the table have one path.")

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self._rows)

    def find(self, path: str) -> Endpoint:
        """The row of a path, NO_ENDPOINT if it has none."""
        return self.match(path)[0]

    def match(self, path: str) -> tuple[Endpoint, Mapping[str, str]]:
        """The row of a path, and the values of its template's parameters; a slash at the end makes no difference."""
        row, gaps = self._match(path)
        if not row.methods and path.endswith("/"):
            bare, its_gaps = self._match(path[:-1])
            return (bare, its_gaps) if bare.lacks_slash_of(path) else (row, gaps)
        return row, gaps

    def _match(self, path: str) -> tuple[Endpoint, Mapping[str, str]]:
        if row := self._exact.get(path.removesuffix("\n")):  # at which the patterns of Starlette's routes end, too
            return row, {}
        for pattern, template in self._templates:
            if found := pattern.match(path):
                return template, found.groupdict()
        return NO_ENDPOINT, {}

    def check(self, served: Iterable[tuple[str, str]]) -> None:
        """Checks that each route, a method and a template, has a row: without one it would have neither guard nor limit.

        Raises:
            StartupError: a route has no row.
        """
        known = {(method, row.path) for row in self._rows for method in row.methods}
        known |= {("HEAD", path) for method, path in known if method == "GET"}
        if missing := sorted(set(served) - known):
            names = ", ".join(f"{method} {path}" for method, path in missing)
            raise StartupError(f"The table in app.web.endpoints has no row for {names}.")


picture_row = partial(Endpoint, methods=POST, works=True)
correction_row = partial(Endpoint, corrects=True)
admin_row = partial(Endpoint, access="admin")
protocol_row = partial(Endpoint, errors="protocol")
probe_row = partial(Endpoint, methods=GET, access="open", probe=True)
open_row = partial(Endpoint, methods=GET, access="open")

TABLE = Table(
    [
        picture_row("predict", path="/predict", most=one_picture),
        picture_row("predictCanvas", path="/predict/canvas", most=picture_in_json),
        picture_row("predictStrokes", path="/predict/strokes", most=ink_in_json),
        picture_row("predictBatch", path="/predict/batch", most=many_pictures),
        Endpoint("", NO_METHODS, f"/predict/{TAIL}", works=True),
        picture_row("read", path="/read", most=one_picture),
        picture_row("readCanvas", path="/read/canvas", most=picture_in_json),
        picture_row("readBatch", path="/read/batch", most=many_pictures),
        Endpoint("", NO_METHODS, f"/read/{TAIL}", works=True),
        correction_row("correct", POST, "/corrections", most=few_words),
        correction_row("forgetAll", DELETE, "/corrections/all"),
        correction_row("forget", DELETE, "/corrections/{identity}"),
        Endpoint("", NO_METHODS, f"/corrections/{TAIL}"),
        probe_row("getLive", path="/health/live"),
        probe_row("getReady", path="/health/ready"),
        probe_row("", methods=NO_METHODS, path=f"/health/{TAIL}"),
        Endpoint("getMetrics", GET, "/metrics", probe=True),
        Endpoint("getModel", GET, "/model"),
        Endpoint("getModelFile", GET, "/model/file"),
        Endpoint("getModels", GET, "/models"),
        admin_row("activateModel", POST, "/admin/models/{version}/activate"),
        admin_row("rollBackModel", POST, "/admin/models/rollback"),
        admin_row("castShadow", POST, "/admin/models/{version}/shadow"),
        admin_row("endShadow", DELETE, "/admin/models/shadow"),
        admin_row("getCorrections", GET, "/admin/corrections"),
        admin_row("review", POST, "/admin/corrections/{identity}", most=few_words),
        admin_row("", NO_METHODS, f"/admin/{TAIL}"),
        protocol_row("getServerLive", GET, "/v2/health/live", access="open"),
        protocol_row("getServerReady", GET, "/v2/health/ready", access="open"),
        protocol_row("", NO_METHODS, f"/v2/health/{TAIL}", access="open"),
        protocol_row("getServerMetadata", GET, "/v2"),
        protocol_row("getServerMetadataBelow", GET, "/v2/"),
        protocol_row("getModelMetadata", GET, "/v2/models/{name}"),
        protocol_row("getVersionMetadata", GET, "/v2/models/{name}/versions/{version}"),
        protocol_row("getModelReady", GET, "/v2/models/{name}/ready"),
        protocol_row("getVersionReady", GET, "/v2/models/{name}/versions/{version}/ready"),
        protocol_row("infer", POST, "/v2/models/{name}/infer", most=tensor, works=True),
        protocol_row("inferVersion", POST, "/v2/models/{name}/versions/{version}/infer", most=tensor, works=True),
        protocol_row("", NO_METHODS, f"/v2/{TAIL}"),
        open_row("page", path="/"),
        open_row("docs", path="/docs"),
        open_row("reviewPage", path="/review"),
        open_row("openapi", path="/openapi.json"),
        open_row("pageFiles", path=f"/page/{{tag}}/{TAIL}"),
        open_row("", methods=NO_METHODS, path=f"/page/{TAIL}"),
        open_row("docsFiles", path=f"/static-offline-docs/{TAIL}"),
    ]
)
_BY_OPERATION = {row.operation: row for row in TABLE if row.operation}


def sibling_path(operation: str, what: Literal["", "Canvas", "Batch"] = "") -> str:
    """The path of an operation's family, /predict or /read, that takes a picture, a drawing in JSON or several pictures."""
    return operation_path(f"{'read' if operation.startswith('read') else 'predict'}{what}")


def operation_path(operation: str) -> str:
    """The path at which an operation is served; of a folder of files, the path of the folder.

    Raises:
        KeyError: the table has no such row.
    """
    return _BY_OPERATION[operation].path.removesuffix(f"/{TAIL}")


def route(operation: str) -> dict[str, Any]:
    """The arguments of FastAPI's api_route for an operation: path, methods and operationId."""
    row = _BY_OPERATION[operation]
    return {"path": row.path, "methods": list(row.methods), "operation_id": operation}


def is_probe(scope: Scope, table: Table = TABLE) -> bool:
    """Whether the request is a probe's."""
    return table.find(path_of(scope)).probe
