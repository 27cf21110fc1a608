"""Measures what reading all digits of a picture costs, as POST /read does. CPU time beyond decoding, one thread, no network.

The pictures are drawn by code and read in turns, so that a busy machine slows all of them alike.
"""

from collections.abc import Callable, Sequence
from statistics import median
from time import process_time
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from app.reading.decode import opencv
from app.reading.decode.picture import decode
from app.reading.numbers.read import NumberOptions, read_number
from app.runtime.loading import load_model
from app.settings import Settings
from benchmarks.pictures import encode, photographed, row, stroke_mask

WIDE, PEN = 0.6, 0.09  # of a digit's height: its width, and the pen's


def page(lines: Sequence[str], height: float, cell: tuple[int, int], *, framed: bool = False) -> Image.Image:
    """A photographed page of digits in cells. height: of a digit; cell: width and height, all in pixels."""
    return photographed(np.concatenate([_line(line, height, cell, framed=framed) for line in lines]))


def _line(line: str, height: float, cell: tuple[int, int], *, framed: bool) -> NDArray[np.uint8]:
    return np.concatenate([_cell(int(digit), height, cell, framed=framed) for digit in line], axis=1)


def _cell(digit: int, height: float, cell: tuple[int, int], *, framed: bool) -> NDArray[np.uint8]:
    x, y = cell[0] / 2, cell[1] / 2
    ink = stroke_mask(digit, cell, (x - WIDE * height / 2, y - height / 2, x + WIDE * height / 2, y + height / 2), PEN * height)
    if framed:
        ink = ink.copy()
        ink[:2] = ink[:, :2] = 255
    return ink


def drawn_lines(rows: int, columns: int) -> list[str]:
    """Lines of digits, drawn by lot, the same each time."""
    rng = np.random.default_rng(rows * columns)
    return ["".join(map(str, line)) for line in rng.integers(0, 10, (rows, columns)).tolist()]


def row_of_eight() -> bytes:
    """A JPEG of 760×200 pixels."""
    return encode(page(drawn_lines(1, 8), 110, (95, 200)), "JPEG", quality=90)


def page_of_cells() -> bytes:
    """A JPEG of 900×900 pixels, nine rows of nine framed digits."""
    return encode(page(drawn_lines(9, 9), 60, (100, 100), framed=True), "JPEG", quality=90)


PICTURES: dict[str, Callable[[], bytes]] = {
    "row of 8 digits, PNG": lambda: encode(row("35207148", 24, 760)),
    "row of 8 digits, JPEG": row_of_eight,
    "page of 81 cells, JPEG": page_of_cells,
    "page of 150 small digits, JPEG": lambda: encode(page(drawn_lines(15, 10), 40, (200, 200)), "JPEG", quality=90),
}


def measure(turns: int) -> dict[str, list[float]]:
    """Milliseconds of CPU time beyond decoding, by picture, a turn each; one turn before is not counted."""
    settings = Settings()
    model = load_model(settings)
    pictures = {name: decode(make(), settings) for name, make in PICTURES.items()}
    times: dict[str, list[float]] = {name: [] for name in pictures}
    for turn in range(turns + 1):
        for name, picture in pictures.items():
            started = process_time()
            read_number(model, picture, NumberOptions())
            if turn:
                times[name].append(1000 * (process_time() - started))
    return times


def run(turns: Annotated[int, typer.Option(help="How often each picture is read.", min=1)] = 20) -> None:
    """Prints the median and the range, in milliseconds of CPU time."""
    opencv.tune()
    table = Table("picture", "CPU beyond decoding (ms)")
    for name, values in measure(turns).items():
        table.add_row(name, f"{median(values):.1f} ({min(values):.1f}–{max(values):.1f})")
    Console(highlight=False).print(table)


if __name__ == "__main__":
    typer.run(run)
