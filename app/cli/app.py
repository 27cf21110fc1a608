"""The command ``numeral``. Each subcommand has a module of its own and calls the same functions as the routes."""

import typer

from app.cli.corrections import corrections
from app.cli.evaluate import evaluate
from app.cli.explain import explain
from app.cli.key import key
from app.cli.predict import predict
from app.cli.serve import serve

cli = typer.Typer(help="Reads handwritten digits.", no_args_is_help=True, add_completion=False)
for command in (serve, key, predict, explain, evaluate):
    cli.command()(command)
cli.add_typer(corrections, name="corrections")


def main() -> None:
    """Entry point of the command ``numeral``."""
    cli()
