"""What a look of the finder costs in onnxruntime on one thread, over one glyph of the classifier in the same turns.

A network's cost does not depend on its weights: random ones are exported.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
import typer

from benchmarks.cost.networks import ABOUT
from benchmarks.cost.timing import IMAGES_A_TURN, infer_images, open_session, quartiles, time_in_turns
from training.learning.finder import FINDERS, SIDE
from training.learning.networks import MODELS
from training.publishing.export import export
from training.publishing.finder_export import MAPS, PIXELS, export_finder

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

REFERENCE = "lean"
BATCHES = (1, 8)


def look_at_pictures(session: "InferenceSession", batch: int) -> Callable[[], None]:
    """The work of looking at IMAGES_A_TURN pictures in such batches."""
    feed = {PIXELS: np.random.default_rng(0).integers(0, 256, (batch, 3, SIDE, SIDE), dtype=np.uint8)}

    def work() -> None:
        for _ in range(IMAGES_A_TURN // batch):
            session.run(list(MAPS), feed)

    return work


def measure(finder: Path, classifier: Path, turns: int) -> dict[int, tuple[float, float, tuple[float, float, float]]]:
    """By batch size: microseconds of a look and of a glyph in the median, and quartiles of the ratio over the turns.

    finder, classifier: their ONNX files.
    """
    sessions = open_session(finder), open_session(classifier)
    results = {}
    for batch in BATCHES:
        works = {"look": look_at_pictures(sessions[0], batch), "glyph": infer_images(sessions[1], batch)}
        times = time_in_turns(works, turns)
        look, glyph = (1e6 * quartiles(times[name])[1] for name in ("look", "glyph"))
        results[batch] = look, glyph, quartiles(times["look"] / times["glyph"])
    return results


def export_both(folder: Path) -> tuple[Path, Path]:
    """The ONNX files of a finder and of a classifier with random weights."""
    finder, classifier = folder / "finder.onnx", folder / "classifier.onnx"
    export_finder(FINDERS["finder"](), torch.randint(256, (2, 3, SIDE, SIDE), dtype=torch.uint8), finder)
    export(MODELS[REFERENCE](), ABOUT, torch.randint(256, (64, 28, 28), dtype=torch.uint8), classifier)
    return finder, classifier


def run(turns: Annotated[int, typer.Option(help="How often each is timed.", min=1)] = 100) -> None:
    """Prints what a look costs."""
    with TemporaryDirectory() as folder:
        results = measure(*export_both(Path(folder)), turns)
    for batch, (look, glyph, (low, middle, high)) in results.items():
        print(  # noqa: T201
            f"batches of {batch}: a look {look:.0f} µs, a glyph {glyph:.0f} µs, {middle:.2f} times ({low:.2f}–{high:.2f})"
        )


if __name__ == "__main__":
    typer.run(run)
