"""The whole way in one graph: any size of picture, standard operators, and the answers of torch."""

from pathlib import Path

import onnx
import pytest
import torch

from training.learning.finder import Finder
from training.learning.networks import MODELS
from training.publishing.calibrate import Calibration
from training.publishing.reader_export import PICTURE, Portable, Read, export_reader

PLACES = 4


@pytest.fixture(scope="module")
def portable() -> Portable:
    torch.manual_seed(0)
    finder = Finder()
    bias = finder.answer.bias
    assert bias is not None
    with torch.no_grad():  # so that an untrained one finds something
        bias[:4], bias[4:14] = 0.5, -1.5
    return Portable(finder, MODELS["open"](), Calibration(1.5, 0.05, -5.0), PLACES).eval()


def picture(height: int, width: int) -> torch.Tensor:
    """Smooth waves, in which an untrained finder has no two equally good cells."""
    down, across = torch.arange(height).view(-1, 1, 1) / height, torch.arange(width).view(1, -1, 1) / width
    waves = torch.sin(7 * down + 3 * across) + torch.cos(5 * across * down + torch.arange(3))
    return (127 + 60 * waves).byte()


def test_one_graph_reads_pictures_of_any_size_as_torch_does(portable: Portable, tmp_path: Path) -> None:
    pictures = [picture(150, 200), picture(28, 28), picture(60, 333), picture(300, 96)]

    difference = export_reader(portable, pictures, tmp_path / "model.onnx")

    assert difference < 0.02
    graph = onnx.load(tmp_path / "model.onnx").graph
    assert [each.name for each in graph.input] == [PICTURE]
    assert tuple(each.name for each in graph.output) == Read._fields
    assert {node.domain for node in graph.node} == {""}


def test_where_nothing_is_found_nothing_is_accepted(portable: Portable) -> None:
    with torch.inference_mode():
        answer = portable(torch.full((50, 70, 3), 200, dtype=torch.uint8))

    assert answer.probabilities.shape == (PLACES, 10)
    assert not answer.accepted[answer.scores == 0].any()
