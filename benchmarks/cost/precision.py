"""Measures what CUDA's shorter numbers cost in accuracy on MNIST's test digits, without a GPU.

    python -m benchmarks.cost.precision

TF32 keeps 10 bits of each factor of a convolution or a linear layer and sums in float32. Here torch gets factors rounded in
this way, which is the same arithmetic except for the order of the sums. onnxruntime's CPU kernels compute float16.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor, nn

from app.reading.cuda import to_float16
from app.reading.infer.classifier import DigitClassifier, softmax
from app.reading.infer.preprocess import preprocess
from app.reading.infer.record import INPUT
from app.reading.infer.store import StoredModel, find_model
from app.settings import Settings
from training.data.mnist import load_digits
from training.learning.checkpoints import load_checkpoint
from training.learning.classifier_task import only_digits

DROPPED = 13  # of float32's 23 bits of mantissa; TF32 keeps 10
BATCH = 500
Logits = NDArray[np.float32]


def round_to_tf32(tensor: Tensor) -> Tensor:
    """To the nearest number of 10 bits of mantissa, ties away from zero, as CUDA's cvt.rna.tf32 does."""
    bits = tensor.contiguous().view(torch.int32)
    return ((bits + (1 << (DROPPED - 1))) & -(1 << DROPPED)).view(torch.float32)


def infer_tf32(model: StoredModel, glyphs: NDArray[np.uint8], mean: float, std: float) -> Logits:
    """Logits (N, 10) of glyphs (N, 28, 28), with the factors of every product rounded."""
    network = load_checkpoint(model.folder / "model.pth", model.record.architecture).eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight.data = round_to_tf32(layer.weight.data)
            layer.register_forward_pre_hook(_round_input)
    with torch.inference_mode():
        batches = [only_digits(network(torch.from_numpy(preprocess(batch, mean, std)))).numpy() for batch in _batches(glyphs)]
    return np.concatenate(batches)


def _round_input(_: nn.Module, inputs: tuple[Any, ...]) -> Tensor:
    return round_to_tf32(inputs[0])


def infer_float16(model: StoredModel, glyphs: NDArray[np.uint8], mean: float, std: float) -> Logits:
    """Logits (N, 10) of glyphs (N, 28, 28), computed in half precision."""
    import onnxruntime  # noqa: PLC0415

    session = onnxruntime.InferenceSession(to_float16(model.read_edition("float32")), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {INPUT: preprocess(batch, mean, std)})[0] for batch in _batches(glyphs)])


def _batches(glyphs: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [glyphs[start : start + BATCH] for start in range(0, len(glyphs), BATCH)]


@dataclass(frozen=True)
class Loss:
    """Next to float32: wrong answers, answers that changed, and how far the farthest logit and probability moved."""

    wrong: int
    changed: int
    logit: float
    probability: float


def compare(logits: Logits, exact: Logits, labels: NDArray[np.int64]) -> Loss:
    """What logits (N, 10) lose on the exact ones."""
    return Loss(
        wrong=int((logits.argmax(axis=1) != labels).sum()),
        changed=int((logits.argmax(axis=1) != exact.argmax(axis=1)).sum()),
        logit=float(np.abs(logits - exact).max()),
        probability=float(np.abs(softmax(logits) - softmax(exact)).max()),
    )


def measure(model: StoredModel, glyphs: NDArray[np.uint8], labels: NDArray[np.int64]) -> dict[str, Loss]:
    """Every precision's loss on glyphs (N, 28, 28)."""
    classifier = DigitClassifier.load(model, "cpu", 1)
    mean, std = classifier.metadata.mean, classifier.metadata.std
    exact = np.concatenate([classifier.infer(batch).digits for batch in _batches(glyphs)])
    found = {
        "float32": exact,
        "tf32": infer_tf32(model, glyphs, mean, std),
        "float16": infer_float16(model, glyphs, mean, std),
    }
    return {precision: compare(logits, exact, labels) for precision, logits in found.items()}


def write_table(losses: dict[str, Loss], count: int) -> str:
    """As Markdown."""
    head = (
        f"| precision | wrong of {count:,} | answers changed | farthest logit | farthest probability |\n|---|---|---|---|---|\n"
    )
    rows = (
        f"| `{precision}` | {loss.wrong} | {loss.changed} | {loss.logit:.2g} | {loss.probability:.2g} |\n"
        for precision, loss in losses.items()
    )
    return head + "".join(rows)


def run(
    data_dir: Annotated[Path, typer.Option(help="Folder of the data sets.", envvar="NUMERAL_DATA_DIR")] = Path("data"),
) -> None:
    """Prints the table that docs/deployment.md shows."""
    settings, test = Settings(), load_digits(data_dir).test
    model = find_model(settings.model_store, settings.model_name, settings.model_version)
    typer.echo(write_table(measure(model, test.images.numpy(), test.labels.numpy()), len(test)), nl=False)


if __name__ == "__main__":
    typer.run(run)
