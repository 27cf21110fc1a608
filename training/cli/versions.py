"""``promote``, ``renew``, ``select``, ``strings`` and ``hub``: what is done with a version of the store."""

from pathlib import Path
from typing import Annotated

import typer

from app.reading.infer.store import SERVED, StoredModel, find_model, read_pointer
from training.cli.common import DataDir, Store, console
from training.cli.runs import progress_bar
from training.data.hands import Hands
from training.data.run_data import load_mnist
from training.data.unipen import find_unipen
from training.publishing.candidate import Candidate
from training.publishing.candidate import promote as promote_candidate
from training.publishing.candidate import renew as renew_version
from training.publishing.candidate import select as select_version
from training.publishing.hub import write_hub
from training.publishing.misread import SCENES, show_misread
from training.publishing.publish import CARD, NAME
from training.publishing.strings import fit_version


def strings(
    version: Annotated[str, typer.Argument(help="Version in the store.")],
    count: Annotated[int, typer.Option(help="Scenes to fit to.", min=100)] = 1500,
    store: Store = Path("model_store"),
    data_dir: DataDir = Path("data"),
) -> None:
    """Fits how a version weighs strings of digits, and notes it in its record and its card; after it was promoted."""
    hands = Hands.load(data_dir, "validation", find_unipen(data_dir))
    stored = find_model(store, NAME, version)
    with progress_bar() as bar:
        task = bar.add_task("Scenes", total=count)
        weights = fit_version(stored, hands, count, lambda done, _: bar.update(task, completed=done))
        reading = bar.add_task("Numbers for its card", total=SCENES)
        show_misread(find_model(store, NAME, version), data_dir, lambda done: bar.update(reading, completed=done))
    console.print(weights.model_dump_json(indent=2))


def promote(
    folder: Annotated[Path, typer.Argument(help="A candidate.")],
    store: Store = Path("model_store"),
    replace: Annotated[bool, typer.Option("--replace", help="Puts it in the place of a version of its number.")] = False,
) -> None:
    """Makes a candidate a version, whatever the gate said."""
    model = promote_candidate(Candidate.open(folder), store, replace=replace)
    console.print(f"Published {model.folder}. Its card: {model.folder / CARD}")
    tell_what_is_served(model)


def renew(
    version: Annotated[str, typer.Argument(help="The version's number.")],
    store: Store = Path("model_store"),
    data_dir: DataDir = Path("data"),
) -> None:
    """Makes anew what follows from a version's two networks: editions, golden pictures, drift reference, record and card."""
    model = renew_version(store, version, load_mnist(data_dir, smoke=False).validation)
    console.print(f"{model.folder} is renewed: {len(model.record.sha256)} files.")


def select(version: Annotated[str, typer.Argument(help="The version's number.")], store: Store = Path("model_store")) -> None:
    """Makes a version the one that is served from the next start on."""
    model = select_version(store, version)
    console.print(f"{model.title} is served from the next start on: {store / NAME / SERVED} names it.")


def hub(
    version: Annotated[str, typer.Option(help="The version's number; by default the one that is served.")] = SERVED,
    output: Annotated[Path, typer.Option(help="Folder of the repository.")] = Path("dist/hub"),
    store: Store = Path("model_store"),
) -> None:
    """Writes a model repository for Hugging Face, ready to push, with a program that reads a picture."""
    model = find_model(store, NAME, version)
    files = write_hub(model, output, licence=Path("LICENSE"))
    console.print(f"{output}: {model.title}, {len(files)} files. Nothing was sent anywhere.")


def tell_what_is_served(model: StoredModel) -> None:
    """Says whether a version that was just made is the one that is served."""
    served, number = read_pointer(model.store, NAME), model.record.version
    if served == number:
        console.print(f"It is served from the next start on: {model.store / NAME / SERVED} names it.")
    else:
        console.print(f"Version {served} is served as before. To serve this one: python -m training select {number}")
