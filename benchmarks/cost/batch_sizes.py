"""Measures what batching gains on the CPU and on a GPU, if there is one: ``python -m benchmarks.cost.batch_sizes``.

Of the classifier's glyphs and of the finder's looks, which are most of the work. Measures wall time, because with CUDA the CPU
only waits. The sizes run in turns, so that a busy machine slows all alike.
"""

from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from app.errors import StartupError
from app.reading.find.finder import Finder
from app.reading.find.window import SIDE, Window
from app.reading.infer.classifier import DigitClassifier
from app.reading.infer.store import StoredModel, find_model
from app.reading.model import DigitModel
from app.reading.onnx_session import CudaOptions, CudaPrecision
from app.settings import Settings
from benchmarks.cost.timing import WARM_UP, quartiles

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
ON_CUDA: tuple[CudaPrecision, ...] = ("float32", "tf32", "float16")

Work = Callable[[int], object]  # infers a batch of so many
Seconds = dict[int, NDArray[np.float64]]  # an image, (turns,) a batch size


def measure(work: Work, turns: int, sizes: Sequence[int] = SIZES) -> Seconds:
    """How long an image takes in batches of each size; some turns before are not counted.

    In a turn, each size gets as many images as the largest has.
    """
    seconds = {size: np.zeros(WARM_UP + turns) for size in sizes}
    for turn in range(WARM_UP + turns):
        for size in sizes:
            batches = max(sizes) // size
            started = perf_counter()
            for _ in range(batches):
                work(size)
            seconds[size][turn] = (perf_counter() - started) / (batches * size)
    return {size: values[WARM_UP:] for size, values in seconds.items()}


def classify(classifier: DigitClassifier) -> Work:
    """Classifies glyphs of noise, preprocessing included."""
    glyphs = np.random.default_rng(0).integers(0, 256, (max(SIZES), 28, 28), dtype=np.uint8)
    return lambda size: classifier.infer(glyphs[:size])


def look(finder: Finder) -> Work:
    """Looks at windows of noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (max(SIZES), SIDE, SIDE, 3), dtype=np.uint8)
    windows = [Window(each, 0, 0, 1, 1) for each in pixels]
    return lambda size: finder.look(windows[:size])


WORKS: dict[str, Callable[[DigitModel], Work]] = {
    "glyphs": lambda model: classify(model.classifier),
    "looks": lambda model: look(model.finder),
}


def models(stored: StoredModel, sizes: Sequence[int]) -> Iterator[tuple[str, DigitModel]]:
    """The model on the CPU, and in each precision on CUDA where that can be had."""
    yield "CPU, one thread", DigitModel.load(stored, "cpu", 1)
    for precision in ON_CUDA:
        try:
            yield f"CUDA, {precision}", DigitModel.load(stored, "cuda", 1, CudaOptions(tuple(sizes), precision))
        except StartupError as error:
            typer.echo(f"CUDA, {precision}: not measured. {error}", err=True)


def run(
    turns: Annotated[int, typer.Option(help="How often each size is run.", min=1)] = 20,
    largest: Annotated[int, typer.Option(help="The largest batch.", min=1)] = max(SIZES),
) -> None:
    """Prints images a second by batch size: the median over the turns, and the quartiles."""
    settings, console = Settings(), Console(highlight=False)
    sizes = [size for size in SIZES if size <= largest]
    loaded = dict(models(find_model(settings.model_store, settings.model_name, settings.model_version), sizes))
    for title, work in WORKS.items():
        measured = {name: measure(work(model), turns, sizes) for name, model in loaded.items()}
        table = Table("batch", *measured, title=f"{title} a second")
        for size in sizes:
            table.add_row(str(size), *(_describe(1 / seconds[size]) for seconds in measured.values()))
        console.print(table)


def _describe(rates: NDArray[np.float64]) -> str:
    low, middle, high = quartiles(rates)
    return f"{middle:,.0f} ({low:,.0f}–{high:,.0f})"


if __name__ == "__main__":
    typer.run(run)
