"""A run's weights: begun with, averaged, and refused where they are another network's or are not there."""

from pathlib import Path

import pytest
import torch

from training.errors import RunError
from training.learning.checkpoints import FINDER_WEIGHTS, begin_with, mean_weights
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
