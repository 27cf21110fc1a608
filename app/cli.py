"""The command line ``numeral``: serve, key, predict, explain and evaluate, over the same functions as the routes."""

import json
import logging.config
import os
import sys
from asyncio import Protocol
from collections.abc import Callable
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer
import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError
from rich.console import Console
from rich.progress import track
from rich.table import Table

from app.contact_sheet import draw_mistakes
from app.errors import BulkError, LabelsError, NoDigitFound, RequestError, StartupError
from app.evaluate import Report, Result, find_mistakes, run, summarise, write_predictions
from app.explain import describe, draw_steps
from app.keys import make_key
from app.labels import leave_out_ambiguous, read_labels
from app.logs import log_config
from app.main import create_app, load_reader
from app.predict import Reader, Trace
from app.settings import Settings
from app.shared import Shared, open_runtime_folder
from app.tables import print_report

T = TypeVar("T")

STARTING_SECONDS = 30  # in which a worker must begin to answer its supervisor; on a busy machine importing takes uvicorn's 5

logger = logging.getLogger(__name__)

cli = typer.Typer(help="Reads handwritten digits.", no_args_is_help=True, add_completion=False)

ModelVersion = Annotated[str | None, typer.Option(help="Version of the model; the latest by default.")]
AsJson = Annotated[bool | None, typer.Option("--json/--table", help="By default a table on a terminal, else JSON.")]
ProviderOption = Annotated[str | None, typer.Option(help="Where to infer: auto, cpu or cuda.")]


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; 127.0.0.1 by default.")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port to listen on; 8000 by default.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that serve; 1 by default, 0 for one a CPU.")] = None,
    model_version: ModelVersion = None,
    provider: ProviderOption = None,
) -> None:
    """Serves the model over HTTP. Every setting can also come from the environment as NUMERAL_<NAME>."""
    flags: dict[str, object] = {
        "host": host,
        "port": port,
        "workers": workers,
        "model_version": model_version,
        "provider": provider,
    }
    settings = _settings(**flags)
    logging.config.dictConfig(log_config(settings))
    reader = _load(settings)  # a wrong model, or wrong keys, end here, in one line, before anything listens
    application = _create(settings, lambda _: reader)
    _warn_of_open_doors(settings)
    if settings.workers == 1:
        with _start(lambda: open_runtime_folder(settings.runtime_dir)) if settings.runtime_dir else nullcontext():
            uvicorn.run(application, **_server(settings))
        return
    with _start(
        lambda: open_runtime_folder(settings.runtime_dir)
    ) as folder:  # each process makes the application for itself, from the environment
        Shared(Path(folder)).close()  # makes the database before they all would
        flags["runtime_dir"] = folder
        os.environ |= {f"NUMERAL_{name.upper()}": str(value) for name, value in flags.items() if value is not None}
        uvicorn.run("app.main:create_app", factory=True, workers=settings.workers, **_server(settings))


@cli.command()
def key(
    name: Annotated[str, typer.Argument(help="Whose key it is; letters, digits, dots, dashes and underscores.")],
    role: Annotated[str, typer.Option(help="predict, or admin, which may also change the model.")] = "predict",
) -> None:
    """Makes an API key: prints it, which is its only copy, and the line of it that the service is given."""
    try:
        secret, kept = make_key(name, role)  # type: ignore[arg-type]  # judged there
    except ValidationError as error:
        typer.echo(f"numeral: {error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}", err=True)
        raise typer.Exit(2) from error
    typer.echo(f"# The key, for {name}: {secret}", err=True)
    typer.echo(kept)


@cli.command()
def predict(
    images: Annotated[list[Path] | None, typer.Argument(help="Pictures of one digit each.", metavar="[IMAGE…]")] = None,
    source: Annotated[
        str | None,
        typer.Option("--input", help="In bulk instead: a folder, a pattern in quotes, or Parquet with a column image or path."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="With --input: Parquet file to write, a row a picture.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="With --input: processes; by default one a CPU.")] = None,
    ray: Annotated[
        bool, typer.Option("--ray", help="With --input: by Ray Data, on the cluster of RAY_ADDRESS or here.")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="With --input: forgets what a killed run has done.")] = False,
    as_json: AsJson = None,
    model_version: ModelVersion = None,
    provider: ProviderOption = None,
) -> None:
    """Reads the digit in each picture; no server is needed. Exits with 1 if any picture could not be read.

    With --input and --output it reads any number of pictures on all CPUs; those that cannot be read are rows with a code
    and a detail. The same command goes on where a killed run was.
    """
    settings = _settings(model_version=model_version, provider=provider)
    if source and output and not images:
        _predict_in_bulk(source, output, settings, workers, ray=ray, restart=restart)
    elif images and not (source or output or workers or ray or restart):
        _predict_each(images, settings, as_json=not _is_terminal() if as_json is None else as_json)
    else:
        typer.echo("numeral: give pictures, or --input with --output.", err=True)
        raise typer.Exit(2)


def _predict_each(images: list[Path], settings: Settings, *, as_json: bool) -> None:
    reader = _load(settings)
    results = []
    for path in track(images, "Reading", console=Console(stderr=True), transient=True, disable=len(images) < 10):
        results.append(_predict_file(reader, path))
        if as_json:
            typer.echo(json.dumps(results[-1]))
    if not as_json:
        _print_table(results)
    if any("code" in result for result in results):
        raise typer.Exit(1)


def _predict_in_bulk(source: str, output: Path, settings: Settings, workers: int | None, *, ray: bool, restart: bool) -> None:
    try:
        from app import bulk_progress  # noqa: PLC0415  pyarrow is an extra

        engine = bulk_progress.choose_engine(workers, ray=ray)
        bulk_progress.predict_and_tell(source, output, settings, engine, restart=restart)
    except ImportError as error:
        typer.echo(f"numeral: {error.name} is not installed; install numeral[{'ray' if ray else 'bulk'}].", err=True)
        raise typer.Exit(2) from error
    except KeyboardInterrupt as error:
        typer.echo("numeral: interrupted; the same command goes on from here.", err=True)
        raise typer.Exit(130) from error  # 128 + SIGINT
    except (BulkError, OSError) as error:
        typer.echo(f"numeral: {error}", err=True)
        raise typer.Exit(2) from error
    except StartupError as error:
        typer.echo(f"numeral: cannot start: {error}", err=True)
        raise typer.Exit(1) from error


@cli.command()
def explain(
    image: Annotated[Path, typer.Argument(help="Picture of one digit.", metavar="IMAGE")],
    output: Annotated[Path, typer.Option(help="PNG to draw the steps into.")] = Path("steps.png"),
    model_version: ModelVersion = None,
    provider: ProviderOption = None,
) -> None:
    """Shows how the digit in a picture was found and read, step by step. Exits with 1 if there was none."""
    reader, trace, prediction = _load(_settings(model_version=model_version, provider=provider)), Trace(), None
    try:
        prediction = reader.read(image.read_bytes(), trace=trace)
        words = describe(prediction, trace)
    except NoDigitFound as error:
        words = [f"{error.code}: {error.detail}"]
    except (RequestError, OSError) as error:
        typer.echo(f"numeral: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo("\n".join(words))
    try:
        draw_steps(trace, words).save(output, format="PNG")
    except OSError as error:
        typer.echo(f"numeral: {error}", err=True)
        raise typer.Exit(2) from error
    if prediction is None:
        raise typer.Exit(1)


@cli.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(help="Folder of pictures, with a labels.csv.")],
    output: Annotated[
        Path | None, typer.Option(help="Folder to write report.json, predictions.csv and mistakes.png into.")
    ] = None,
    ambiguous: Annotated[bool, typer.Option("--ambiguous", help="Counts pictures too whose notes say 'ambiguous'.")] = False,
    as_json: AsJson = None,
    model_version: ModelVersion = None,
    provider: ProviderOption = None,
) -> None:
    """Measures how well your own pictures are read; labels.csv, with columns path and label, says what they show."""
    settings = _settings(model_version=model_version, provider=provider)
    try:
        every = read_labels(folder)
        rows = every if ambiguous else leave_out_ambiguous(every)
        if output:
            output.mkdir(parents=True, exist_ok=True)  # before the work that would be lost
        reader = _load(settings)
        console = Console(stderr=True)
        readings = run(reader, folder, rows)
        results = list(track(readings, "Reading", len(rows), console=console, transient=True, disable=len(rows) < 10))
        report = summarise(results, reader, folder, len(every) - len(rows))
        if output:
            _write_report(report, results, output, settings)
    except (LabelsError, OSError) as error:
        typer.echo(f"numeral: {error}", err=True)
        raise typer.Exit(2) from error
    if not _is_terminal() if as_json is None else as_json:
        typer.echo(report.to_json(), nl=False)
    else:
        print_report(report, Console())


def _write_report(report: Report, results: list[Result], output: Path, settings: Settings) -> None:
    (output / "report.json").write_text(report.to_json(), encoding="utf-8")
    write_predictions(results, output / "predictions.csv")
    model, score = report.model, report.overall.score
    title = f"{model['name']}/{model['version']}: {score.of - score.count} mistakes in {score.of} digits, the surest first"
    draw_mistakes(find_mistakes(results), Path(report.folder), settings, title).save(output / "mistakes.png")


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _predict_file(reader: Reader, path: Path) -> dict[str, Any]:
    """The prediction for one file as JSON, or, where there is none, the code and the detail of the reason."""
    try:
        return {"path": str(path), **reader.read(path.read_bytes()).model_dump(exclude={"glyph"})}
    except RequestError as error:
        return {"path": str(path), "code": error.code, "detail": error.detail}
    except OSError as error:
        return {"path": str(path), "code": "unreadable-file", "detail": str(error)}


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


def _server(settings: Settings) -> dict[str, Any]:
    """What uvicorn is told; X-Forwarded-For is believed of trusted proxies alone."""
    return {
        "host": settings.host,
        "port": settings.port,
        "log_level": settings.log_level,
        "log_config": log_config(settings),
        "access_log": False,
        "timeout_keep_alive": settings.keep_alive_seconds,
        "proxy_headers": bool(settings.trusted_proxies),
        "forwarded_allow_ips": settings.trusted_proxies,
        "http": _connection(),
        "timeout_worker_healthcheck": STARTING_SECONDS,
    }


def _connection() -> type[Protocol] | Literal["auto"]:
    """Connections that do not wait for slow headers; httptools, which they stand on, is not had on Windows."""
    if find_spec("httptools") is None:
        return "auto"
    from app.connection import PatientConnection  # noqa: PLC0415

    return PatientConnection


def _warn_of_open_doors(settings: Settings) -> None:
    if not settings.loopback_only and not settings.api_keys and settings.api_keys_file is None:
        logger.warning(
            "%s is more than this machine, and there are no API keys: whoever reaches the port may call.", settings.host
        )


def _settings(**flags: Any) -> Settings:
    """Settings from the environment, with the flags that were given on top."""
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        for problem in error.errors():
            typer.echo(f"numeral: setting {'.'.join(map(str, problem['loc']))}: {problem['msg']}", err=True)
        raise typer.Exit(2) from error


def _create(settings: Settings, load: Callable[[Settings], Reader]) -> FastAPI:
    return _start(lambda: create_app(settings, load))


def _load(settings: Settings) -> Reader:
    return _start(lambda: load_reader(settings))


def _start(make: Callable[[], T]) -> T:
    """What is made, or the one line that says why it cannot be."""
    try:
        return make()
    except StartupError as error:
        typer.echo(f"numeral: cannot start: {error}", err=True)
        raise typer.Exit(1) from error


def main() -> None:
    """Entry point of the command ``numeral``."""
    cli()
