"""``numeral read``: reads every digit in pictures, without a server."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from app.cli.common import (
    AsJson,
    ModelVersion,
    ProviderOption,
    check_ending,
    fail,
    opened,
    print_table,
    read_settings,
    save_drawing,
    wants_json,
    with_progress,
)
from app.cli.pictures import expand, read_expanded, to_refusal
from app.evaluation.boxes_sheet import draw_boxes
from app.reading.answer import Reading
from app.reading.reader import Reader
from app.reading.trace import Trace
from app.settings import Settings

LIKELY, OTHERS = 0.01, 2  # the least confidence of another text that the table shows, as on the page, and how many at most
COLUMNS = ("picture", "text", "confidence", "accepted", "or", "remarks")


def read(
    images: Annotated[
        list[str], typer.Argument(help="Pictures of digits, folders or patterns; - is standard input.", metavar="IMAGE…")
    ],
    output: Annotated[Path | None, typer.Option(help="PNG file to draw the boxes to, for one picture.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="How many digits there are in each, if you know.")] = None,
    as_json: AsJson = None,
    model_version: ModelVersion = None,
    provider: ProviderOption = None,
) -> None:
    """Reads all digits in each picture, in lines; no server is needed. Exits with 1 if any picture could not be read."""
    paths = expand(images)
    if output and len(paths) > 1:
        fail("--output draws one picture; give one.")
    check_ending(output, ".png")
    settings = read_settings(model_version=model_version, provider=provider)
    if count is not None and count > settings.max_digits:
        fail(f"--count is at most {settings.max_digits}, as NUMERAL_MAX_DIGITS says.")
    as_json = wants_json(as_json)
    rows, failed = [], False
    with opened(settings) as reader:
        for path in with_progress(paths, len(paths)):
            reading, row = _read_file(reader, path, count, settings, output)
            failed |= reading is None
            if as_json:
                typer.echo(json.dumps(row))
            else:
                rows.append(_to_cells(path, reading, row))
    if not as_json:
        print_table(COLUMNS, rows)
    if failed:
        raise typer.Exit(1)


def _read_file(
    reader: Reader, path: str, count: int | None, settings: Settings, output: Path | None
) -> tuple[Reading | None, Mapping[str, object]]:
    """The reading of one file, and as JSON; or the code and detail of its error."""
    trace = Trace()
    try:
        data = read_expanded(path, settings)
        reading = reader.read_number(data, count=count, most=settings.max_digits, trace=trace)
    except Exception as error:  # noqa: BLE001  a fault of ours in one picture is logged and harms no other
        return None, to_refusal(path, error)
    if output and trace.picture:
        save_drawing(draw_boxes(trace.picture, reading), output)
    return reading, {"path": path, **reading.model_dump()}


def _to_cells(path: str, reading: Reading | None, row: Mapping[str, object]) -> tuple[str, ...]:
    if reading is None:
        return (path, "–", "–", "–", "–", f"{row['code']}: {row['detail']}")
    likely = [each.text.replace("\n", "/") for each in reading.alternatives if each.confidence >= LIKELY]
    remarks = ", ".join(each.code for each in reading.warnings)
    accepted = "yes" if reading.accepted else "no"
    return (path, reading.text, f"{reading.confidence:.2%}", accepted, ", ".join(likely[:OTHERS]), remarks)
