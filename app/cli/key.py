"""``numeral key``: makes an API key."""

from typing import Annotated

import typer
from pydantic import ValidationError

from app.cli.common import fail
from app.web.access.keys import make_key


def key(
    name: Annotated[str, typer.Argument(help="Owner of the key: letters, digits, dots, dashes and underscores.")],
    role: Annotated[str, typer.Option(help="predict, or admin; an admin may also change the model.")] = "predict",
) -> None:
    """Makes an API key. Prints the key, which is stored nowhere else, and the line to give to the service."""
    try:
        secret, kept = make_key(name, role)  # type: ignore[arg-type]  # validated there
    except ValidationError as error:
        fail(f"{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}")
    typer.echo(f"# API key of {name}: {secret}", err=True)
    typer.echo(kept)
