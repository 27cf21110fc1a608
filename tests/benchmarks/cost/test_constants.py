"""What is counted of a package: lines with code, numbers under a name, and loose ones."""

import re
from pathlib import Path

import typer
from typer.testing import CliRunner

from benchmarks.cost import constants
from benchmarks.cost.constants import Counts, count

MODULE = '''"""A docstring
of two lines, with 3 in it."""

SIDE = 28  # of 28
LOW, HIGH = 0.1, 2**17
PAPERS: dict[str, tuple[int, int]] = {"white": (255, 250)}
names = 7


def half(side: int) -> float:
    """Half of 5."""
    # not 6
    return max(
        side / 2,
        0.35,
    )
'''


def test_numbers_under_a_name_and_loose_ones_are_told_apart() -> None:
    assert count(MODULE) == Counts(lines=9, constants=("SIDE", "LOW", "HIGH", "HIGH", "PAPERS", "PAPERS"), loose=1)


def test_all_modules_of_a_checkout_are_added_up(tmp_path: Path) -> None:
    package = tmp_path / "app" / "reading" / "find"
    package.mkdir(parents=True)
    for name in ("one", "two"):
        (package / f"{name}.py").write_text(MODULE, encoding="utf-8")
    app = typer.Typer()
    app.command()(constants.main)

    result = CliRunner().invoke(app, [str(tmp_path)])

    assert re.search(r"^all: 18 lines, 12 constants, 2 loose numbers$", result.output, re.MULTILINE)
