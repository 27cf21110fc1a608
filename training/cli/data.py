"""``data`` and ``scenes``: fetches and checks the data sets, and draws made scenes."""

from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

from training.cli.common import DataDir, Smoke, console
from training.data.contact_sheet import draw_sheet
from training.data.fonts import load_fonts
from training.data.hands import Hands
from training.data.pen_strokes import load_strokes
from training.data.run_data import load_mnist
from training.data.scenes import GROUPS, KIND_NAMES, make_scene
from training.data.unipen import SOURCE as UNIPEN_SOURCE
from training.data.unipen import SPLITS, find_unipen, prepare_unipen
from training.errors import DataError
from training.publishing.plots import plot_samples


def data(
    data_dir: DataDir = Path("data"),
    samples: Annotated[Path, typer.Option(help="Picture to draw.")] = Path("runs/samples.png"),
    unipen: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the UNIPEN collection as it is distributed, or of its prepared arrays; kept for training."
        ),
    ] = None,
    smoke: Smoke = False,
) -> None:
    """Fetches MNIST, pen strokes and fonts where they are missing, reads UNIPEN, checks all, and draws samples of MNIST."""
    digits = load_mnist(data_dir, smoke=smoke)
    samples.parent.mkdir(parents=True, exist_ok=True)
    plot_samples(digits.train, samples)
    sizes = f"{len(digits.train):,} to train, {len(digits.validation):,} to validate, {len(digits.test):,} to test"
    console.print(f"MNIST in {data_dir} is complete: {sizes}. Samples: {samples}")
    if not smoke:
        strokes = load_strokes(data_dir)
        writers = len({digit.writer for digit in strokes})
        console.print(f"Pen strokes in {data_dir / 'strokes'} are complete: {len(strokes):,} digits of {writers} writers.")
        console.print(_describe_unipen(data_dir, unipen))
        console.print(_describe_fonts(data_dir))


def _describe_unipen(data_dir: Path, given: Path | None) -> str:
    path = given or find_unipen(data_dir)
    if path is None:
        return f"UNIPEN is not there: training goes on without it. --unipen reads it from a folder; it is at {UNIPEN_SOURCE}."
    both = prepare_unipen(path, data_dir)
    writers = len({*both.digits.writer.tolist(), *both.others.writer.tolist()})
    return f"UNIPEN is ready: {len(both.digits):,} digits, {len(both.others):,} letters and signs, by {writers} writers."


def _describe_fonts(data_dir: Path) -> str:
    try:
        fonts = load_fonts(data_dir)
    except DataError as error:
        return f"Fonts are not complete. Made scenes need them; only MNIST's recipe, plain, does without. {error}"
    return f"Fonts in {data_dir / 'fonts'} are complete: {len(fonts)}."


def scenes(
    show: Annotated[Path, typer.Option(help="Picture to draw.")],
    split: Annotated[str, typer.Option(help=f"Whose hands write: {', '.join(SPLITS)}.")] = "train",
    count: Annotated[int, typer.Option(help="Scenes.", min=1)] = 96,
    seed: Annotated[int, typer.Option(help="Of the first scene; the others follow.", min=0)] = 0,
    only: Annotated[list[str] | None, typer.Option(help=f"Kind that may come up: {', '.join(KIND_NAMES)}.")] = None,
    without: Annotated[list[str] | None, typer.Option(help=f"Group to leave out: {', '.join(GROUPS)}.")] = None,
    second_look: Annotated[bool, typer.Option("--second-look", help="What the finder's second look sees.")] = False,
    truth: Annotated[bool, typer.Option(help="Draw boxes, labels and ink.")] = True,
    fonts: Annotated[bool, typer.Option(help="Let fonts write too.")] = True,
    data_dir: DataDir = Path("data"),
) -> None:
    """Draws a sheet of made scenes with their truth, to look at next to real pictures."""
    for given, known, hint in (([split], SPLITS, "--split"), (only, KIND_NAMES, "--only"), (without, GROUPS, "--without")):
        if unknown := set(given or ()) - set(known):
            raise typer.BadParameter(f"{', '.join(sorted(unknown))}: none of {', '.join(known)}", param_hint=hint)
    hands = Hands.load(data_dir, split, find_unipen(data_dir), with_fonts=fonts)
    kinds, left_out = frozenset(only) if only else None, frozenset(without or ())
    made = [make_scene(seed + index, hands, kinds, left_out, second_look=second_look) for index in range(count)]
    show.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draw_sheet(made, truth=truth)).save(show)
    console.print(f"{show}: {count} scenes of {split}, {', '.join(sorted(hands.sources))} writing.")
