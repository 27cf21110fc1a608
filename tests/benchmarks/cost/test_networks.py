"""The costs of the networks: counted by hand, compared in turns, reported and plotted. No time is asserted."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from benchmarks.cost.networks import BATCHES, REFERENCE, Cost, by_network, count_multiply_adds, draw, measure, write_report
from training.errors import RunError, TrainingError
from training.files import write_json
from training.learning.networks import MLP, MODELS

COSTS = {
    "cnn": Cost(3_199_106, 13_000_000, 12_800_000, {1: 300, 32: 200}, {1: (1, 1, 1), 32: (1, 1, 1)}, [0.9930, 0.9934]),
    "mlp": Cost(407_050, 406_528, 1_600_000, {1: 30, 32: 10}, {1: (0.09, 0.1, 0.11), 32: (0.04, 0.05, 0.06)}, [0.9838]),
    "small": Cost(72_666, 7_300_000, 300_000, {1: 200, 32: 180}, {1: (0.6, 0.7, 0.8), 32: (0.8, 0.9, 1)}, []),
}


def finished_run(folder: Path, model: str, accuracy: float) -> Path:
    folder.mkdir()
    write_json(folder / "config.json", {"model": model})
    write_json(folder / "metrics.json", {"mnist_test_accuracy": accuracy})
    torch.save(MODELS[model]().state_dict(), folder / "model.pth")
    return folder


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (MLP(), 784 * 512 + 512 * 10),
        (nn.Conv2d(1, 4, kernel_size=3, bias=False), 26 * 26 * 9 * 4),
        (nn.Sequential(nn.Conv2d(1, 2, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(2)), 28 * 28 * 9 * 2),
    ],
    ids=["linear", "convolution", "layers that multiply nothing"],
)
def test_multiply_adds_are_those_of_the_products(model: nn.Module, expected: int) -> None:
    assert count_multiply_adds(model) == expected


def test_every_network_is_measured_with_runs_and_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.cost.networks.MODELS", {name: MODELS[name] for name in ("mlp", REFERENCE)})
    runs = [finished_run(tmp_path / f"mlp-{seed}", "mlp", accuracy) for seed, accuracy in enumerate((0.98, 0.99))]

    costs = measure(runs, turns=2)

    assert list(costs) == ["mlp", REFERENCE]
    assert costs["mlp"].accuracies == [0.98, 0.99]
    assert costs[REFERENCE].accuracies == []
    assert all(costs[REFERENCE].ratios[batch] == (1, 1, 1) for batch in BATCHES)
    assert costs["mlp"].file_bytes > 4 * costs["mlp"].parameters  # float32
    assert all(low <= middle <= high for cost in costs.values() for low, middle, high in cost.ratios.values())


def test_runs_are_told_apart_by_their_network(tmp_path: Path) -> None:
    runs = [finished_run(tmp_path / f"run-{i}", model, 0.9) for i, model in enumerate(("mlp", "small", "mlp"))]

    assert by_network(runs) == {"mlp": [runs[0], runs[2]], "small": [runs[1]]}


def test_an_unfinished_run_is_reported(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run", "mlp", 0.9)
    (run / "metrics.json").unlink()

    with pytest.raises(TrainingError, match="holds no finished run"):
        measure([run], turns=1)
    with pytest.raises(RunError, match="holds no run"):
        measure([tmp_path / "nowhere"], turns=1)


def test_the_report_gives_ratios_with_their_spread_and_accuracy_over_seeds() -> None:
    report = write_report(COSTS, turns=7)

    assert "| `mlp` | 407,050 | 0.41 M | 1,562 KiB | 0.10 (0.09–0.11) | 0.05 (0.04–0.06) | 98.38 % | 1 |" in report
    assert "| 99.32 ± 0.03 % | 2 |" in report
    assert "| – | 0 |" in report
    assert "images/cost.png" in report


def test_the_plot_shows_networks_that_have_runs(tmp_path: Path) -> None:
    draw(COSTS, tmp_path / "some.png")
    draw({"cnn": COSTS["cnn"]}, tmp_path / "one.png")

    some, one = (np.asarray(Image.open(tmp_path / name).convert("RGB")) for name in ("some.png", "one.png"))
    assert some.std() > 5
    assert not np.array_equal(some, one)
