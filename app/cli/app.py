"""The command ``numeral``. Each subcommand has a module of its own and calls the same functions as the routes."""

import io
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from app import __version__
from app.cli.corrections import corrections
from app.cli.evaluate import evaluate
from app.cli.explain import explain
from app.cli.key import key
from app.cli.predict import predict
from app.cli.read import read
from app.cli.serve import serve

cli = typer.Typer(help="Reads handwritten digits.", no_args_is_help=True, add_completion=False)
for command in (serve, key, predict, read, explain, evaluate):
    cli.command()(command)
cli.add_typer(corrections, name="corrections")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"numeral {__version__}")
        raise typer.Exit


@cli.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Prints the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Reads handwritten digits."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the command ``numeral``. arguments: those of the process unless given."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # else closed, or a test's
            stream.reconfigure(errors="backslashreplace")  # a console may lack a character of a file's name
    cli(arguments)
