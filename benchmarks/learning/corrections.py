"""Shows the whole circle with figures: writers who are read badly correct their digits, and a new version learns from them.

    python -m benchmarks.learning.corrections

Of UNIPEN's validation writers, those whom the served version reads worst send half of their digits, every other one of each
label, and say over HTTP what they are. An administrator accepts all of it, `python -m training learn` makes a version, and it
is activated while others send pictures. Then both versions read the writers' other digits, by which nobody was chosen, and
MNIST's test set. It works in a folder of its own.

`learn` holds a tenth of all clients out as a whole, by chance. The table says which writers are among them, if any: their
digits show whether others gain, too.
"""

import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from subprocess import run
from tempfile import TemporaryDirectory
from threading import Event
from typing import Annotated, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from app.reading.infer.record import FOLDERS
from app.reading.infer.store import MODEL_STORE, SERVED, find_model, versions
from app.settings import Settings
from app.web.access.keys import make_key
from benchmarks.serving.client import get
from benchmarks.serving.server import serve
from training.data.corrections import load_corrections, to_lessons
from training.data.hands import Hands, Penmen
from training.data.mnist import load_digits
from training.data.scenes import make_scene
from training.data.unipen import find_unipen
from training.publishing.gate import Pixels, Samples, compare
from training.publishing.publish import NAME, REPORT
from training.publishing.readers import by_service, mnist_samples

LEAST = 40  # digits that a writer must have written
MOST = 80  # of a writer's digits, half of which are corrected
FIRST_SEED = 9_000_000  # of scenes that nothing else is made of
UNREADABLE = 422  # the status of a picture without a digit

console = Console(soft_wrap=True)


@dataclass(frozen=True)
class Writer:
    """A writer's digits as pictures (H, W, 3), and what they are."""

    name: str
    pictures: Sequence[Pixels]
    labels: NDArray[np.int64]

    @property
    def half(self) -> int:
        """How many are corrected; the others are read before and after."""
        return (len(self.labels) + 1) // 2


@dataclass(frozen=True)
class Asked:
    """An answer that a writer got: its id, the digit that was read, and the one that was written."""

    writer: str
    id: str
    digit: int
    truth: int


def main(
    data_dir: Annotated[Path, typer.Option(help="Folder of the data sets, with UNIPEN.")] = Path("data"),
    store: Annotated[Path, typer.Option(help="The model store to begin with; it is copied.")] = MODEL_STORE,
    count: Annotated[int, typer.Option(help="Writers.", min=2)] = 12,
    among: Annotated[int, typer.Option(help="Writers that they are the worst of.", min=2)] = 80,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="A training of seconds, to see that it works; no figure counts.")
    ] = False,
) -> None:
    """Prints the figures as Markdown."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        own = copy_store(store, folder / "store")
        writers = worst_writers(own, data_dir, count, among)
        began = time.monotonic()
        told = correct_and_learn(own, folder, writers, ["--data-dir", str(data_dir), *(["--smoke"] if smoke else [])])
        console.print(f"\n{told}\n\nIn all {(time.monotonic() - began) / 60:.1f} minutes.")
        learned = {name.removeprefix("key ") for name in to_lessons(load_corrections(folder / "data", Settings())).by_client}
        print_table(own, data_dir, writers, learned)


def copy_store(store: Path, target: Path) -> Path:
    """The served version alone, in a store of its own."""
    served = find_model(store, NAME, SERVED).record.version
    for folder in (each.format(NAME) for each in FOLDERS.values()):
        shutil.copytree(store / folder / served, target / folder / served)
    (target / NAME / SERVED).write_text(f"{served}\n", encoding="ascii")
    return target


def worst_writers(store: Path, data_dir: Path, count: int, among: int) -> list[Writer]:
    """The validation writers whose digits the served version reads worst."""
    hands = Hands.load(data_dir, "validation", find_unipen(data_dir))
    penmen = hands.sources["unipen"]
    if not isinstance(penmen, Penmen):
        raise typer.BadParameter("UNIPEN is not there", param_hint="--data-dir")
    names, digits = np.unique(penmen.writers, return_counts=True)
    chosen = [int(name) for name, number in zip(names, digits, strict=True) if number >= LEAST][:among]
    read = by_service(find_model(store, NAME, SERVED))
    writers = [draw(hands, penmen, name, MOST) for name in chosen]
    wrong = [float((read(each.pictures[: each.half])[0] != each.labels[: each.half]).mean()) for each in writers]
    worst = sorted(range(len(writers)), key=lambda at: -wrong[at])[:count]
    shares = ", ".join(f"{wrong[at]:.0%}" for at in worst)
    console.print(f"Of {len(chosen)} writers, the worst {count} have {shares} of the digits misread that they will correct.")
    return [writers[at] for at in worst]


def draw(hands: Hands, penmen: Penmen, name: int, most: int) -> Writer:
    """Canvases of a writer's digits: every other one of each label, then the rest, so that both halves have all habits."""
    places = np.flatnonzero(penmen.writers == name)[:most]
    scenes = [make_scene(FIRST_SEED + int(at), hands.writing(penmen.write(int(at))), frozenset({"canvas"})) for at in places]
    fitting = sorted((scene for scene in scenes if len(scene.digits) == 1), key=lambda scene: scene.digits[0].label)
    ordered = fitting[::2] + fitting[1::2]
    return Writer(f"writer-{name}", [scene.pixels for scene in ordered], np.array([scene.digits[0].label for scene in ordered]))


class Keys:
    """A key for each writer and one for the administrator: secrets by name, and the service's setting."""

    def __init__(self, writers: Sequence[Writer]) -> None:
        made = {writer.name: make_key(writer.name, "predict") for writer in writers} | {"admin": make_key("admin", "admin")}
        self.secrets = {name: secret for name, (secret, _) in made.items()}
        self.setting = ",".join(str(kept) for _, kept in made.values())


def correct_and_learn(store: Path, folder: Path, writers: Sequence[Writer], options: Sequence[str]) -> str:
    """Corrections over HTTP, their review, the new version, and its activation under load; options: of learn."""
    keys = Keys(writers)
    environment = {
        "NUMERAL_MODEL_STORE": str(store),
        "NUMERAL_KEEP": "glyphs",
        "NUMERAL_DATA_DIR": str(folder / "data"),
        "NUMERAL_API_KEYS": keys.setting,
        "NUMERAL_CORRECTION_LIMIT": "100000/minute",
        "NUMERAL_LOG_LEVEL": "warning",
    }
    command = [sys.executable, "-m", "app", "serve", "--port", "{port}"]
    with serve(command, get("/health/ready"), os.sched_getaffinity(0), environment, folder / "log") as server:

        def call(who: str, path: str, body: bytes | None = None) -> Any:
            headers = {"X-API-Key": keys.secrets[who], "Content-Type": "application/octet-stream"}
            request = Request(f"http://127.0.0.1:{server.port}{path}", body, headers)
            with urlopen(request) as answer:  # noqa: S310
                return json.load(answer)

        wrong = correct(call, writers)
        waiting = call("admin", "/admin/corrections?status=new&most=1000")["corrections"]
        for each in waiting:
            review = json.dumps({"truth": each["truth"], "status": "accepted"})
            call("admin", f"/admin/corrections/{each['id']}", review.encode())
        told = learn(store, folder, options)
        newest = max(versions(store, NAME), key=int)
        statuses = activate_under_load(call, writers[0], newest)
    return (
        f"{len(waiting)} corrections, {wrong} of them of wrong answers. {told}\n"
        f"Version {newest} was activated while {sum(statuses.values())} pictures were read: {statuses}."
    )


def correct(call: Any, writers: Sequence[Writer]) -> int:
    """Sends half of each writer's digits and says what each is; tells how many were misread.

    All are sent first: a correction of an answer that is not written yet would wait a second for it.
    """
    asked = [each for writer in writers for each in ask(call, writer)]
    for each in asked:
        call(each.writer, "/corrections", json.dumps({"id": each.id, "truth": each.truth}).encode())
    return sum(each.digit != each.truth for each in asked)


def ask(call: Any, writer: Writer) -> list[Asked]:
    """Sends half of a writer's digits; a picture in which no digit is found has no answer to correct."""
    asked = []
    for picture, label in zip(writer.pictures[: writer.half], writer.labels[: writer.half].tolist(), strict=True):
        try:
            answer = call(writer.name, "/predict", png(picture))
        except HTTPError as error:
            if error.code != UNREADABLE:
                raise
        else:
            asked.append(Asked(writer.name, answer["id"], answer["digit"], label))
    return asked


def learn(store: Path, folder: Path, options: Sequence[str]) -> str:
    """Runs the training; says what it took and what it said last. A candidate that fails is promoted, for the table."""
    training, places = [sys.executable, "-m", "training"], ["--store", str(store)]
    began, cpu = time.monotonic(), cpu_of_children()
    folders = {"corrections": "data", "candidates": "candidates", "run": "run"}
    arguments = [each for name, path in folders.items() for each in (f"--{name}", str(folder / path))]
    done = run([*training, "learn", *arguments, *places, *options], check=True, capture_output=True, text=True)  # noqa: S603
    minutes, cpu = (time.monotonic() - began) / 60, (cpu_of_children() - cpu) / 60
    for candidate in (folder / "candidates").glob(f"{NAME}-*"):
        run([*training, "promote", str(candidate), *places], check=True)  # noqa: S603
    newest = find_model(store, NAME, max(versions(store, NAME), key=int))
    console.print((newest.folder / REPORT).read_text(encoding="utf-8"))
    return f"learn took {minutes:.1f} minutes, {cpu:.1f} of CPU: {' '.join(done.stdout.splitlines()[-3:])}"


def cpu_of_children() -> float:
    """Seconds that processes took which this one has started and waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def activate_under_load(call: Any, writer: Writer, version: str) -> dict[str, int]:
    """Activates a version while pictures are sent; the answers by version, and failures."""
    done = Event()

    def send() -> Iterator[str]:
        while not done.is_set():
            try:
                yield f"version {call(writer.name, '/predict', png(writer.pictures[0]))['model']['version']}"
            except HTTPError as error:
                yield f"status {error.code}"

    with ThreadPoolExecutor(4) as pool:
        sending = [pool.submit(lambda: list(send())) for _ in range(4)]
        time.sleep(1)
        call("admin", f"/admin/models/{version}/activate", b"")
        time.sleep(1)
        done.set()
        answers = [answer for each in sending for answer in each.result()]
    return {answer: answers.count(answer) for answer in sorted(set(answers))}


def print_table(store: Path, data_dir: Path, writers: Sequence[Writer], learned: Set[str]) -> None:
    """What both versions read of the writers' other digits, and of MNIST's test set; learned: the writers not held out."""
    before, after = (by_service(find_model(store, NAME, number)) for number in sorted(versions(store, NAME), key=int)[-2:])
    groups = {
        "those that it learned from": [writer for writer in writers if writer.name in learned],
        "those that were held out": [writer for writer in writers if writer.name not in learned],
        "all writers": writers,
    }
    rows = [others(f"{writer.name}{'' if writer.name in learned else ', held out'}", [writer]) for writer in writers]
    rows += [others(name, group) for name, group in groups.items() if group]
    console.print("| pictures | of | before | after | chance |\n|---|---|---|---|---|")
    for each in (*rows, mnist_samples(load_digits(data_dir).test, 10_000)):
        result = compare(each, after, before).read
        shares = (f"{count / result.of:.2%}" for count in (result.served, result.candidate))
        console.print(f"| {each.name} | {result.of:,} | {' | '.join(shares)} | {result.chance:.2g} |")


def others(name: str, writers: Sequence[Writer]) -> Samples:
    """The digits of writers that nobody corrected."""
    pictures = [picture for writer in writers for picture in writer.pictures[writer.half :]]
    return Samples(name, pictures, np.concatenate([writer.labels[writer.half :] for writer in writers]))


def png(picture: Pixels) -> bytes:
    """A picture as a file."""
    file = BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


if __name__ == "__main__":
    typer.run(main)
