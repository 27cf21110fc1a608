"""A run's folder as others read it: its config, and its network with the weights that were kept."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from training.errors import RunError
from training.learning.config import TrainConfig
from training.learning.finder import FINDERS
from training.learning.networks import MODELS


def load_checkpoint(path: Path, name: str) -> nn.Module:
    """The network of that name with the weights of a model.pth, on the CPU, in eval mode."""
    model = (MODELS | FINDERS)[name]()
    model.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    return model.eval()


def load_config(run: Path) -> TrainConfig:
    """The config that a run's folder was made with.

    Raises:
        RunError: there is none, or it is damaged.
    """
    path = run / "config.json"
    if not path.is_file():
        raise RunError(f"{run} holds no run: {path.name} is missing.")
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return TrainConfig(**(values | lists))
    except (ValueError, TypeError) as error:
        raise RunError(f"{path} is no configuration of a run: {error}") from error
