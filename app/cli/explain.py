"""``numeral explain``: shows step by step how the digit in a picture was found and read."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from app.cli.common import ModelVersion, ProviderOption, check_ending, fail, opened, read_settings, save_drawing
from app.cli.pictures import read_file, to_refusal
from app.errors import NoDigitFound, RequestError
from app.evaluation.boxes_sheet import describe_number, draw_boxes
from app.evaluation.steps_sheet import describe, draw_steps
from app.reading.trace import Trace
from app.settings import Settings


def explain(
    image: Annotated[str, typer.Argument(help="Picture of one digit; - is standard input.", metavar="IMAGE")],
    output: Annotated[Path, typer.Option(help="PNG file to write the drawing of the steps to.")] = Path("steps.png"),
    numbers: Annotated[bool, typer.Option("--numbers", help="Explains how all digits were read.")] = False,
    model_version: ModelVersion = None,
    provider: ProviderOption = None,
) -> None:
    """Shows how the digit in a picture was found and read, step by step. Exits with 1 if there was none."""
    check_ending(output, ".png")
    settings, trace, prediction = read_settings(model_version=model_version, provider=provider), Trace(), None
    if numbers:
        _explain_number(settings, image, output)
        return
    try:
        with opened(settings) as reader:
            prediction = reader.read(read_file(image, settings), trace=trace)
        words = describe(prediction, trace)
    except NoDigitFound as error:
        words = [f"{error.code}: {error.detail}"]
    except (RequestError, OSError) as error:
        _end(image, error)
    typer.echo("\n".join(words))
    save_drawing(draw_steps(trace, words), output)
    if prediction is None:
        raise typer.Exit(1)


def _end(image: str, error: RequestError | OSError) -> NoReturn:
    """Says why a picture could not be read, and exits with 1."""
    refusal = to_refusal(image, error)
    fail(f"{image}: {refusal['code']}: {refusal['detail']}", status=1)


def _explain_number(settings: Settings, image: str, output: Path) -> None:
    trace = Trace()
    try:
        with opened(settings) as reader:
            reading = reader.read_number(read_file(image, settings), most=settings.max_digits, trace=trace)
    except NoDigitFound as error:
        typer.echo(f"{error.code}: {error.detail}", err=True)
        raise typer.Exit(1) from error
    except (RequestError, OSError) as error:
        _end(image, error)
    assert trace.picture is not None and trace.read is not None  # noqa: PT018, S101  a reading was made of them
    typer.echo("\n".join(describe_number(trace.read)))
    save_drawing(draw_boxes(trace.picture, reading), output)
