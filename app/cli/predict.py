"""``numeral predict``: reads pictures without a server, one by one or in bulk."""

import json
import logging
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from app.cli.common import AsJson, ModelVersion, ProviderOption, is_terminal, opened, read_settings
from app.errors import BulkError, InternalError, StartupError, to_request_error
from app.reading.reader import Reader
from app.settings import Settings

logger = logging.getLogger(__name__)


def predict(
    images: Annotated[list[Path] | None, typer.Argument(help="Pictures of one digit each.", metavar="[IMAGE…]")] = None,
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


def _predict_each(images: list[Path], settings: Settings, *, as_json: bool) -> None:
    results = []
    with opened(settings) as reader:
        for path in track(images, "Reading", console=Console(stderr=True), transient=True, disable=len(images) < 10):
            results.append(_predict_file(reader, path))
            if as_json:
                typer.echo(json.dumps(results[-1]))
    if not as_json:
        _print_table(results)
    if any("code" in result for result in results):
        raise typer.Exit(1)


def _predict_in_bulk(
    source: str, output: Path, settings: Settings, workers: int | None, *, ray: bool, restart: bool, numbers: bool
) -> None:
    try:
        from app.bulk import terminal  # noqa: PLC0415  pyarrow is an extra

        engine = terminal.choose_engine(workers, ray=ray)
        terminal.predict_with_progress(source, output, settings, engine, restart=restart, numbers=numbers)
    except ImportError as error:
        typer.echo(f"numeral: {error.name} is not installed; install numeral[{'ray' if ray else 'bulk'}].", err=True)
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


def _predict_file(reader: Reader, path: Path) -> dict[str, Any]:
    """The prediction for one file as JSON, or the code and detail of its error."""
    try:
        return {"path": str(path), **reader.read(path.read_bytes()).model_dump(exclude={"glyph"})}
    except Exception as error:  # a fault of ours in one picture harms no other
        known = to_request_error(error, of_file=True)
        if isinstance(known, InternalError):
            logger.error("%s could not be read", path, exc_info=error)
        return {"path": str(path), "code": known.code, "detail": known.detail}


def _print_table(results: list[dict[str, Any]]) -> None:
    table = Table("picture", "digit", "confidence", "accepted", "remarks")
    for result in results:
        if "code" in result:
            table.add_row(result["path"], "–", "–", "–", f"{result['code']}: {result['detail']}")
        else:
            remarks = ", ".join(warning["code"] for warning in result["warnings"])
            accepted = "yes" if result["accepted"] else "no"
            table.add_row(result["path"], str(result["digit"]), f"{result['confidence']:.2%}", accepted, remarks)
    Console().print(table)
