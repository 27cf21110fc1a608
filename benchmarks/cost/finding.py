"""Measures what decoding a picture and finding its digit cost: ``make finding``. CPU time, one thread, no network.

The pictures are drawn by code and read in turns, so that a busy machine slows all of them alike.
"""

from collections.abc import Callable
from time import process_time
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from app.reading.decode import opencv
from app.reading.decode.picture import decode
from app.reading.find.steps import find_digits
from app.runtime.loading import load_model
from app.settings import Settings
from benchmarks.cost.timing import quartiles
from benchmarks.pictures import canvas, encode, photo

PICTURES: dict[str, Callable[[], bytes]] = {
    "28×28 drawing, PNG": lambda: encode(canvas(5, size=28, pen=2)),
    "280×280 canvas, PNG": lambda: encode(canvas(5)),
    "280×280 transparent canvas, PNG": lambda: encode(canvas(5, ground=None)),
    "640×480 photo, JPEG": lambda: encode(photo(7), "JPEG", quality=90),
    "12 megapixel photo, JPEG": lambda: encode(photo(7, (4000, 3000), pen=40), "JPEG", quality=90),
}

Milliseconds = dict[str, tuple[list[float], list[float]]]  # of decoding and of finding, by picture, a turn each


def measure(turns: int) -> Milliseconds:
    """CPU time of every picture in every turn; one turn before is not counted."""
    settings = Settings()
    finder = load_model(settings).finder
    pictures = {name: make() for name, make in PICTURES.items()}
    times: Milliseconds = {name: ([], []) for name in pictures}
    for turn in range(turns + 1):
        for name, data in pictures.items():
            started = process_time()
            picture = decode(data, settings)
            decoded = process_time()
            find_digits(finder, picture)
            found = process_time()
            if turn:
                times[name][0].append(1000 * (decoded - started))
                times[name][1].append(1000 * (found - decoded))
    return times


def run(turns: Annotated[int, typer.Option(help="How often each picture is read.", min=1)] = 100) -> None:
    """Prints the median and the quartiles of decoding and finding, in milliseconds of CPU time."""
    opencv.tune()
    table = Table("picture", "decode (ms)", "find (ms)", "both (ms)")
    for name, (decoding, finding) in measure(turns).items():
        both = [sum(pair) for pair in zip(decoding, finding, strict=True)]
        table.add_row(name, *(_describe(values) for values in (decoding, finding, both)))
    Console(highlight=False).print(table)


def _describe(values: list[float]) -> str:
    low, middle, high = quartiles(np.array(values))
    return f"{middle:.2f} ({low:.2f}–{high:.2f})"


if __name__ == "__main__":
    typer.run(run)
