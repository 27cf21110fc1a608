"""The ablation: each run lacks the ingredient in its name, is kept, and is compared with the whole recipe."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.learning.ablation import ADDED, LEFT_OUT, NOTHING, TAUGHT, run_one, shorten, write_report
from tests.training.data.test_made_glyphs import DIGITS
from training.data import made_glyphs
from training.data.made_glyphs import Amount
from training.learning.augment import NAMES
from training.learning.recipes import RECIPES

RECIPE = replace(RECIPES["shipped"], smoke=True, batch_size=64)


def test_every_ingredient_is_left_out_once_and_nothing_else() -> None:
    whole = shorten(RECIPE, 1, {}, 0)
    shortened = {name: shorten(RECIPE, 1, changes, 0) for name, changes in LEFT_OUT.items()}

    assert shortened.pop(NOTHING) == whole
    assert all(config != whole for config in shortened.values())
    assert all(set(whole.augment) - set(shortened[name].augment) == {name} for name in NAMES)
    assert all(config.model == RECIPE.model and config.epochs == 1 for config in shortened.values())


def test_an_added_ingredient_is_not_in_the_recipe() -> None:
    assert all(getattr(RECIPE, name) != value for changes in ADDED.values() for name, value in changes.items())


def test_a_run_is_judged_on_validation_and_kept(mnist_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made_glyphs, "load_strokes", lambda _: DIGITS)
    monkeypatch.setattr(made_glyphs, "SMOKE", Amount(1, 1, 1, 10))
    config = shorten(RECIPE, 1, LEFT_OUT["all but MNIST"], 0)

    figures = run_one(config, mnist_dir, tmp_path / "run")
    (tmp_path / "run/model.pth").unlink()
    again = run_one(config, mnist_dir, tmp_path / "run")

    assert list(figures) == ["MNIST", "photos", "drawings", "non-digits accepted"]
    assert all(0 <= share <= 1 for share in figures.values())
    assert again == figures
    assert not (tmp_path / "run/model.pth").exists()


def test_the_table_gives_the_difference_from_the_whole_recipe() -> None:
    whole, without = {"MNIST": 0.99, "photos": 0.98}, {"MNIST": 0.985, "photos": 0.981}

    table = write_report({NOTHING: [whole], "blur": [without], TAUGHT: [without]}, epochs=3, teachers=[Path("runs/lean-0")])
    left_out, added = table.split("added to it")

    assert "| nothing | 99.00 | 98.00 |" in left_out
    assert "| blur | 98.50 (-0.50) | 98.10 (+0.10) |" in left_out
    assert f"| {TAUGHT} | 98.50 (-0.50) | 98.10 (+0.10) |" in added
    assert "The teachers are lean-0" in added
