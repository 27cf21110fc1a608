"""Batches padded to a few sizes: the model sees few sizes, and the answers stay the same."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from app.reading.cuda import FixedBatches
from app.reading.find.finder import OUTPUTS
from app.reading.find.window import SIDE, cut_whole
from app.reading.infer.preprocess import preprocess
from app.reading.infer.store import find_model
from app.reading.reader import Reader
from app.settings import Settings
from benchmarks.pictures import canvas
from tests.versions import SHIPPED

ROW = np.zeros(1, np.float32)


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> onnxruntime.InferenceSession:
    """Inputs (N, 1) plus the N that the model sees."""
    path = tmp_path_factory.mktemp("counting") / "model.onnx"
    nodes = [
        helper.make_node("Shape", ["given"], ["rows"], start=0, end=1),
        helper.make_node("Cast", ["rows"], ["count"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["given", "count"], ["result"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 1]) for name in ("given", "result")]
    model = helper.make_model(
        helper.make_graph(nodes, "counting", ends[:1], ends[1:]), opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    )
    onnx.save(model, path)
    return open_session(path)


def open_session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def column(count: int) -> NDArray[np.float32]:
    return 1000 * np.arange(count, dtype=np.float32)[:, np.newaxis]


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (0, []),
        (1, [1]),
        (2, [4, 4]),
        (4, [4] * 4),
        (5, [16] * 5),
        (16, [16] * 16),
        (17, [16] * 16 + [1]),
        (19, [16] * 16 + [4] * 3),
    ],
)
def test_a_batch_is_padded_to_the_next_size_and_split_at_the_largest(
    counting: onnxruntime.InferenceSession, given: int, seen: list[int]
) -> None:
    answer = FixedBatches(counting, "cpu", ["result"], ROW, [16, 1, 4]).run(column(given))[0]

    np.testing.assert_array_equal(answer - column(given), np.array(seen, np.float32).reshape(-1, 1))


def test_padding_does_not_change_the_answers_of_the_shipped_model(
    reader: Reader, excerpt: tuple[NDArray[np.uint8], object]
) -> None:
    session = open_session(find_model(Settings().model_store, "digits", SHIPPED).folder / "model.onnx")
    metadata = reader.classifier.metadata
    fixed = FixedBatches(session, "cpu", ["logits", "no_digit"], np.zeros((1, 28, 28), np.float32), Settings().cuda_batch_sizes)

    for count in (1, 3, 16, 50):
        logits, no_digit = fixed.run(preprocess(excerpt[0][:count], metadata.mean, metadata.std))

        expected = reader.classifier.infer(excerpt[0][:count])
        np.testing.assert_allclose(logits, expected.digits, atol=1e-4)
        np.testing.assert_allclose(no_digit[:, 0], expected.no_digit, atol=1e-4)


def test_padding_does_not_change_what_the_finder_sees(reader: Reader) -> None:
    session = open_session(find_model(Settings().model_store, "digits", SHIPPED).path("finder"))
    windows = [cut_whole(np.asarray(canvas(digit))) for digit in (3, 7, 5)]
    fixed = FixedBatches(session, "cpu", OUTPUTS, np.zeros((3, SIDE, SIDE), np.uint8), [4])

    ink, _, _, boxes = fixed.run(np.stack([window.pixels for window in windows]).transpose(0, 3, 1, 2))

    for number, look in enumerate(reader.model.finder.look(windows)):
        np.testing.assert_allclose(ink[number], look.ink, atol=1e-3)
        np.testing.assert_allclose(boxes[number], look.boxes, atol=1e-2)


def test_threads_get_their_own_rows(counting: onnxruntime.InferenceSession) -> None:
    fixed = FixedBatches(counting, "cpu", ["result"], ROW, [4])

    def ask(number: int) -> bool:
        given = column(3) + number
        return bool((fixed.run(given)[0] == given + 4).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(2000)))
