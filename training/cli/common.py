"""Shared by the commands: the terminal, and the options that several of them have."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

console = Console(highlight=False, soft_wrap=True)

DataDir = Annotated[Path, typer.Option(help="Folder of the data sets; MNIST lies in its MNIST/raw.", envvar="NUMERAL_DATA_DIR")]
Run = Annotated[Path, typer.Option(help="The run's folder.")]
Store = Annotated[Path, typer.Option(help="The model store.")]
Candidates = Annotated[Path, typer.Option(help="Folder of candidates, which no server loads.")]
HandSets = Annotated[Path | None, typer.Option(help="Other hands to compare by: .npz files with x and y.")]
Pictures = Annotated[
    list[Path] | None, typer.Option(help="A folder of one's own pictures with labels.csv; may be given several times.")
]
Force = Annotated[str | None, typer.Option(help="The candidate's name, to publish it whatever the gate says.")]
Smoke = Annotated[
    bool, typer.Option(help="A few seconds on a few digits, to see that everything works; no figure of it counts.")
]
