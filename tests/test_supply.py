"""What is installed and loaded is what was meant: pins, hashes, weights; and what docs/reliability.md says is tested."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from app import __version__

ROOT = Path(__file__).parent.parent
NAME = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?")


def normal(requirement: str) -> str:
    return NAME.match(requirement)[1].lower().replace("_", "-").replace(".", "-")  # type: ignore[index]


def pins(path: Path) -> dict[str, str]:
    return {
        normal(name): version for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", path.read_text("utf-8"), re.MULTILINE)
    }


@pytest.mark.parametrize("variant", ["cpu", "gpu"])
def test_what_the_image_installs_is_pinned_hashed_and_as_the_constraints_have_it(variant: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = project["dependencies"] + project["optional-dependencies"][variant] + project["optional-dependencies"]["heif"]
    path = ROOT / "requirements" / f"{variant}.txt"
    locked, constraints = pins(path), pins(ROOT / "constraints.txt")

    assert {normal(requirement) for requirement in wanted} <= locked.keys(), "run make lock"
    assert {name: locked[name] for name in locked.keys() & constraints} == {
        name: constraints[name] for name in locked.keys() & constraints
    }
    assert "torch" not in locked
    for block in re.split(r"\n(?=\S)", path.read_text("utf-8").strip()):
        assert "--hash=sha256:" in block, block


def test_checkpoints_are_loaded_as_weights_only() -> None:
    for path in [*ROOT.glob("training/**/*.py"), *ROOT.glob("benchmarks/**/*.py"), *ROOT.glob("app/**/*.py")]:
        for call in re.findall(r"torch\.load\(.*", path.read_text("utf-8")):
            assert "weights_only=True" in call, f"{path.name}: {call}"


def test_the_list_of_what_is_installed_is_made_for_a_project_with_its_version(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "app/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    subprocess.run(["make", "dist/pyproject.toml"], cwd=tmp_path, check=True)

    before, after = (tomllib.loads((tmp_path / name).read_text("utf-8")) for name in ("pyproject.toml", "dist/pyproject.toml"))

    assert after["project"].pop("version") == __version__
    assert before["project"].pop("dynamic") == ["version"]
    assert after == before
