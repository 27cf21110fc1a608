"""Measures what batching gains on the CPU and on a GPU, if there is one: ``python -m benchmarks.cost.batch_sizes``.

Measures wall time, because with CUDA the CPU only waits. The sizes run in turns, so that a busy machine slows all alike.
"""

from collections.abc import Sequence
from time import perf_counter
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from app.errors import StartupError
from app.reading.infer.classifier import DigitClassifier
from app.reading.infer.store import StoredModel, find_model
from app.reading.onnx_session import CudaOptions, CudaPrecision
from app.settings import Settings
from benchmarks.cost.timing import WARM_UP, quartiles

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
IMAGES_A_TURN = 256
ON_CUDA: tuple[CudaPrecision, ...] = ("float32", "tf32", "float16")

Seconds = dict[int, NDArray[np.float64]]  # an image, (turns,) a batch size


def measure(classifier: DigitClassifier, turns: int, sizes: Sequence[int] = SIZES) -> Seconds:
    """How long an image takes in batches of each size, preprocessing included; some turns before are not counted."""
    glyphs = np.random.default_rng(0).integers(0, 256, (max(sizes), 28, 28), dtype=np.uint8)
    seconds = {size: np.zeros(WARM_UP + turns) for size in sizes}
    for turn in range(WARM_UP + turns):
        for size in sizes:
            batches = IMAGES_A_TURN // size
            started = perf_counter()
            for _ in range(batches):
                classifier.infer(glyphs[:size])
            seconds[size][turn] = (perf_counter() - started) / (batches * size)
    return {size: values[WARM_UP:] for size, values in seconds.items()}


def classifiers(model: StoredModel) -> dict[str, DigitClassifier]:
    """The model on the CPU, and in each precision on CUDA where that can be had."""
    found = {"CPU, one thread": DigitClassifier.load(model, "cpu", 1)}
    for precision in ON_CUDA:
        try:
            found[f"CUDA, {precision}"] = DigitClassifier.load(model, "cuda", 1, CudaOptions(SIZES, precision))
        except StartupError as error:
            typer.echo(f"CUDA, {precision}: not measured. {error}", err=True)
    return found


def run(turns: Annotated[int, typer.Option(help="How often each size is run.", min=1)] = 20) -> None:
    """Prints images a second by batch size: the median over the turns, and the quartiles."""
    settings = Settings()
    measured = {
        name: measure(classifier, turns)
        for name, classifier in classifiers(
            find_model(settings.model_store, settings.model_name, settings.model_version)
        ).items()
    }
    table = Table("batch", *measured)
    for size in SIZES:
        table.add_row(str(size), *(_describe(1 / seconds[size]) for seconds in measured.values()))
    Console(highlight=False).print(table)


def _describe(rates: NDArray[np.float64]) -> str:
    low, middle, high = quartiles(rates)
    return f"{middle:,.0f} ({low:,.0f}–{high:,.0f})"


if __name__ == "__main__":
    typer.run(run)
