"""Shared by the commands: options, settings overridden by flags, tables, and a one-line error for a failed start."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from PIL import Image
from pydantic import ValidationError
from rich.console import Console
from rich.progress import track
from rich.table import Table

from app.errors import StartupError
from app.reading.reader import Reader
from app.runtime.loading import load_reader, open_reader
from app.settings import Settings, describe_faults, describe_unknown_variables

T = TypeVar("T")

MANY = 10  # items from which on a bar shows how many are done
FILE_ENDINGS = {".json", ".csv", ".png", ".html", ".txt", ".parquet", ".pdf"}

ModelVersion = Annotated[
    str | None, typer.Option(help="Version of the model; by default the one that the store's pointer names.")
]
AsJson = Annotated[bool | None, typer.Option("--json/--table", help="By default a table on a terminal, JSON otherwise.")]
ProviderOption = Annotated[str | None, typer.Option(help="Where to infer: auto, cpu or cuda.")]


def check_ending(output: Path | None, ending: str) -> None:
    """Exits with 2 if the name of the file to write does not end as its format does."""
    if output and output.suffix.lower() != ending:
        fail(f"--output writes a {ending} file; {output} does not end with {ending}.")


def check_folder(output: Path | None) -> None:
    """Exits with 2 if the folder to write has the name of a file, or is one."""
    if output and not output.is_dir() and (output.is_file() or output.suffix.lower() in FILE_ENDINGS):
        fail(f"--output makes a folder of several files; {output} is, or is named like, one file.")


def fail(message: str, status: int = 2) -> NoReturn:
    """Prints a line on standard error and exits."""
    typer.echo(f"numeral: {message}", err=True)
    raise typer.Exit(status)


def save_drawing(drawing: Image.Image, output: Path) -> None:
    """Writes a drawing as PNG. Exits with 2 if it cannot be written."""
    try:
        drawing.save(output, format="PNG")
    except OSError as error:
        fail(str(error))


def plural(count: int, one: str, many: str) -> str:
    """A count and its noun, in the singular or the plural: ``1 answer was``, ``2 answers were``."""
    return f"{count:,} {one if count == 1 else many}"


def print_table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Prints a table of text as it is: a file's name may look like Rich's markup, or like the name of an emoji."""
    table = Table(*columns)
    for row in rows:
        table.add_row(*row)
    Console(markup=False, emoji=False).print(table)


def is_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def with_progress(items: Iterable[T], count: int) -> Iterable[T]:
    """So many items, with a bar on standard error where they are enough to wait for."""
    return track(items, "Reading", count, console=Console(stderr=True), transient=True, disable=count < MANY)


def wants_json(as_json: bool | None) -> bool:
    """Whether to print JSON and no table. as_json: what the flags say, or None where they are not given."""
    return not is_terminal() if as_json is None else as_json


def read_settings(**flags: Any) -> Settings:
    """The settings as parse_settings, with a line on standard error for each variable that sets nothing."""
    for line in describe_unknown_variables(os.environ):
        typer.echo(f"numeral: {line}", err=True)
    return parse_settings(**flags)


def parse_settings(**flags: Any) -> Settings:
    """Reads the settings from the environment; the given flags override them. Exits with 2 if a value is invalid."""
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        for fault in describe_faults(error):
            typer.echo(f"numeral: {fault}", err=True)
        raise typer.Exit(2) from error


def load(settings: Settings) -> Reader:
    """Loads the reader that the settings describe. If that fails, prints the reason in one line and exits with 1."""
    return start(lambda: load_reader(settings))


@contextmanager
def opened(settings: Settings) -> Iterator[Reader]:
    """The reader that the settings name, behind the wall, or the one line that says why there is none."""
    with ExitStack() as stack:
        yield start(lambda: stack.enter_context(open_reader(settings)))


def start(make: Callable[[], T]) -> T:
    """Returns what make returns. On a StartupError, prints the reason in one line and exits with 1."""
    try:
        return make()
    except StartupError as error:
        fail(f"cannot start: {error}", status=1)
