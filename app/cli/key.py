"""``numeral key``: makes an API key."""

from typing import Annotated

import typer
from pydantic import ValidationError

from app.web.access.keys import make_key


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
