"""Times networks in onnxruntime on one core, in turns, so that a busy machine slows all of them alike."""

from collections.abc import Callable, Mapping
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.reading.onnx_session import load_runtime

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

IMAGES_A_TURN = 64  # enough that a turn takes milliseconds, thousands of times what the clock resolves
WARM_UP = 3  # turns that are not counted: memory is laid out, caches fill


def open_session(path: Path) -> "InferenceSession":
    """An ONNX file on the CPU: one thread, one node after the other."""
    ort = load_runtime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    session: InferenceSession = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session


def infer_images(session: "InferenceSession", batch: int) -> Callable[[], None]:
    """The work of inferring IMAGES_A_TURN images in such batches."""
    images = np.random.default_rng(0).standard_normal((batch, 1, 28, 28), dtype=np.float32)
    feed = {session.get_inputs()[0].name: images}

    def work() -> None:
        for _ in range(IMAGES_A_TURN // batch):
            session.run(None, feed)

    return work


def time_in_turns(works: Mapping[str, Callable[[], None]], turns: int) -> dict[str, NDArray[np.float64]]:
    """CPU seconds an image, (turns,) a work: in each turn each work is done once, which is IMAGES_A_TURN images."""
    seconds = {name: np.zeros(WARM_UP + turns) for name in works}
    for turn in range(WARM_UP + turns):
        for name, work in works.items():
            started = process_time()
            work()
            seconds[name][turn] = (process_time() - started) / IMAGES_A_TURN
    return {name: values[WARM_UP:] for name, values in seconds.items()}


def quartiles(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """The lower quartile, the median and the upper quartile."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float(low), float(middle), float(high)
