"""How pictures of one digit are read by what somebody might use instead: a tutorial's way, Tesseract, RapidOCR.

A folder is as benchmarks.accuracy.labelled describes it; pictures of kind ``photo`` and ``canvas`` count. Each way gets the
same file, but a picture that is turned or transparent is handed to others upright and on white, in a file of its format. So
all pay for the same decoding. Only digits of an answer count.

    apt-get install tesseract-ocr
    python -m venv /tmp/rapidocr && /tmp/rapidocr/bin/pip install rapidocr_onnxruntime
    python -m training train --model cnn
    python -m benchmarks.accuracy.alternatives FOLDER … --rapidocr /tmp/rapidocr/bin/python --tutorial runs/cnn-0
"""

import io
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Annotated

import numpy as np
import torch
import typer
from PIL import Image, ImageOps

from app.errors import NumeralError
from app.reading.reader import Reader
from benchmarks.accuracy.labelled import SINGLE, Labelled, load_labels
from benchmarks.accuracy.rapidocr_side import ask_rapidocr, digits_of
from training.learning.checkpoints import load_checkpoint, load_config
from training.learning.evaluate import infer

BRIGHT = 127.5  # a picture whose mean is above it is taken for dark ink on a light ground
GLYPH = (28, 28)
EVERYBODYS = ("JPEG", "PNG")  # formats that each way reads
ORIENTATION, UPRIGHT = 0x0112, 1  # a tag of EXIF
QUALITY = 95  # of a JPEG that is written anew
TESSERACT = ("stdout", "--psm", "10", "-c", "tessedit_char_whitelist=0123456789")  # one character, a digit

Way = Callable[[Path], str]  # a picture's file -> the digits that were read


@dataclass(frozen=True)
class Column:
    """What one way reads: a text a picture, and CPU seconds for all of them."""

    name: str
    texts: Sequence[str]
    seconds: float


def read_ours(reader: Reader) -> Way:
    """Reads a file as ``/predict`` does."""

    def read(path: Path) -> str:
        try:
            return str(reader.read(path.read_bytes()).digit)
        except NumeralError:
            return ""

    return read


def read_as_tutorials_do(run: Path) -> Way:
    """Grey, inverted where it is bright, resized to 28×28 whatever its shape, and shown to the network of a run.

    Raises:
        TrainingError: as load_config.
    """
    network = load_checkpoint(run / "model.pth", load_config(run).model)

    def read(path: Path) -> str:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("L").resize(GLYPH, Image.Resampling.BILINEAR))
        glyph = 255 - pixels if pixels.mean() > BRIGHT else pixels
        return str(int(infer(network, torch.from_numpy(glyph[np.newaxis].copy())).argmax()))

    return read


def read_by_tesseract(program: str) -> Way:
    """Starts Tesseract for one picture, told that it shows one digit."""

    def read(path: Path) -> str:
        done = subprocess.run([program, path, *TESSERACT], capture_output=True, text=True, check=False)  # noqa: S603
        return digits_of(done.stdout)

    return read


def cpu_seconds() -> float:
    """CPU time of this process and of those that it started and that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return process_time() + children.ru_utime + children.ru_stime


def ask(name: str, way: Way, files: Sequence[Path]) -> Column:
    """Reads all files one way."""
    began = cpu_seconds()
    texts = [way(file) for file in files]
    return Column(name, texts, cpu_seconds() - began)


def write_plain(picture: Labelled, folder: Path, number: int) -> Path:
    """The picture's own file, if others see in it what a person sees; else the picture in a new one, upright, on white.

    A new file is a JPEG where the picture's is one, so that reading it takes as long, and a PNG otherwise.
    """
    with Image.open(io.BytesIO(picture.path.read_bytes())) as image:
        kind, turned = str(image.format), image.getexif().get(ORIENTATION, UPRIGHT) != UPRIGHT
        if kind in EVERYBODYS and not turned and not image.has_transparency_data:
            return picture.path
        upright = ImageOps.exif_transpose(image).convert("RGBA")
    sheet = Image.new("RGBA", upright.size, "white")
    path = folder / f"{number}.{'jpg' if kind == 'JPEG' else 'png'}"
    Image.alpha_composite(sheet, upright).convert("RGB").save(path, quality=QUALITY)
    return path


def describe(column: Column, pictures: Sequence[Labelled]) -> str:
    """A row of the table: how many photos and drawings were read rightly, and the CPU time of each."""
    answers = list(zip(pictures, column.texts, strict=True))
    cells = []
    for kind in SINGLE:
        right = [text == picture.label for picture, text in answers if picture.kind == kind]
        cells.append(f"{sum(right)} of {len(right)} ({sum(right) / max(len(right), 1):.1%})")
    return f"| {column.name} | {' | '.join(cells)} | {1000 * column.seconds / len(pictures):.1f} ms |"


def ask_all(pictures: Sequence[Labelled], reader: Reader, tutorial: Path | None, rapidocr: Path | None) -> Iterator[Column]:
    """Reads the pictures each way that is there, ours first."""
    yield ask("Numeral", read_ours(reader), [picture.path for picture in pictures])
    with TemporaryDirectory() as place:
        files = [write_plain(picture, Path(place), number) for number, picture in enumerate(pictures)]
        if tutorial:
            yield ask("the tutorial's way", read_as_tutorials_do(tutorial), files)
        if program := shutil.which("tesseract"):
            yield ask("Tesseract, one digit", read_by_tesseract(program), files)
        if rapidocr:
            names = [str(file) for file in files]
            lines = ask_rapidocr(rapidocr, [], [[name] for name in names])
            yield Column("RapidOCR's recogniser alone", lines.lines, lines.seconds)
            whole = ask_rapidocr(rapidocr, names, [])
            yield Column("RapidOCR, its own detector", whole.whole, whole.seconds)


def run(
    folders: Annotated[list[Path], typer.Argument(help="Folders with labels.csv.", exists=True, file_okay=False)],
    rapidocr: Annotated[Path | None, typer.Option(help="Python of an environment with rapidocr_onnxruntime.")] = None,
    tutorial: Annotated[Path | None, typer.Option(help="Run of the tutorial's network.")] = None,
    every: Annotated[int, typer.Option(help="Reads only one picture of so many, where time is short.", min=1)] = 1,
    store: Annotated[Path, typer.Option(help="The model store.")] = Path("model_store"),
) -> None:
    """Reads pictures of one digit each way that is there, and prints a table, a row as soon as it is known."""
    torch.set_num_threads(1)
    pictures = [picture for folder in folders for picture in load_labels(folder) if picture.kind in SINGLE][::every]
    print(f"| read by | {' | '.join(SINGLE)} | CPU a picture |\n|---|{'---|' * len(SINGLE)}---|")  # noqa: T201
    for column in ask_all(pictures, Reader.load(store), tutorial, rapidocr):
        print(describe(column, pictures), flush=True)  # noqa: T201


if __name__ == "__main__":
    typer.run(run)
