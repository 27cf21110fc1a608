"""A run's folder as others read it: its config, and its network with the weights that were kept."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from training.data.mnist import CLASSES
from training.errors import RunError
from training.learning.config import RETIRED, TrainConfig
from training.learning.finder import FINDERS
from training.learning.networks import MODELS


def load_checkpoint(path: Path, name: str) -> nn.Module:
    """The network of that name with the weights of a model.pth, on the CPU, in eval mode."""
    model = (MODELS | FINDERS)[name]()
    model.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    return model.eval()


def begin_with(network: nn.Module, run: Path) -> None:
    """Gives a network the weights of a run; where only the network has a logit for what is not a digit, that begins at 0.

    Raises:
        RunError: the run holds no weights, or those of another network.
    """
    path = run / "model.pth"
    if not path.is_file():
        raise RunError(f"{run} is nothing to begin with: it holds no model.pth.")
    given: dict[str, Tensor] = torch.load(path, weights_only=True, map_location="cpu")
    wanted = network.state_dict()
    widened = {name: _widen(values, wanted[name]) if name in wanted else values for name, values in given.items()}
    try:
        network.load_state_dict(widened)
    except RuntimeError as error:
        raise RunError(f"{path} holds the weights of another network: {error}") from error


def _widen(values: Tensor, like: Tensor) -> Tensor:
    """Weights (10, …) with a row of zeros after them, where there should be one row more."""
    if values.shape[:1] == (CLASSES,) and like.shape == (CLASSES + 1, *values.shape[1:]):
        return torch.cat((values, values.new_zeros(1, *values.shape[1:])))
    return values


def load_config(run: Path) -> TrainConfig:
    """The config that a run's folder was made with.

    Raises:
        RunError: there is none, or it is damaged.
    """
    path = run / "config.json"
    if not path.is_file():
        raise RunError(f"{run} holds no run: {path.name} is missing.")
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        values = {name: value for name, value in told.items() if name not in RETIRED}
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return TrainConfig(**(values | lists))
    except (ValueError, TypeError) as error:
        raise RunError(f"{path} is no configuration of a run: {error}") from error
