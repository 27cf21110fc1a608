"""The whole way in one graph: any size of picture, standard operators, and the answers of torch."""

from pathlib import Path

import onnx
import pytest
import torch

from training.learning.finder import Finder
from training.learning.networks import MODELS
from training.learning.reader_module import MOST
from training.publishing.calibrate import Calibration
from training.publishing.reader_export import PICTURE, Portable, Read, corners, export_reader

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
    model = onnx.load(tmp_path / "model.onnx")
    assert [each.name for each in model.graph.input] == [PICTURE]
    assert tuple(each.name for each in model.graph.output) == Read._fields
    assert {node.domain for node in model.graph.node} == {""}
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert told.keys() == {"labels", "temperature", "threshold", "least_energy", PICTURE, *Read._fields}
    assert (told["temperature"], told["threshold"], told["least_energy"]) == ("1.5", "0.05", "-5.0")


def test_the_digits_come_first_and_what_is_behind_them_is_empty(portable: Portable) -> None:
    with torch.inference_mode():
        answer = portable(picture(150, 200))

    (count,) = answer.count.tolist()
    assert 1 <= count <= PLACES
    assert answer.count.dtype == torch.int32
    assert (answer.scores[:count] > 0).all()
    torch.testing.assert_close(answer.probabilities[:count].sum(dim=1), torch.ones(count))
    for column in (answer.boxes, answer.scores, answer.probabilities, answer.energy, answer.accepted):
        assert len(column) == PLACES
        assert not column[count:].any()


def test_a_blank_picture_has_no_digit(portable: Portable) -> None:
    with torch.inference_mode():
        answer = portable(torch.full((50, 70, 3), 200, dtype=torch.uint8))

    assert answer.count.tolist() == [0]
    assert not answer.accepted.any()
    assert answer.probabilities.shape == (PLACES, 10)


def test_more_room_than_digits_makes_no_difference(portable: Portable) -> None:
    wide = Portable(portable.reader.look.finder, portable.reader.classify.classifier, portable.calibration).eval()
    with torch.inference_mode():
        few, many = portable(picture(60, 333)), wide(picture(60, 333))

    assert many.boxes.shape == (MOST, 4)
    torch.testing.assert_close(many.boxes[:1], few.boxes[:1])
    torch.testing.assert_close(many.probabilities[:1], few.probabilities[:1])


def test_boxes_end_where_the_picture_ends() -> None:
    boxes = torch.tensor([[10.0, 10, 40, 10], [95, 45, 20, 30]])

    assert corners(boxes, torch.zeros(50, 100, 3, dtype=torch.uint8)).tolist() == [[0, 5, 30, 10], [85, 30, 15, 20]]
