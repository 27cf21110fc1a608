"""A run's folder as others read it: its config, and its network with the weights that were kept."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from training.data.mnist import CLASSES
from training.errors import RunError
from training.learning.config import RETIRED, TrainConfig
from training.learning.finder import FINDERS
from training.learning.networks import MODELS

FINDER_WEIGHTS = "finder.pth"  # in the folder of a version of a finder
WEIGHTS = ("model.pth", FINDER_WEIGHTS)  # the first that is there counts
METRICS = "metrics.json"  # is written last, at the end of a run

Kind = Literal["finder", "classifier"]
NETWORKS = {"finder": FINDERS, "classifier": MODELS}


def load_checkpoint(path: Path, name: str) -> nn.Module:
    """The network of that name with the weights of a model.pth, on the CPU, in eval mode.

    Raises:
        RunError: there is no network of that name, or the file is missing, damaged, or another network's.
    """
    networks = MODELS | FINDERS
    if name not in networks:
        raise RunError(f"{path} is of the network {name}, which is none of {', '.join(networks)}.")
    network: nn.Module = networks[name]()
    try:
        network.load_state_dict(read_state(path))
    except (RuntimeError, TypeError) as error:
        raise RunError(f"{path} holds the weights of another network than {name}: {error}") from error
    return network.eval()


def read_state(path: Path) -> dict[str, Any]:
    """What serialize has written, on the CPU.

    Raises:
        RunError: the file is missing or damaged.
    """
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing.") from error
    except OSError:
        raise
    except Exception as error:  # a damaged file raises nearly anything
        raise RunError(f"{path} is damaged: {str(error).partition(chr(10))[0]}") from error
    return state


def serialize(state: dict[str, Any]) -> bytes:
    """As torch.save writes it; torch itself answers a full disk with a C++ exception that names nothing."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def mean_weights(runs: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of the weights of runs or versions of one network; what counts in whole numbers is the last one's.

    Raises:
        RunError: a folder holds no weights, damaged ones, or those of another network.
    """
    states = [_load_weights(run) for run in runs]
    shapes = [{name: values.shape for name, values in state.items()} for state in states]
    for run, shape in zip(runs, shapes, strict=True):
        if shape != shapes[-1]:
            raise RunError(f"{run} and {runs[-1]} hold the weights of different networks.")
    return {
        name: torch.stack([state[name] for state in states]).mean(dim=0) if last.is_floating_point() else last
        for name, last in states[-1].items()
    }


def begin_with(network: nn.Module, run: Path) -> None:
    """Gives a network the weights of a run or a version; if those have no logit for what is not a digit, it begins at 0.

    Raises:
        RunError: the folder holds no weights, damaged ones, or those of another network.
    """
    given, wanted = _load_weights(run), network.state_dict()
    widened = {name: _widen(values, wanted[name]) if name in wanted else values for name, values in given.items()}
    try:
        network.load_state_dict(widened)
    except RuntimeError as error:
        raise RunError(f"{run} holds the weights of another network: {error}") from error


def _load_weights(run: Path) -> dict[str, Tensor]:
    path = next((path for name in WEIGHTS if (path := run / name).is_file()), None)
    if path is None:
        raise RunError(f"{run} holds no weights: neither {' nor '.join(WEIGHTS)} is there.")
    return read_state(path)


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
        raise RunError(f"{path} is not a configuration of a run: {error}") from error


def load_finished(run: Path, kind: Kind | None = None) -> TrainConfig:
    """The config of a run that was trained to its end. kind: of the network that it has to be of.

    Raises:
        RunError: there is no such run, it is of the other kind, or it has not ended.
    """
    config = load_config(run)
    if kind and config.model not in NETWORKS[kind]:
        raise RunError(f"{run} is not the run of a {kind}: its network is {config.model}.")
    for name in ("model.pth", METRICS):
        if not (run / name).is_file():
            raise RunError(f"{run / name} is missing: train the run to its end first.")
    return config
