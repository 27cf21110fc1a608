"""Pictures of the data and of a run, as PNG files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from app.evaluation.calibration import calibration_error
from training.data.mnist import CLASSES, Split
from training.files import write_with
from training.learning.loop import Evaluation
from training.publishing.calibrate import TARGET, Answers, Calibration, reliability, risk_coverage

DPI = 120
LEAST_COUNT = 5  # answers in a range of confidence, below which its share says nothing


def plot_samples(split: Split, path: Path, per_label: int = 12) -> None:
    """The first digits of each label, a row a label."""
    figure = Figure(figsize=(per_label * 0.6, CLASSES * 0.62), layout="constrained")
    for label in range(CLASSES):
        members = torch.nonzero(split.labels == label).flatten()[:per_label]
        for column, index in enumerate(members.tolist()):
            axes = figure.add_subplot(CLASSES, per_label, label * per_label + column + 1)
            _show(axes, split.images[index], str(label) if column == 0 else None)
    save(figure, path)


def plot_curves(history: Sequence[Evaluation], path: Path) -> None:
    """Loss and error rate of training and validation over the epochs, on logarithmic scales."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    epochs = [line.epoch for line in history]
    loss, error = figure.subplots(1, 2)
    loss.plot(epochs, [line.train_loss for line in history], label="training")
    loss.plot(epochs, [line.validation_loss for line in history], label="validation")
    error.plot(epochs, [100 * (1 - line.train_accuracy) for line in history], label="training")
    error.plot(epochs, [100 * (1 - line.validation_accuracy) for line in history], label="validation")
    for axes, title in ((loss, "cross-entropy (nats)"), (error, "wrong answers (%)")):
        axes.set(title=title, xlabel="epoch", yscale="log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.grid(alpha=0.3, which="both")
        axes.legend()
    save(figure, path)


def plot_confusion(matrix: Tensor, path: Path) -> None:
    """(10, 10) counts, label by answer; the shade is of the mistakes alone, which the diagonal would drown."""
    counts = matrix.numpy()
    mistakes = np.where(np.eye(CLASSES, dtype=bool), 0, counts)
    figure = Figure(figsize=(5.6, 5.2), layout="constrained")
    axes = figure.subplots()
    axes.imshow(mistakes, cmap="Reds")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            shade = "grey" if row == column else "white" if count > 0.6 * mistakes.max() else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=shade, fontsize=8)
    axes.set(xlabel="answer", ylabel="label", xticks=range(CLASSES), yticks=range(CLASSES))
    axes.set_title(f"{mistakes.sum()} of {counts.sum():,} wrong")
    save(figure, path)


def plot_mistakes(split: Split, logits: Tensor, path: Path, most: int = 60) -> None:
    """The digits that were answered wrongly, surest first: label → answer, and its confidence."""
    confidence, answer = logits.softmax(dim=1).max(dim=1)
    wrong = torch.nonzero(answer != split.labels).flatten()
    wrong = wrong[torch.argsort(confidence[wrong], descending=True)][:most]
    columns = 12
    rows = max(1, -(-len(wrong) // columns))
    figure = Figure(figsize=(columns * 0.85, rows * 1.05 + 0.3), layout="constrained")
    for place, index in enumerate(wrong.tolist()):
        title = f"{split.labels[index]} → {answer[index]}\n{confidence[index]:.0%}"
        axes = figure.add_subplot(rows, columns, place + 1)
        _show(axes, split.images[index], None)
        axes.set_title(title, fontsize=7)
    if not len(wrong):
        figure.text(0.5, 0.5, "no mistakes", ha="center")
    save(figure, path)


def plot_reliability(judged: Mapping[str, Answers], temperature: float, path: Path) -> None:
    """Share of right answers against confidence, a panel a split: before the temperature and after."""
    figure = Figure(figsize=(3.2 * len(judged), 3.4), layout="constrained")
    for axes, (name, answers) in zip(figure.subplots(1, len(judged), squeeze=False)[0], judged.items(), strict=True):
        axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
        for words, value, marker in (("as trained", 1.0, "o"), (f"temperature {temperature:.2f}", temperature, "s")):
            confidence, digit = answers.probabilities(value).max(dim=1)
            stated, true, count = reliability(confidence, digit == answers.labels)
            error = calibration_error(confidence.numpy(), (digit == answers.labels).numpy())
            filled = count >= LEAST_COUNT
            axes.plot(stated[filled], true[filled], marker=marker, markersize=4, label=f"{words}: ECE {error:.2%}")
        axes.set(title=name.replace("_", " "), xlabel="confidence", xlim=(0, 1.02), ylim=(0, 1.02))
        axes.legend(fontsize=7, loc="upper left")
    save(figure, path)


def plot_risk_coverage(answers: Answers, calibration: Calibration, path: Path) -> None:
    """Share of wrong ones among the accepted answers against the share accepted, and where the threshold stands.

    Of the answers that have enough energy.
    """
    enough = answers.energy >= calibration.least_energy
    confidence, digit = (each[enough] for each in answers.probabilities(calibration.temperature).max(dim=1))
    coverage, risk, _ = risk_coverage(confidence, digit == answers.labels[enough])
    figure = Figure(figsize=(4.8, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.plot(100 * coverage, 100 * risk)
    axes.axhline(100 * (1 - TARGET), color="grey", linewidth=1)
    axes.axvline(100 * float((confidence >= calibration.threshold).double().mean()), color="grey", linestyle=":")
    axes.set(
        xlabel="accepted of those with enough energy (%)",
        ylabel="wrong among them (%)",
        title=f"threshold {calibration.threshold:g}",
    )
    axes.grid(alpha=0.3)
    save(figure, path)


def _show(axes: Axes, image: Tensor, label: str | None) -> None:
    axes.imshow(image.numpy(), cmap="gray", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[])
    if label is not None:
        axes.set_ylabel(label, rotation=0, labelpad=8, va="center")


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG, whole or not at all."""
    write_with(path, lambda partial: figure.savefig(partial, dpi=DPI))
