"""Shorter numbers: rounded as CUDA does, and reported next to the exact ones."""

import numpy as np
import torch
from numpy.typing import NDArray

from app.reading.infer.classifier import CUDA_TOLERANCE
from app.reading.infer.store import find_model
from app.settings import Settings
from benchmarks.cost.precision import Loss, measure, round_to_tf32, write_table
from tests.versions import SHIPPED


def test_tf32_keeps_ten_bits_and_rounds_to_the_nearest() -> None:
    step = 2.0**-10
    values = torch.tensor([1.0, 1 + step, 1 + 0.4 * step, 1 + 0.5 * step, -(1 + 0.6 * step), 0.0, 3e38])

    rounded = round_to_tf32(values)

    assert rounded[:6].tolist() == [1.0, 1 + step, 1.0, 1 + step, -(1 + step), 0.0]
    assert (rounded[6] / values[6] - 1).abs() < step


def test_every_precision_reads_the_excerpt_alike(excerpt: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> None:
    model = find_model(Settings().model_store, "digits", SHIPPED)

    losses = measure(model, excerpt[0], excerpt[1].astype(np.int64))

    assert losses["float32"] == Loss(wrong=losses["float32"].wrong, changed=0, logit=0, probability=0)
    for precision in ("tf32", "float16"):
        assert losses[precision].changed <= 1
        assert 1e-5 < losses[precision].logit < CUDA_TOLERANCE[precision]


def test_the_table_names_each_precision() -> None:
    table = write_table({"tf32": Loss(wrong=38, changed=1, logit=0.0123, probability=0.00456)}, 10_000)

    assert "| `tf32` | 38 | 1 | 0.012 | 0.0046 |" in table
    assert "wrong of 10,000" in table
