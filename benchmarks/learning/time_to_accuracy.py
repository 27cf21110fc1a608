"""Measures the CPU time until validation reaches 99.0 %: the classic recipe against a fast one.

``make time-to-accuracy``. Both train on the same 54,000 digits, in one process, on one thread, in turns, seed by seed.
After each quarter of an epoch, the same code evaluates both on the 6,000 validation digits, until the target is reached or the
recipe ends; then, once, on the test digits. The result is the CPU time of the process during training, over all its threads.
Evaluation is not counted, but reported separately.
"""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Annotated

import torch
import typer
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from training.data.mnist import MEAN, STD, Digits, Split, load_digits
from training.data.torchvision_compat import MNIST, transforms
from training.errors import DataError
from training.learning.evaluate import evaluate, normalize, to_unit

PARTS = 4  # evaluations an epoch

Recipe = Callable[[Split, Path], Iterator[nn.Module]]  # trains, and gives the network after each part of an epoch


FAST_EPOCHS = 3
FAST_PEAK = 0.01  # of the learning rate
SMOOTHING = 0.1  # of the labels


class ClassicCNN(nn.Sequential):
    """Two 3×3 convolutions without padding, 32 and 64 wide, one pooling, 9216-128-10, dropout: 1,199,882 parameters."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 32, kernel_size=3),
            nn.ReLU(),
            nn.Conv2d(32, 64, kernel_size=3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Dropout(0.25),
            nn.Flatten(),
            nn.Linear(9216, 128),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(128, 10),
        )


def train_classic(training: Split, data_dir: Path) -> Iterator[nn.Module]:
    """As PyTorch's MNIST example does it: pictures one by one through transforms, batches of 64, Adadelta, 14 epochs."""
    model = ClassicCNN()
    loader = DataLoader(_as_dataset(training, data_dir), batch_size=64, shuffle=True)
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    for _ in range(14):
        for step, (images, labels) in enumerate(loader, start=1):
            _update(optimizer, F.cross_entropy(model(images), labels))
            if ends_part(step, len(loader)):
                yield model
        schedule.step()


def _as_dataset(training: Split, data_dir: Path) -> MNIST:
    """The given digits as torchvision's MNIST gives them, each through the transforms when it is asked for."""
    steps = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))])
    dataset = MNIST(str(data_dir), train=True, transform=steps)
    dataset.data, dataset.targets = training.images, training.labels
    return dataset


class FastCNN(nn.Sequential):
    """Four convolutions, two of them with stride 2, 16, 32, 32, 64 wide, then 256-10: 35,514 parameters.

    The first already halves the picture, so that nothing is computed at 28×28.
    """

    def __init__(self) -> None:
        super().__init__(
            *_convolution(1, 16, kernel_size=5, stride=2),
            *_convolution(16, 32, kernel_size=3),
            *_convolution(32, 32, kernel_size=3, stride=2),
            *_convolution(32, 64, kernel_size=3),
            nn.Flatten(),
            nn.Linear(256, 10),
        )


def _convolution(inputs: int, outputs: int, kernel_size: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, kernel_size, stride, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()


def train_fast(training: Split, data_dir: Path) -> Iterator[nn.Module]:  # noqa: ARG001
    """Batches of 64 out of memory, all at once made a tensor; AdamW, one cycle over three epochs, smoothed labels.

    The cycle is Smith & Topin 2017, arXiv:1708.07120; smoothing the labels Szegedy et al. 2015, arXiv:1512.00567.
    """
    model = FastCNN().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster on the CPU
    optimizer = torch.optim.AdamW(model.parameters(), lr=FAST_PEAK)
    steps = -(-len(training) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, FAST_PEAK, epochs=FAST_EPOCHS, steps_per_epoch=steps)
    for _ in range(FAST_EPOCHS):
        for step, index in enumerate(torch.randperm(len(training)).split(64), start=1):
            batch = training.take(index)
            images = normalize(to_unit(batch.images)).contiguous(memory_format=torch.channels_last)
            _update(optimizer, F.cross_entropy(model(images), batch.labels, label_smoothing=SMOOTHING))
            schedule.step()
            if ends_part(step, steps):
                yield model


RECIPES: dict[str, Recipe] = {"fast": train_fast, "classic": train_classic}


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def ends_part(step: int, steps: int) -> bool:
    """Whether a part of the epoch ends with this step, the first being 1."""
    return step * PARTS // steps > (step - 1) * PARTS // steps


@dataclass(frozen=True)
class Outcome:
    """CPU seconds of training and of evaluating, and epochs, until the target or the recipe's end; accuracies in 0..1.

    validation: the best that was seen, which is the last where the target was reached; test: where it stopped.
    """

    training: float
    evaluating: float
    epochs: float
    validation: float
    test: float
    reached: bool


Report = Callable[[float, float], None]  # epochs so far, accuracy on validation


def race(  # noqa: PLR0913, PLR0917
    recipe: Recipe, digits: Digits, data_dir: Path, seed: int, target: float, report: Report, most: float = math.inf
) -> Outcome:
    """Trains by the recipe until validation reaches the target, the recipe ends, or it took ``most`` seconds of CPU time."""
    torch.manual_seed(seed)
    training = evaluating = 0.0
    accuracies: list[float] = []
    started = process_time()
    for model in recipe(digits.train, data_dir):
        stopped = process_time()
        accuracies.append(evaluate(model, digits.validation).accuracy)
        training += stopped - started
        started = process_time()
        evaluating += started - stopped
        report(len(accuracies) / PARTS, accuracies[-1])
        if accuracies[-1] >= target or training >= most:
            break
    test = evaluate(model, digits.test).accuracy
    return Outcome(training, evaluating, len(accuracies) / PARTS, max(accuracies), test, accuracies[-1] >= target)


Outcomes = dict[str, list[Outcome]]  # by recipe, a seed each


def write_table(outcomes: Outcomes, target: float) -> str:
    """Mean ± standard deviation over the seeds, in Markdown, and how many times less CPU time the fast recipe needs."""
    lines = [
        f"| recipe | reached {target:.1%} | CPU time training | evaluating | epochs | best on validation | test at the end |",
        "|---|---|---|---|---|---|---|",
        *(_row(name, runs) for name, runs in outcomes.items()),
    ]
    ratios = [classic.training / fast.training for classic, fast in zip(outcomes["classic"], outcomes["fast"], strict=True)]
    bound = "" if all(run.reached for run in outcomes["classic"]) else " at least"
    each = ", ".join(f"{ratio:.1f}" for ratio in ratios)
    return "\n".join(
        [*lines, "", f"The classic recipe takes{bound} {statistics.mean(ratios):.1f} times the CPU time ({each})."]
    )


def _row(name: str, runs: Sequence[Outcome]) -> str:
    cells = [
        name,
        f"{sum(run.reached for run in runs)} of {len(runs)}",
        *(_spread([getattr(run, key) for run in runs], " s", 1) for key in ("training", "evaluating")),
        _spread([run.epochs for run in runs], "", 2),
        *(_spread([100 * getattr(run, key) for run in runs], " %", 2) for key in ("validation", "test")),
    ]
    return f"| {' | '.join(cells)} |"


def _spread(values: Sequence[float], unit: str, digits: int) -> str:
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{deviation}{unit}"


def run(
    seeds: Annotated[int, typer.Option(help="How many; 0, 1, …", min=1)] = 3,
    target: Annotated[float, typer.Option(help="Share of the validation digits to read rightly.", min=0, max=1)] = 0.99,
    most: Annotated[
        float, typer.Option(help="Stop the classic recipe after so many times the fast one's CPU time; 0: let it end.", min=0)
    ] = 0,
    data_dir: Annotated[Path, typer.Option(help="Folder of the data sets.", envvar="NUMERAL_DATA_DIR")] = Path("data"),
) -> None:
    """Races both recipes to the target, in turns, seed by seed, and prints the table."""
    console = Console(highlight=False, soft_wrap=True)
    torch.set_num_threads(1)
    try:
        digits = load_digits(data_dir)
    except DataError as error:
        console.print(str(error), style="red")
        raise typer.Exit(1) from error
    outcomes: Outcomes = {name: [] for name in RECIPES}
    for seed in range(seeds):
        for name, recipe in RECIPES.items():

            def report(epochs: float, accuracy: float, title: str = f"{name}, seed {seed}") -> None:
                console.print(f"{title}: {epochs:5.2f} epochs, validation {accuracy:.2%}")

            longest = most * outcomes["fast"][seed].training if most and name == "classic" else math.inf
            outcomes[name].append(race(recipe, digits, data_dir, seed, target, report, longest))
            console.print(f"{name}, seed {seed}: {outcomes[name][-1]}")
    console.print(write_table(outcomes, target), markup=False)
    if not all(outcome.reached for outcome in outcomes["fast"]):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(run)
