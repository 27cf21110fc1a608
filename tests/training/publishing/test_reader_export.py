"""The whole way in one graph: any size of picture, standard operators, and the answers of torch."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from benchmarks.pictures import canvas, photo
from training.errors import ExportError
from training.learning.checkpoints import FINDER_WEIGHTS, load_checkpoint
from training.learning.finder import Finder
from training.learning.networks import MODELS
from training.learning.reader_module import MOST
from training.publishing.calibrate import Calibration
from training.publishing.candidate import Candidate
from training.publishing.publish import read_calibration
from training.publishing.reader_export import PICTURE, Portable, Read, corners, prove_reader

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


@pytest.fixture(scope="module")
def published(made: Candidate) -> Portable:
    """What the candidate's graph was exported of."""
    model = made.model
    assert model.record.finder is not None
    finder = load_checkpoint(model.path("finder").with_name(FINDER_WEIGHTS), model.record.finder.architecture)
    classifier = load_checkpoint(model.folder / "model.pth", model.record.architecture)
    return Portable(finder, classifier, read_calibration(model.path("float32"))).eval()


def picture(height: int, width: int) -> torch.Tensor:
    """Smooth waves, in which an untrained finder has no two equally good cells."""
    down, across = torch.arange(height).view(-1, 1, 1) / height, torch.arange(width).view(1, -1, 1) / width
    waves = torch.sin(7 * down + 3 * across) + torch.cos(5 * across * down + torch.arange(3))
    return (127 + 60 * waves).byte()


def test_one_graph_reads_pictures_of_any_size_as_torch_does(
    made: Candidate, published: Portable, excerpt: tuple[NDArray[np.uint8], NDArray[np.uint8]]
) -> None:
    drawn = [torch.from_numpy(np.array(each.convert("RGB"))) for each in (photo(7), canvas(3))]
    normalised = torch.from_numpy(excerpt[0][0]).unsqueeze(2).expand(-1, -1, 3)
    pictures = [*drawn, normalised, picture(150, 200), picture(28, 28), picture(60, 333), picture(300, 96)]

    difference = prove_reader(made.model.path("reader"), published, pictures)

    assert difference < 0.02
    with torch.inference_mode():
        assert [published(each).count.item() for each in (*drawn, normalised)] == [1, 1, 1]


def test_the_graph_is_of_standard_operators_and_says_what_it_is(made: Candidate) -> None:
    model = onnx.load(made.model.path("reader"))

    assert [each.name for each in model.graph.input] == [PICTURE]
    assert tuple(each.name for each in model.graph.output) == Read._fields
    assert {node.domain for node in model.graph.node} == {""}
    assert not {"Constant", "Identity"} & {node.op_type for node in model.graph.node}  # it is optimized
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert told.keys() == {"labels", "temperature", "threshold", "least_energy", PICTURE, *Read._fields}
    assert (told["temperature"], told["threshold"], told["least_energy"]) == ("1.0", "0.5", "0.0")


def test_a_graph_of_another_finder_or_calibration_is_refused(made: Candidate, published: Portable) -> None:
    path, drawn = made.model.path("reader"), torch.from_numpy(np.array(photo(7).convert("RGB")))
    finder, classifier = published.reader.look.finder, published.reader.classify.classifier
    colder = replace(published.calibration, temperature=published.calibration.temperature / 100)

    with pytest.raises(ExportError, match="disagrees with torch: probabilities"):
        prove_reader(path, Portable(finder, classifier, colder).eval(), [drawn])
    with pytest.raises(ExportError, match="finds other digits"):
        prove_reader(path, Portable(Finder(), classifier, published.calibration).eval(), [drawn])


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


def test_more_room_than_digits_makes_no_difference(published: Portable) -> None:
    seven = torch.from_numpy(np.array(photo(7).convert("RGB")))
    narrow = Portable(published.reader.look.finder, published.reader.classify.classifier, published.calibration, PLACES).eval()
    with torch.inference_mode():
        few, many = narrow(seven), published(seven)

    assert many.boxes.shape == (MOST, 4)
    assert few.count.tolist() == many.count.tolist() == [1]
    torch.testing.assert_close(many.boxes[:1], few.boxes[:1])
    torch.testing.assert_close(many.probabilities[:1], few.probabilities[:1])


def test_boxes_end_where_the_picture_ends() -> None:
    boxes = torch.tensor([[10.0, 10, 40, 10], [95, 45, 20, 30]])

    assert corners(boxes, torch.zeros(50, 100, 3, dtype=torch.uint8)).tolist() == [[0, 5, 30, 10], [85, 30, 15, 20]]
