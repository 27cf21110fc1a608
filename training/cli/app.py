"""``python -m training``: data, train, export, publish and select, in this order, and more around them."""

import typer

from app.errors import NumeralError
from training.cli.data import data, scenes
from training.cli.publish import learn, publish
from training.cli.train import average, export, report, train
from training.cli.versions import hub, promote, renew, select, strings
from training.errors import TrainingError

cli = typer.Typer(
    help="Makes the model: data, then train, export and publish a run. `make train` does these four.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
for command in (data, scenes, train, average, export, publish, learn, strings, promote, renew, select, hub, report):
    cli.command()(command)


def main() -> None:
    """Entry point of ``python -m training``: errors with a remedy end in their message, not in a traceback."""
    try:
        cli()
    except (TrainingError, NumeralError, OSError) as error:
        typer.echo(f"training: {error}", err=True)
        raise SystemExit(1) from error
