"""What networks cost in onnxruntime on one core, side by side: in turns, so that a busy machine slows all alike."""

from collections.abc import Mapping
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.classifier import load_runtime

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


def time_in_turns(sessions: Mapping[str, "InferenceSession"], batch: int, turns: int) -> dict[str, NDArray[np.float64]]:
    """CPU seconds an image, (turns,) a session: in each turn each session runs IMAGES_A_TURN images in such batches."""
    images = np.random.default_rng(0).standard_normal((batch, 1, 28, 28), dtype=np.float32)
    seconds = {name: np.zeros(WARM_UP + turns) for name in sessions}
    for turn in range(WARM_UP + turns):
        for name, session in sessions.items():
            feed = {session.get_inputs()[0].name: images}
            started = process_time()
            for _ in range(IMAGES_A_TURN // batch):
                session.run(None, feed)
            seconds[name][turn] = (process_time() - started) / IMAGES_A_TURN
    return {name: values[WARM_UP:] for name, values in seconds.items()}


def quartiles(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """The lower quartile, the median and the upper quartile."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float(low), float(middle), float(high)
