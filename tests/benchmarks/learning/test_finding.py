"""The sweep over scenes, hands and widths: each row changes one thing."""

from dataclasses import asdict

from benchmarks.learning.finding import FIGURES, KINDS, NOTHING, plan, row
from training.learning.recipes import RECIPES


def test_each_row_changes_one_setting() -> None:
    recipe = RECIPES["finder-fast"]
    whole = asdict(recipe)

    configs = plan(recipe)

    assert asdict(configs.pop(NOTHING)) == whole
    changed = {name: [key for key, value in asdict(config).items() if value != whole[key]] for name, config in configs.items()}
    assert all(len(keys) == 1 for keys in changed.values())
    assert {"without pens", "without unipen", "without fonts", "finder-narrow", "finder-wide"} <= set(changed)


def test_a_row_has_a_dash_where_there_was_no_such_scene() -> None:
    line = row("x", {"all": dict.fromkeys(FIGURES, 0.5)})

    assert line == f"| x | 50.0 | 50.0 |{' – |' * (len(KINDS) - 1) * len(FIGURES)}"
