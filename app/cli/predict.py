"""``numeral predict``: reads pictures without a server, one by one or in bulk."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

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
    wants_json,
    with_progress,
)
from app.cli.pictures import expand, read_expanded, to_refusal
from app.errors import BulkError, StartupError
from app.reading.reader import Reader
from app.settings import Settings

INTERRUPTED = 130  # the exit status after Ctrl-C: 128 + SIGINT


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
        fail("--numbers goes with --input and --output; `numeral read` reads all digits in pictures.")
    elif images and not (source or output or workers or ray or restart):
        _predict_each(images, settings, as_json=wants_json(as_json))
    elif not source and (flags := _given(output=output, workers=workers, ray=ray, restart=restart)):
        fail(f"{' and '.join(flags)} {'needs' if len(flags) == 1 else 'need'} --input.")
    else:
        fail("give either pictures or --input with --output.")


def _given(**options: object) -> list[str]:
    """The flags of the options that have a value."""
    return [f"--{name}" for name, value in options.items() if value]


def _predict_each(images: Sequence[str], settings: Settings, *, as_json: bool) -> None:
    paths = expand(images)
    results = []
    with opened(settings) as reader:
        for path in with_progress(paths, len(paths)):
            results.append(_predict_file(reader, path, settings))
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
        fail(f"{error.name} is not installed. Install Numeral with its extra {'ray' if ray else 'bulk'}.")
    except KeyboardInterrupt:
        fail("interrupted; run the same command again to continue.", status=INTERRUPTED)
    except (BulkError, OSError) as error:
        fail(str(error))
    except StartupError as error:
        fail(f"cannot start: {error}", status=1)


def _predict_file(reader: Reader, path: str, settings: Settings) -> dict[str, Any]:
    """The prediction for one file as JSON, or the code and detail of its error."""
    try:
        return {"path": path, **reader.read(read_expanded(path, settings)).model_dump(exclude={"glyph"})}
    except Exception as error:  # noqa: BLE001  a fault of ours in one picture is logged and harms no other
        return to_refusal(path, error)


def _print_table(results: list[dict[str, Any]]) -> None:
    print_table(("picture", "digit", "confidence", "accepted", "remarks"), map(_to_cells, results))


def _to_cells(result: dict[str, Any]) -> tuple[str, ...]:
    if "code" in result:
        return (result["path"], "–", "–", "–", f"{result['code']}: {result['detail']}")
    remarks = ", ".join(warning["code"] for warning in result["warnings"])
    accepted = "yes" if result["accepted"] else "no"
    return (result["path"], str(result["digit"]), f"{result['confidence']:.2%}", accepted, remarks)
