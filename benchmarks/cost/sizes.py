"""What reading a picture costs by its size, as drawing and as JPEG: the curves must have no jumps.

No picture may cost more than 1.3 times a larger one, but for the fall where a coarser reduction begins: at most twofold.
"""

from collections.abc import Callable, Sequence
from time import thread_time
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from app.reading.decode import opencv
from app.reading.decode.limits import DefaultLimits
from app.reading.decode.picture import decode
from app.reading.decode.reduction import LEAST_SIDE, WORK_SIDE
from app.reading.find.finder import Finder
from app.reading.find.steps import find_digits
from app.runtime.loading import load_model
from app.settings import Settings
from benchmarks.pictures import canvas, encode, photo

SIDES = (28, 56, 112, 200, 280, 400, 560, 700, 800, 900, 1000, 1024, 1040, 1120, 1280, 1300, 1450, 1599, 1600, 1800, 2000)
MEGAPIXELS = (
    0.3,
    0.5,
    0.7,
    0.78,
    0.8,
    1.0,
    1.2,
    1.5,
    1.8,
    1.92,
    1.95,
    2.5,
    3.0,
    3.2,
    4.0,
    5.0,
    6.0,
    7.0,
    7.6,
    7.7,
    8.0,
    10.0,
    12.0,
)
MOST, MOST_AT_A_FALL = 1.3, 2.0
NO_ACCOUNT = 0.1  # milliseconds

Point = tuple[int, float]  # the longer side in pixels, CPU milliseconds


def drawing(side: int) -> tuple[int, bytes]:
    """A canvas with a transparent ground, the pen a twelfth of its side."""
    return side, encode(canvas(3, size=side, pen=side / 12, ground=None))


def jpeg(megapixels: float) -> tuple[int, bytes]:
    """A photo of 4 to 3 with a sensor's noise."""
    width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    size = width, width * 3 // 4
    pixels = np.asarray(photo(4).resize(size, Image.Resampling.BICUBIC)).astype(int)
    noisy = pixels + np.random.default_rng(0).normal(0, 6, (size[1], size[0], 1))
    return width, encode(Image.fromarray(noisy.clip(0, 255).astype(np.uint8)), "JPEG", quality=90)


def cost(finder: Finder, data: bytes, repeats: int) -> float:
    """The least of some CPU times for decoding and finding, in milliseconds."""
    times = []
    for _ in range(repeats):
        began = thread_time()
        find_digits(finder, decode(data, DefaultLimits()))
        times.append(1000 * (thread_time() - began))
    return min(times)


def factor(side: int) -> int:
    """By how much the sides are divided at least: where it grows, a coarser reduction begins."""
    return max(1, side // LEAST_SIDE) if side > WORK_SIDE else 1


def jumps(curve: Sequence[Point]) -> list[str]:
    """Where a picture costs too much more than a larger one."""
    found = []
    for place, (side, spent) in enumerate(curve):
        for larger, less in curve[place + 1 :]:
            allowed = MOST_AT_A_FALL if factor(larger) > factor(side) else MOST
            if spent > allowed * less + NO_ACCOUNT:
                found.append(f"{side} px: {spent:.1f} ms, {larger} px: {less:.1f} ms")
    return found


def main(repeats: Annotated[int, typer.Option(help="Of each picture; the least counts.")] = 9) -> None:
    """Prints both curves; exits with 1 where one jumps."""
    opencv.tune()
    failed, finder = False, load_model(Settings()).finder
    kinds: dict[str, tuple[Callable[..., tuple[int, bytes]], Sequence[float]]] = {
        "drawing": (drawing, SIDES),
        "JPEG": (jpeg, MEGAPIXELS),
    }
    for name, (make, sizes) in kinds.items():
        curve = [(side, cost(finder, data, repeats)) for side, data in map(make, sizes)]
        typer.echo(f"{name}: " + ", ".join(f"{side} px {spent:.1f}" for side, spent in curve) + " ms")
        for jump in jumps(curve):
            failed = True
            typer.echo(f"  jump: {jump}")
    raise typer.Exit(failed)


if __name__ == "__main__":
    typer.run(main)
