"""``numeral evaluate``: measures how well a folder of labelled pictures is read."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.cli.common import (
    AsJson,
    ModelVersion,
    ProviderOption,
    check_folder,
    fail,
    opened,
    plural,
    read_settings,
    wants_json,
    with_progress,
)
from app.errors import LabelsError
from app.evaluation import numbers as whole
from app.evaluation.labels import Row, leave_out_ambiguous, read_labels
from app.evaluation.mistakes_sheet import draw_mistakes
from app.evaluation.report import Report, Result, find_mistakes, run, summarise, write_predictions
from app.evaluation.tables import print_report
from app.reading.reader import Reader
from app.settings import Settings


def evaluate(
    folder: Annotated[Path, typer.Argument(help="Folder of pictures, with a labels.csv.")],
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for report.json, predictions.csv and, without --numbers, mistakes.png; created if missing."),
    ] = None,
    numbers: Annotated[
        bool, typer.Option("--numbers", help="Reads all digits; labels are strings, their lines separated by '/'.")
    ] = False,
    ambiguous: Annotated[bool, typer.Option("--ambiguous", help="Also counts pictures whose notes say 'ambiguous'.")] = False,
    as_json: AsJson = None,
    model_version: ModelVersion = None,
    provider: ProviderOption = None,
) -> None:
    """Measures how well your own pictures are read. A labels.csv with the columns path and label says what they show.

    Exits with 1 if a listed file is missing or cannot be opened; the figures are of the others. A picture that is read
    wrongly, or is damaged, is a mistake in the figures, not a failure.
    """
    check_folder(output)
    settings = read_settings(model_version=model_version, provider=provider)
    try:
        every = read_labels(folder)
        rows = every if ambiguous else leave_out_ambiguous(every)
        if output:
            output.mkdir(parents=True, exist_ok=True)  # before the work that would be lost
        if numbers:
            _evaluate_numbers(settings, folder, rows, output, as_json=wants_json(as_json))
            return
        with opened(settings) as reader:
            results = list(with_progress(run(reader, folder, rows, settings), len(rows)))
            report = summarise(results, reader, folder, len(every) - len(rows))
            if output:
                _write_report(report, results, output, reader, settings)
    except (LabelsError, OSError) as error:
        fail(str(error))
    if wants_json(as_json):
        typer.echo(report.to_json(), nl=False)
    else:
        print_report(report, Console(emoji=False))
    _end_if_missing(len(report.missing))


def _evaluate_numbers(settings: Settings, folder: Path, rows: list[Row], output: Path | None, *, as_json: bool) -> None:
    strings = [row for row in rows if whole.is_string(row)]
    with opened(settings) as reader:
        readings = whole.run(reader, folder, strings, settings.max_digits, settings)
        results = list(with_progress(readings, len(strings)))
        report = whole.summarise(results, reader, folder, len(rows) - len(strings))
    if output:
        (output / "report.json").write_text(report.to_json(), encoding="utf-8")
        whole.write_predictions(results, output / "predictions.csv")
    if as_json:
        typer.echo(report.to_json(), nl=False)
    else:
        whole.print_report(report, Console(emoji=False))
    _end_if_missing(len(report.missing))


def _end_if_missing(count: int) -> None:
    """Says how many of the listed files could not be opened, and exits with 1 if there are any."""
    if count:
        files = plural(count, "listed file is", "listed files are")
        fail(f"{files} missing or cannot be opened, and not in the figures.", status=1)


def _write_report(report: Report, results: list[Result], output: Path, reader: Reader, settings: Settings) -> None:
    (output / "report.json").write_text(report.to_json(), encoding="utf-8")
    write_predictions(results, output / "predictions.csv")
    model, score = report.model, report.overall.score
    mistakes, digits = plural(score.of - score.count, "mistake", "mistakes"), plural(score.of, "digit", "digits")
    title = f"{model['name']}/{model['version']}: {mistakes} in {digits}, the surest first"
    sheet = draw_mistakes(find_mistakes(results), Path(report.folder), reader.decoder, title, settings)
    sheet.save(output / "mistakes.png")
