"""The sweep over scenes, hands, networks and losses: each row changes one thing."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.learning import finding
from benchmarks.learning.finding import FIGURES, KINDS, NOTHING, Variant, plan, row, run_one
from training.data.scenes import INPUT
from training.learning import finder_loss
from training.learning.recipes import RECIPES
from training.learning.sources import Sources


def test_each_row_changes_one_setting() -> None:
    whole = settings(Variant(RECIPES["finder-fast"]))

    variants = {name: settings(variant) for name, variant in plan(RECIPES["finder-fast"]).items()}

    assert variants.pop(NOTHING) == whole
    changed = {name: [key for key in own if own[key] != whole.get(key)] for name, own in variants.items()}
    assert all(len(keys) == 1 for keys in changed.values())
    assert {"without pens", "without unipen", "without fonts", "finder-narrow", "finder-wide", "64 pixels"} <= set(changed)


def settings(variant: Variant) -> Mapping[str, Any]:
    return {**vars(variant.config), "side": variant.side, **variant.loss}


def test_a_run_has_its_own_loss_and_size_and_leaves_the_usual_ones(
    mnist_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, seen = finder_loss.OVERLAP, []

    def train(*args: object, **_: object) -> None:
        seen.append((finder_loss.OVERLAP, args[1]))
        raise KeyboardInterrupt

    monkeypatch.setattr(finding, "train", train)
    config = replace(RECIPES["finder-fast"], smoke=True)
    with pytest.raises(KeyboardInterrupt):
        run_one(Variant(config, side=64, loss={"OVERLAP": 0.0}), Sources(mnist_dir, smoke=True), tmp_path)

    ((overlap, task),) = seen
    assert overlap == 0
    assert task.batch(task.order(0, 0)[:2], 0.0)[0].shape == (2, 3, 64, 64)  # type: ignore[attr-defined]
    assert finder_loss.OVERLAP == usual != overlap
    assert INPUT != 64


def test_a_row_has_a_dash_where_there_was_no_such_scene() -> None:
    line = row("x", {"all": dict.fromkeys(FIGURES, 0.5)})

    assert line == f"| x | 50.0 | 50.0 |{' – |' * (len(KINDS) - 1) * len(FIGURES)}"
