from pathlib import Path

import numpy as np
import pytest

from tests.training.data.collection import write_collection
from training.data.dice import Dice
from training.data.hands import Hands, Penmen, Written, enlarge, from_outline
from training.data.unipen import SPLITS


def dice(seed: int = 0) -> Dice:
    return Dice(np.random.default_rng(seed))


def hands(folder: Path, split: str, unipen: Path | None) -> Hands:
    return Hands.load(folder, split, unipen, with_fonts=False, with_uci=False, verify=False)


@pytest.fixture
def unipen(tmp_path: Path) -> Path:
    return write_collection(tmp_path / "unipen")


def test_splits_share_no_writer(mnist_dir: Path, unipen: Path) -> None:
    writers = []
    for split in SPLITS:
        penmen = hands(mnist_dir, split, unipen).sources["unipen"]
        assert isinstance(penmen, Penmen)
        writers.append(set(penmen.writers.tolist()))

    assert all(writers)
    assert len(set.union(*writers)) == sum(map(len, writers))


def test_without_unipen_mnist_writes(mnist_dir: Path) -> None:
    alone = hands(mnist_dir, "train", None)

    assert set(alone.sources) == {"mnist"}
    assert alone.hand(dice()).digit(dice()).source == "mnist"
    assert alone.sign(dice()).label == -1


def test_a_hand_writes_the_digit_that_it_is_asked_for(mnist_dir: Path, unipen: Path) -> None:
    both = hands(mnist_dir, "train", unipen)

    for seed in range(20):
        for label in range(10):
            assert both.hand(dice(seed)).digit(dice(seed), label).label == label


def test_a_frequent_writer_comes_up_by_the_root_of_the_samples() -> None:
    writers, labels = np.array([1] * 900 + [2] * 100), np.array([0] * 1000)
    penmen = Penmen(
        lambda index: Written(0, "0", (np.array([(0, 0), (1, 1)], np.float32),), None, str(writers[index])), writers, labels
    )
    rng = dice()

    drawn = [penmen.hand(rng).digit(rng).source for _ in range(2000)]

    assert drawn.count("1") / len(drawn) == pytest.approx(30 / 40, abs=0.04)  # where its samples are 90 %


def test_strokes_lie_in_a_box_whose_longer_side_is_one(mnist_dir: Path, unipen: Path) -> None:
    both, rng = hands(mnist_dir, "train", unipen), dice()

    for _ in range(40):
        written = both.hand(rng).digit(rng)
        for stroke in written.strokes:
            assert stroke.min() >= -0.01
            assert stroke.max() <= 1.01


def test_letters_that_look_like_digits_are_never_written_as_signs(mnist_dir: Path, tmp_path: Path) -> None:
    both, rng = hands(mnist_dir, "train", write_collection(tmp_path)), dice()

    assert {both.sign(rng).text for _ in range(300)} <= set("AFHKMNWXaehkmnx+=")


def test_the_middle_line_of_an_outline_is_traced_as_strokes() -> None:
    outline = np.zeros((100, 60), np.uint8)
    outline[:, 20:40] = 255  # an upright bar

    written = from_outline(1, "1", outline, "fonts")

    (stroke,) = written.strokes
    np.testing.assert_allclose(stroke[:, 0], 0.3, atol=0.03)
    assert np.ptp(stroke[:, 1]) > 0.7  # half a pen is missing at each end


def test_a_closed_line_is_traced_to_where_it_began() -> None:
    y, x = np.mgrid[-1:1:100j, -1:1:100j]
    ring = np.asarray(np.abs(np.hypot(x, y) - 0.8) < 0.1, np.uint8) * np.uint8(255)

    strokes = from_outline(0, "0", ring, "fonts").strokes

    assert len(strokes) == 1
    assert np.hypot(*(strokes[0][0] - strokes[0][-1])) < 0.05


def test_mnist_is_enlarged_without_moving_its_ink(excerpt: tuple[np.ndarray, np.ndarray]) -> None:
    large = enlarge(excerpt[0][0])

    assert max(large.shape) >= 100
    assert large.max() == 255
