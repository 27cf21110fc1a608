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

Access = Literal["open", "key", "admin"]
ErrorForm = Literal["problem", "protocol"]
Most = Callable[[Settings], int]

GET, POST, DELETE = ("GET",), ("POST",), ("DELETE",)
NONE = ()  # methods of paths at which nothing is served
REST = "{path:path}"  # at the end of a template: whatever follows
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
    access: Access = "key"
    most: Most = no_body  # bytes that are read of a body; a form may have OVERHEAD more
    works: bool = False  # takes a place in the queue
    errors: ErrorForm = "problem"
    probe: bool = False  # asked every few seconds, and never worth a trace
    corrects: bool = False  # counts as a correction in place of a request, where clients have limits
    name: str = field(init=False)  # in metrics and the log: the template, never the path that was asked for

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.path.replace(REST, "*") if self.methods else UNMATCHED)

    def lacks_slash_of(self, path: str) -> bool:
        """Whether a path of this row ends in a slash that is not the row's: it is served, and without that slash."""
        return path.endswith("/") and bool(self.methods) and not self.path.endswith(("/", REST))

    def length(self, scope: Scope, settings: Settings) -> int:
        """Bytes of the body that will be read at most, as declared; 0 where they are not: they count as they come."""
        return min(declared_length(scope) or 0, settings.max_batch_bytes)

    def limit(self, scope: Scope, settings: Settings) -> int:
        """Bytes after which the body is refused."""
        return self.most(settings) + (OVERHEAD if is_form(scope) else 0)


NOWHERE = Endpoint("", NONE, "")  # the row of paths that have none


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
        """The row of a path, NOWHERE if it has none."""
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
        return NOWHERE, {}

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


Picture = partial(Endpoint, methods=POST, works=True)
Correction = partial(Endpoint, corrects=True)
Admin = partial(Endpoint, access="admin")
Protocol = partial(Endpoint, errors="protocol")
Probe = partial(Endpoint, methods=GET, access="open", probe=True)
Open = partial(Endpoint, methods=GET, access="open")

TABLE = Table(
    [
        Picture("predict", path="/predict", most=one_picture),
        Picture("predictCanvas", path="/predict/canvas", most=picture_in_json),
        Picture("predictStrokes", path="/predict/strokes", most=ink_in_json),
        Picture("predictBatch", path="/predict/batch", most=many_pictures),
        Endpoint("", NONE, f"/predict/{REST}", works=True),
        Picture("read", path="/read", most=one_picture),
        Picture("readCanvas", path="/read/canvas", most=picture_in_json),
        Picture("readBatch", path="/read/batch", most=many_pictures),
        Endpoint("", NONE, f"/read/{REST}", works=True),
        Correction("correct", POST, "/corrections", most=few_words),
        Correction("forgetAll", DELETE, "/corrections/all"),
        Correction("forget", DELETE, "/corrections/{identity}"),
        Endpoint("", NONE, f"/corrections/{REST}"),
        Probe("getLive", path="/health/live"),
        Probe("getReady", path="/health/ready"),
        Probe("", methods=NONE, path=f"/health/{REST}"),
        Endpoint("getMetrics", GET, "/metrics", probe=True),
        Endpoint("getModel", GET, "/model"),
        Endpoint("getModelFile", GET, "/model/file"),
        Endpoint("getModels", GET, "/models"),
        Admin("activateModel", POST, "/admin/models/{version}/activate"),
        Admin("rollBackModel", POST, "/admin/models/rollback"),
        Admin("castShadow", POST, "/admin/models/{version}/shadow"),
        Admin("endShadow", DELETE, "/admin/models/shadow"),
        Admin("getCorrections", GET, "/admin/corrections"),
        Admin("review", POST, "/admin/corrections/{identity}", most=few_words),
        Admin("", NONE, f"/admin/{REST}"),
        Protocol("getServerLive", GET, "/v2/health/live", access="open"),
        Protocol("getServerReady", GET, "/v2/health/ready", access="open"),
        Protocol("", NONE, f"/v2/health/{REST}", access="open"),
        Protocol("getServerMetadata", GET, "/v2"),
        Protocol("getServerMetadataBelow", GET, "/v2/"),
        Protocol("getModelMetadata", GET, "/v2/models/{name}"),
        Protocol("getVersionMetadata", GET, "/v2/models/{name}/versions/{version}"),
        Protocol("getModelReady", GET, "/v2/models/{name}/ready"),
        Protocol("getVersionReady", GET, "/v2/models/{name}/versions/{version}/ready"),
        Protocol("infer", POST, "/v2/models/{name}/infer", most=tensor, works=True),
        Protocol("inferVersion", POST, "/v2/models/{name}/versions/{version}/infer", most=tensor, works=True),
        Protocol("", NONE, f"/v2/{REST}"),
        Open("page", path="/"),
        Open("docs", path="/docs"),
        Open("reviewPage", path="/review"),
        Open("openapi", path="/openapi.json"),
        Open("pageFiles", path=f"/page/{{tag}}/{REST}"),
        Open("", methods=NONE, path=f"/page/{REST}"),
        Open("docsFiles", path=f"/static-offline-docs/{REST}"),
    ]
)
_BY_OPERATION = {row.operation: row for row in TABLE if row.operation}


def place_for(operation: str, what: Literal["", "Canvas", "Batch"] = "") -> str:
    """The path for a picture, a drawing in JSON or several pictures that is like an operation's: for one digit or for all."""
    return place_of(f"{'read' if operation.startswith('read') else 'predict'}{what}")


def place_of(operation: str) -> str:
    """The path at which an operation is served; of a folder of files, the path of the folder.

    Raises:
        KeyError: the table has no such row.
    """
    return _BY_OPERATION[operation].path.removesuffix(f"/{REST}")


def route(operation: str) -> dict[str, Any]:
    """The arguments of FastAPI's api_route for an operation: path, methods and operationId."""
    row = _BY_OPERATION[operation]
    return {"path": row.path, "methods": list(row.methods), "operation_id": operation}


def is_probe(scope: Scope, table: Table = TABLE) -> bool:
    """Whether the request is a probe's."""
    return table.find(path_of(scope)).probe
