"""``numeral read``: reads every digit in pictures, without a server."""

import json
import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from app.cli.common import AsJson, ModelVersion, ProviderOption, check_ending, is_terminal, opened, read_settings
from app.errors import InternalError, to_request_error
from app.evaluation.boxes_sheet import draw_boxes
from app.reading.answer import Reading
from app.reading.reader import Reader
from app.reading.trace import Trace

logger = logging.getLogger(__name__)


def read(
    images: Annotated[list[Path], typer.Argument(help="Pictures of digits.", metavar="IMAGE…")],
    output: Annotated[Path | None, typer.Option(help="PNG file to draw the boxes to, for one picture.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="How many digits there are in each, if you know.")] = None,
    as_json: AsJson = None,
    model_version: ModelVersion = None,
    provider: ProviderOption = None,
) -> None:
    """Reads all digits in each picture, in lines; no server is needed. Exits with 1 if any picture could not be read."""
    if output and len(images) > 1:
        typer.echo("numeral: --output draws one picture; give one.", err=True)
        raise typer.Exit(2)
    check_ending(output, ".png")
    settings = read_settings(model_version=model_version, provider=provider)
    if count is not None and count > settings.max_digits:
        typer.echo(f"numeral: --count is at most {settings.max_digits}, as NUMERAL_MAX_DIGITS says.", err=True)
        raise typer.Exit(2)
    as_json = not is_terminal() if as_json is None else as_json
    table, failed = Table("picture", "text", "confidence", "accepted", "or", "remarks"), False
    with opened(settings) as reader:
        for path in track(images, "Reading", console=Console(stderr=True), transient=True, disable=len(images) < 10):
            reading, row = _read_file(reader, path, count, settings.max_digits, output)
            failed |= reading is None
            if as_json:
                typer.echo(json.dumps(row))
            else:
                _add(table, path, reading, row)
    if not as_json:
        Console().print(table)
    if failed:
        raise typer.Exit(1)


def _read_file(
    reader: Reader, path: Path, count: int | None, most: int, output: Path | None
) -> tuple[Reading | None, dict[str, object]]:
    """The reading of one file, and as JSON; or the code and detail of its error."""
    trace = Trace()
    try:
        reading = reader.read_number(path.read_bytes(), count=count, most=most, trace=trace)
    except Exception as error:  # a fault of ours in one picture harms no other
        known = to_request_error(error, of_file=True)
        if isinstance(known, InternalError):
            logger.error("%s could not be read", path, exc_info=error)
        return None, {"path": str(path), "code": known.code, "detail": known.detail}
    if output and trace.picture:
        try:
            draw_boxes(trace.picture, reading).save(output, format="PNG")
        except OSError as error:
            typer.echo(f"numeral: {error}", err=True)
            raise typer.Exit(2) from error
    return reading, {"path": str(path), **reading.model_dump()}


def _add(table: Table, path: Path, reading: Reading | None, row: dict[str, object]) -> None:
    if reading is None:
        table.add_row(str(path), "–", "–", "–", "–", f"{row['code']}: {row['detail']}")
        return
    others = ", ".join(each.text.replace("\n", "/") for each in reading.alternatives[:2])
    remarks = ", ".join(each.code for each in reading.warnings)
    table.add_row(str(path), reading.text, f"{reading.confidence:.2%}", "yes" if reading.accepted else "no", others, remarks)
