"""What the finder is held against, how it is distorted, and how it is judged."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from training.data.scenes import KIND_NAMES, MOST, SceneSet
from training.learning.checkpoints import load_checkpoint
from training.learning.config import TrainConfig
from training.learning.detections import count_found, detect
from training.learning.finder import Look, Maps, see
from training.learning.finder_loss import EMPTY_SLOT, finder_losses, make_targets
from training.learning.finder_task import FinderTask, distort, judge_by_kind, take
from training.learning.loop import Evaluation, Progress, train

CONFIG = TrainConfig(model="finder", epochs=2, batch_size=8, eval_every=3, learning_rate=3e-3, ema=0.5)


def make_scenes(count: int, seed: int = 0) -> SceneSet:
    """Scenes of one bright bar each, which stands for a 1, on noise; the last one is empty."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (count, 96, 96, 3), dtype=np.uint8)
    inks = np.zeros((count, 48, 48), np.uint8)
    objects = np.full((count, MOST, 5), EMPTY_SLOT, np.float32)
    for number in range(count - 1):
        left, top = (int(value) for value in rng.integers(8, 60, 2) // 2 * 2)
        images[number, top : top + 28, left : left + 8] = 255
        inks[number, top // 2 : top // 2 + 14, left // 2 : left // 2 + 4] = 255
        objects[number, 0] = 1, left + 4, top + 14, 8, 28
    kinds = np.full(count, KIND_NAMES.index("photo"), np.uint8)
    kinds[-1] = KIND_NAMES.index("none")
    lines = np.full((count, MOST), -1, np.int8)
    return SceneSet(images, inks, objects, lines, kinds, np.ones(count, np.uint8))


def objects_of(*rows: tuple[float, ...]) -> torch.Tensor:
    padded = torch.full((1, MOST, 5), float(EMPTY_SLOT))
    for number, row in enumerate(rows):
        padded[0, number] = torch.tensor(row)
    return padded


def perfect(objects: torch.Tensor, ink: torch.Tensor) -> Maps:
    """Logits that say exactly what is true."""
    targets = make_targets(objects, 24, 24)
    return Maps(torch.logit(ink.unsqueeze(1), 1e-4), torch.where(targets.mounds > 0.99, 8.0, -8.0), targets.boxes)


def test_each_centre_has_a_mound_of_its_label_and_its_box_around() -> None:
    targets = make_targets(objects_of((3, 40, 50, 20, 30), (12, 80, 20, 8, 4)), 24, 24)

    assert targets.mounds.shape == (1, 14, 24, 24)
    assert (targets.mounds.flatten(2).amax(2) > 0.99).nonzero()[:, 1].tolist() == [3, 12]
    x, y, width, height = targets.boxes[0, :, 12, 10]
    assert ((10 + x + 0.5) * 4, (12 + y + 0.5) * 4) == pytest.approx((40, 50))
    assert (width.exp() * 4, height.exp() * 4) == pytest.approx((20, 30))
    assert not targets.ignored.any()


def test_tiny_digits_are_neither_asked_for_nor_forbidden() -> None:
    targets = make_targets(objects_of((3, 40, 50, 3, 4)), 24, 24)

    assert targets.mounds.amax() == 0
    assert targets.ignored[0, 12, 10]


def test_what_left_the_picture_is_gone() -> None:
    targets = make_targets(objects_of((3, -10, 50, 20, 30), (4, 97, 50, 20, 30)), 24, 24)

    assert targets.mounds.amax() == 0
    assert not targets.near.any()


def test_the_truth_has_next_to_no_loss_and_all_is_told() -> None:
    scenes = make_scenes(6)
    _, ink, objects = take(scenes, torch.arange(6))

    losses, told = finder_losses(perfect(objects, ink), ink, objects)
    other, _ = finder_losses(Maps(*(torch.zeros_like(part) for part in perfect(objects, ink))), ink, objects)

    assert losses.shape == (6,)
    assert losses.max() < 0.1
    assert other.min() > 0.5
    right, centres = told.tolist()
    assert right == centres >= 5  # a centre between two cells is in both


def test_the_truth_is_found_and_nothing_else() -> None:
    objects = objects_of((3, 40, 50, 20, 30), (4, 64, 50, 20, 30), (12, 80, 20, 8, 4))

    tally = count_found(detect(see(perfect(objects, torch.zeros(1, 48, 48)))), objects)

    assert [int(part) for part in tally[:4]] == [2, 2, 2, 0]
    assert tally.overlap.item() == pytest.approx(2, abs=0.01)


def look_with(*digits: tuple[int, int, int, float, tuple[float, float]]) -> Look:
    """A look that sees digits: label, row, column, score, (width, height)."""
    maps, boxes = torch.zeros(1, 10, 24, 24), torch.ones(1, 4, 24, 24)
    for label, row, column, score, size in digits:
        maps[0, label, row, column] = score
        boxes[0, :, row, column] = torch.tensor([column * 4 + 2.0, row * 4 + 2.0, *size])
    return Look(torch.zeros(1, 48, 48), maps, torch.zeros(1, 4, 24, 24), boxes)


def test_of_two_boxes_in_one_place_the_surer_stays() -> None:
    found = detect(look_with((3, 10, 10, 0.9, (20, 30)), (8, 12, 10, 0.6, (18, 28)), (1, 10, 18, 0.5, (8, 30))))

    assert sorted(found.scores[0][found.scores[0] > 0].tolist()) == pytest.approx([0.5, 0.9])


def test_a_digit_that_may_be_either_of_two_is_found() -> None:
    found = detect(look_with((1, 10, 10, 0.4, (20, 30)), (7, 10, 10, 0.4, (20, 30))))

    assert found.scores[0, 0] == pytest.approx(1 - 0.6 * 0.6)


def test_a_wrong_label_is_found_but_not_told_and_what_is_not_there_is_extra() -> None:
    look = look_with((7, 10, 10, 0.9, (20, 30)), (5, 20, 20, 0.8, (12, 12)))

    tally = count_found(detect(look), objects_of((1, 42, 42, 20, 30), (2, 80, 20, 20, 20)))

    assert [int(part) for part in tally[:4]] == [2, 1, 0, 1]


def test_distortion_moves_picture_ink_and_boxes_alike() -> None:
    torch.manual_seed(0)
    scenes = make_scenes(40)

    pixels, ink, objects = distort(*take(scenes, torch.arange(39)))

    for number in range(39):
        x, y, width, height = objects[number, 0, 1:].tolist()
        rows, columns = torch.nonzero(ink[number] > 0.5, as_tuple=True)
        if 4 < x < 92 and 16 < y < 80:
            assert columns.float().mean() * 2 + 1 == pytest.approx(x, abs=1.5)
            assert rows.float().mean() * 2 + 1 == pytest.approx(y, abs=1.5)
            assert (columns.max() - columns.min() + 1) * 2 == pytest.approx(width, abs=3.1)
            assert (rows.max() - rows.min() + 1) * 2 == pytest.approx(height, abs=3.1)
            middle = pixels[number, :, round(y), round(x)]
            assert middle.min() > 200 or middle.max() < 60  # the bar, or its negative
    assert (objects[:, 1:, 0] == EMPTY_SLOT).all()


def run(folder: Path, *, resume: bool = False, stop_after: int | None = None) -> Progress:
    def report(step: int, _: Evaluation | None) -> None:
        if step == stop_after:
            raise KeyboardInterrupt

    task = FinderTask(CONFIG, make_scenes(32), make_scenes(12, seed=1))
    return train(CONFIG, task, folder, Fabric(accelerator="cpu", devices=1), report, resume=resume)


def test_a_resumed_finder_ends_where_an_uninterrupted_one_ends(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", stop_after=5)
    cut = run(tmp_path / "cut", resume=True)

    assert whole.history == cut.history
    one, other = (torch.load(tmp_path / name / "model.pth", weights_only=True) for name in ("whole", "cut"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.long
def test_a_finder_learns_to_find_bars(tmp_path: Path) -> None:
    config = replace(CONFIG, epochs=90, eval_every=180, batch_size=16, ema=0.0)
    scenes = make_scenes(64)
    task = FinderTask(config, scenes, scenes)

    train(config, task, tmp_path / "a", Fabric(accelerator="cpu", devices=1), lambda *_: None, resume=False)

    figures = judge_by_kind(load_checkpoint(tmp_path / "a/model.pth", "finder"), scenes)
    assert figures["photo"]["found"] > 0.9
    assert figures["photo"]["ink"] > 0.6
    assert figures["none"]["extra"] == 0
    assert set(figures) == {"all", "photo", "none"}
