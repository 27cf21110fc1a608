"""A run's weights: begun with, averaged, and refused where they are another network's or are not there."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from training.errors import RunError
from training.learning.checkpoints import (
    FINDER_WEIGHTS,
    METRICS,
    Kind,
    begin_with,
    load_checkpoint,
    load_finished,
    mean_weights,
)
from training.learning.config import TrainConfig
from training.learning.finder import FINDERS
from training.learning.networks import MODELS


def write_weights(folder: Path, seed: int, name: str, file: str = "model.pth") -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    network = (MODELS | FINDERS)[name]()
    for values in network.state_dict().values():
        values.add_(seed)
    folder.mkdir()
    torch.save(network.state_dict(), folder / file)
    return network.state_dict()


def test_the_mean_lies_between_the_weights_layer_by_layer(tmp_path: Path) -> None:
    """A version of a finder names its file otherwise than a run does."""
    one = write_weights(tmp_path / "version", 1, "finder", FINDER_WEIGHTS)
    other = write_weights(tmp_path / "run", 3, "finder")

    mean = mean_weights([tmp_path / "version", tmp_path / "run"])

    assert mean.keys() == one.keys()
    counts = [name for name, values in one.items() if not values.is_floating_point()]
    assert counts
    for name, values in mean.items():
        expected = other[name] if name in counts else (one[name] + other[name]) / 2
        assert torch.allclose(values, expected), name


def test_different_networks_have_no_mean(tmp_path: Path) -> None:
    write_weights(tmp_path / "small", 0, "small")
    write_weights(tmp_path / "open", 0, "open")

    with pytest.raises(RunError, match="different networks"):
        mean_weights([tmp_path / "small", tmp_path / "open"])


def test_a_network_begins_with_the_weights_of_a_version_of_a_finder(tmp_path: Path) -> None:
    given = write_weights(tmp_path / "version", 5, "finder", FINDER_WEIGHTS)
    network = FINDERS["finder"]()

    begin_with(network, tmp_path / "version")

    assert all(torch.equal(values, given[name]) for name, values in network.state_dict().items())


def test_a_network_begins_with_nothing_where_there_are_no_weights_or_others(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_weights(tmp_path / "finder", 0, "finder")

    with pytest.raises(RunError, match="holds no weights"):
        begin_with(MODELS["open"](), tmp_path / "empty")
    with pytest.raises(RunError, match="another network"):
        begin_with(MODELS["open"](), tmp_path / "finder")


@pytest.mark.parametrize(
    ("content", "name", "told"),
    [
        (None, "small", "is missing"),
        (b"", "small", "is damaged"),
        (b"not weights", "small", "is damaged"),
        (b"PK\x03\x04half of an archive", "small", "is damaged"),
        (b"whole", "open", "holds the weights of another network than open"),
        (b"whole", "vanished", "is of the network vanished, which is none of mlp, cnn, small"),
    ],
    ids=["no file", "empty", "text", "cut short", "of another network", "of an unknown network"],
)
def test_a_checkpoint_that_cannot_be_loaded_is_named(content: bytes | None, name: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "run" / "model.pth"
    write_weights(tmp_path / "run", 0, "small")
    if content is None:
        path.unlink()
    elif content != b"whole":
        path.write_bytes(content)

    with pytest.raises(RunError, match=f"model.pth {told}"):
        load_checkpoint(path, name)


@pytest.mark.parametrize(
    ("model", "kind", "missing", "told"),
    [
        ("small", "classifier", "config.json", "holds no run"),
        ("small", "classifier", METRICS, "metrics.json is missing: train the run to its end first"),
        ("finder", "finder", METRICS, "metrics.json is missing: train the run to its end first"),
        ("finder", "finder", "model.pth", "model.pth is missing: train the run to its end first"),
        ("small", "finder", None, "is not the run of a finder: its network is small"),
        ("finder", "classifier", None, "is not the run of a classifier: its network is finder"),
    ],
)
def test_only_a_finished_run_of_the_right_kind_is_taken(
    model: str, kind: Kind, missing: str | None, told: str, tmp_path: Path
) -> None:
    write_weights(tmp_path / "run", 0, model)
    (tmp_path / "run" / "config.json").write_text(json.dumps(asdict(TrainConfig(model=model))))
    (tmp_path / "run" / METRICS).write_text("{}")
    assert load_finished(tmp_path / "run").model == model
    if missing:
        (tmp_path / "run" / missing).unlink()

    with pytest.raises(RunError, match=told):
        load_finished(tmp_path / "run", kind)
