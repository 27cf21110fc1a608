"""``numeral predict``: reads pictures without a server, one by one or in bulk."""

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from app.bulk.find_files import MAGIC, find_files
from app.cli.common import AsJson, ModelVersion, ProviderOption, check_ending, is_terminal, opened, read_settings
from app.errors import BulkError, InternalError, StartupError, UnreadableFile, to_request_error
from app.reading.reader import Reader
from app.settings import Settings

logger = logging.getLogger(__name__)

STDIN = "-"


def predict(
    images: Annotated[
        list[str] | None,
        typer.Argument(help="Pictures of one digit each, folders or patterns; - is standard input.", metavar="[IMAGE…]"),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--input", help="Reads in bulk: a folder, a quoted pattern, or Parquet files with a column image or path."
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="With --input: Parquet file to write, one row per picture.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="With --input: processes; by default one per CPU.")] = None,
    ray: Annotated[
        bool, typer.Option("--ray", help="With --input: uses Ray Data, on the cluster at RAY_ADDRESS or on this machine.")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="With --input: discards an interrupted run.")] = False,
    numbers: Annotated[
        bool, typer.Option("--numbers", help="With --input: reads all digits of each picture, as columns text and confidence.")
    ] = False,
    as_json: AsJson = None,
    model_version: ModelVersion = None,
    provider: ProviderOption = None,
) -> None:
    """Reads the digit in each picture; no server is needed. Exits with 1 if any picture could not be read.

    With --input and --output, reads any number of pictures on all CPUs. A picture that cannot be read becomes a row
    with a code and a detail. After an interruption, the same command continues where the run stopped.
    """
    settings = read_settings(model_version=model_version, provider=provider)
    check_ending(output, ".parquet")
    if source and output and not images:
        _predict_in_bulk(source, output, settings, workers, ray=ray, restart=restart, numbers=numbers)
    elif images and numbers:
        typer.echo("numeral: --numbers goes with --input and --output; `numeral read` reads all digits in pictures.", err=True)
        raise typer.Exit(2)
    elif images and not (source or output or workers or ray or restart):
        _predict_each(images, settings, as_json=not is_terminal() if as_json is None else as_json)
    else:
        typer.echo("numeral: give either pictures or --input with --output.", err=True)
        raise typer.Exit(2)


def _predict_each(images: Sequence[str], settings: Settings, *, as_json: bool) -> None:
    paths = [path for image in images for path in _expand(image)]
    results = []
    with opened(settings) as reader:
        for path in track(paths, "Reading", console=Console(stderr=True), transient=True, disable=len(paths) < 10):
            results.append(_predict_file(reader, path))
            if as_json:
                typer.echo(json.dumps(results[-1]))
    if not as_json:
        _print_table(results)
    if any("code" in result for result in results):
        raise typer.Exit(1)


def _expand(image: str) -> list[str]:
    """The files of a folder or a pattern, which not every shell expands, in order of their names; else the name itself."""
    path = Path(image)
    if image == STDIN or path.is_file() or not (path.is_dir() or MAGIC.search(image)):
        return [image]
    try:
        return sorted(map(str, find_files(image))) or [image]
    except (BulkError, OSError):
        return [image]  # reading it tells what is wrong


def _predict_in_bulk(
    source: str, output: Path, settings: Settings, workers: int | None, *, ray: bool, restart: bool, numbers: bool
) -> None:
    try:
        from app.bulk import terminal  # noqa: PLC0415  pyarrow is an extra

        engine = terminal.choose_engine(workers, ray=ray)
        terminal.predict_with_progress(source, output, settings, engine, restart=restart, numbers=numbers)
    except ImportError as error:
        extra = "ray" if ray else "bulk"
        typer.echo(f"numeral: {error.name} is not installed. Install Numeral with its extra {extra}.", err=True)
        raise typer.Exit(2) from error
    except KeyboardInterrupt as error:
        typer.echo("numeral: interrupted; run the same command again to continue.", err=True)
        raise typer.Exit(130) from error  # 128 + SIGINT
    except (BulkError, OSError) as error:
        typer.echo(f"numeral: {error}", err=True)
        raise typer.Exit(2) from error
    except StartupError as error:
        typer.echo(f"numeral: cannot start: {error}", err=True)
        raise typer.Exit(1) from error


def _predict_file(reader: Reader, path: str) -> dict[str, Any]:
    """The prediction for one file as JSON, or the code and detail of its error."""
    try:
        return {"path": path, **reader.read(_read(path)).model_dump(exclude={"glyph"})}
    except Exception as error:  # a fault of ours in one picture harms no other
        known = to_request_error(error, of_file=True)
        if isinstance(known, InternalError):
            logger.error("%s could not be read", path, exc_info=error)
        return {"path": path, "code": known.code, "detail": known.detail}


def _read(path: str) -> bytes:
    """The bytes of a file, or of standard input.

    Raises:
        UnreadableFile: it is a folder or a pattern, and there is no file in it.
        OSError: the file cannot be read.
    """
    if path == STDIN:
        return sys.stdin.buffer.read()
    if Path(path).is_dir():
        raise UnreadableFile("The folder has no file that can be read.")
    if MAGIC.search(path) and not Path(path).exists():
        raise UnreadableFile("No file has this name, and none fits it as a pattern.")
    return Path(path).read_bytes()


def _print_table(results: list[dict[str, Any]]) -> None:
    table = Table("picture", "digit", "confidence", "accepted", "remarks")
    for result in results:
        if "code" in result:
            table.add_row(escape(result["path"]), "–", "–", "–", escape(f"{result['code']}: {result['detail']}"))
        else:
            remarks = ", ".join(warning["code"] for warning in result["warnings"])
            accepted = "yes" if result["accepted"] else "no"
            table.add_row(escape(result["path"]), str(result["digit"]), f"{result['confidence']:.2%}", accepted, remarks)
    Console().print(table)
