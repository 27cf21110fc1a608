"""What each group of scenes, each source of hands, the finder's width, its input's size and its loss are worth.

Short runs of one seed. Digits under five pixels of the input are not asked for, so a larger input is asked for more of them.

Every run is judged on the same validation scenes, from which nothing is left out; the test set is not looked at. Runs are
kept in runs/finding, and one that has ended is not trained again. One that was interrupted begins anew, since nothing is saved
before its end.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from lightning_fabric import Fabric
from rich.console import Console

from training.data.dice import GROUPS
from training.data.scenes import INPUT
from training.data.unipen import find_unipen
from training.errors import TrainingError
from training.learning import finder_loss
from training.learning.checkpoints import load_checkpoint
from training.learning.config import SOURCES, TrainConfig
from training.learning.finder import FINDERS
from training.learning.finder_task import FinderTask, judge_by_kind
from training.learning.loop import train
from training.learning.recipes import RECIPES
from training.learning.sources import VALIDATION_SCENES, Sources

RUNS = Path("runs/finding")
NOTHING = "nothing"
KINDS = ("all", "photo", "canvas", "row", "second look")
FIGURES = ("told", "ink")

SIDES = (64, 128)  # pixels that the finder is shown, instead of INPUT
LOSSES: Mapping[str, Mapping[str, float]] = {  # constants of finder_loss
    "ink by cross-entropy alone": {"OVERLAP": 0.0},
    "ink weighs as much as ground": {"INK_WEIGHT": 1.0},
    "centres by cross-entropy": {"FOCUS": 0},
}

Figures = Mapping[str, Mapping[str, float]]  # by kind of scene, as finder_task.SceneFigures


@dataclass(frozen=True)
class Variant:
    """What a row trains. side: pixels that the finder is shown; loss: constants of finder_loss and what they are instead."""

    config: TrainConfig
    side: int = INPUT
    loss: Mapping[str, float] = field(default_factory=dict)


def plan(recipe: TrainConfig) -> dict[str, Variant]:
    """The recipe as it is; less each group and each source; with each other network, size of the input, and loss."""
    return {
        NOTHING: Variant(recipe),
        **{f"without {name}": Variant(replace(recipe, without=(name,))) for name in (*GROUPS, *SOURCES)},
        **{name: Variant(replace(recipe, model=name)) for name in FINDERS if name != recipe.model},
        **{f"{side} pixels": Variant(recipe, side=side) for side in SIDES},
        **{name: Variant(recipe, loss=constants) for name, constants in LOSSES.items()},
    }


def run_one(variant: Variant, sources: Sources, run: Path, device: str = "cpu") -> Figures:
    """Trains a variant, unless that was done, and judges it on validation.

    Raises:
        TrainingError: as Sources.scenes and train.
    """
    config, side = variant.config, variant.side
    scenes = sources.scenes("train", config.scenes, _silent, without=config.without, side=side)
    validation = sources.scenes("validation", VALIDATION_SCENES, _silent, side=side)
    fabric = Fabric(accelerator=device, devices=1)
    task = FinderTask(config, scenes, validation, fabric.device)
    with _instead(variant.loss):
        train(config, task, run, fabric, lambda *_: None, resume=(run / "config.json").exists())
    return judge_by_kind(load_checkpoint(run / "model.pth", config.model), validation)


@contextmanager
def _instead(constants: Mapping[str, float]) -> Generator[None]:
    """Other constants of the loss."""
    usual = {name: getattr(finder_loss, name) for name in constants}
    try:
        for name, value in constants.items():
            setattr(finder_loss, name, value)
        yield
    finally:
        for name, value in usual.items():
            setattr(finder_loss, name, value)


def _silent(_done: int, _of: int) -> None:
    """Nobody is told how far the scenes are."""


def row(name: str, figures: Figures) -> str:
    """A row of the table, in percent."""
    cells = [f"{100 * figures[kind][figure]:.1f}" if kind in figures else "–" for kind in KINDS for figure in FIGURES]
    return f"| {name} | {' | '.join(cells)} |"


def run(
    only: Annotated[list[str] | None, typer.Option(help="Of the rows, by name; all by default.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    data_dir: Annotated[Path, typer.Option(help="Folder of the data sets.", envvar="NUMERAL_DATA_DIR")] = Path("data"),
) -> None:
    """Trains one after the other, and prints a row for each: digits told and overlap of the ink, in percent, by kind."""
    torch.set_num_threads(1)
    console = Console(highlight=False, soft_wrap=True)
    recipe = replace(RECIPES["finder-fast"], eval_every=10**9)
    console.print(f"| | {' | '.join(f'{kind}, {figure}' for kind in KINDS for figure in FIGURES)} |", markup=False)
    console.print(f"|---|{'---|' * len(KINDS) * len(FIGURES)}", markup=False)
    try:
        for name, variant in plan(recipe).items():
            if only is None or name in only:
                figures = run_one(variant, Sources(data_dir, find_unipen(data_dir)), RUNS / name.replace(" ", "-"), device)
                console.print(row(name, figures), markup=False)
    except TrainingError as error:
        Console(stderr=True).print(str(error), style="red")
        raise typer.Exit(1) from error


if __name__ == "__main__":
    typer.run(run)
