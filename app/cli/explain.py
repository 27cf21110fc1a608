"""``numeral explain``: shows step by step how the digit in a picture was found and read."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.common import ModelVersion, ProviderOption, check_ending, opened, read_settings
from app.errors import NoDigitFound, RequestError
from app.evaluation.steps_sheet import describe, draw_steps
from app.reading.batch import Trace


def explain(
    image: Annotated[Path, typer.Argument(help="Picture of one digit.", metavar="IMAGE")],
    output: Annotated[Path, typer.Option(help="PNG file to write the drawing of the steps to.")] = Path("steps.png"),
    model_version: ModelVersion = None,
    provider: ProviderOption = None,
) -> None:
    """Shows how the digit in a picture was found and read, step by step. Exits with 1 if there was none."""
    check_ending(output, ".png")
    settings, trace, prediction = read_settings(model_version=model_version, provider=provider), Trace(), None
    try:
        with opened(settings) as reader:
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
